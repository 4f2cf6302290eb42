# The whole program is firmware/app.py; Ctrl-C on the serial port stops it and gives the REPL.
from firmware.app import main

main()
