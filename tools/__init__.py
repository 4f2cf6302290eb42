"""Fieldmouse's host tools: `python -m tools --help`."""
