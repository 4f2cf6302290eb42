"""`make setup`: what the checkout needs, put into the checkout. Standard library only.

It runs with the system's Python before any of our libraries exist, so nothing here imports more
than the standard library, tools.errors and tools.toolchain.
"""
