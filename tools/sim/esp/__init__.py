"""A virtual ESP32: serial port (RFC 2217), ROM loader, flash, and MicroPython on that flash."""
