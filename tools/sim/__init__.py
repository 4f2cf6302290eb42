"""The virtual board and the local AWS: everything `make sim` and the end-to-end tests run on."""
