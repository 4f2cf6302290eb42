"""What is done with a board on the desk: `make hil PORT=…`; the tests do the same virtually."""
