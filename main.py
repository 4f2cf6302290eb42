# The whole program is firmware/app.py; Ctrl-C on the serial port stops it and gives the REPL.
# What app.py cannot catch itself, a file that is missing or no memory to load one, may pass.
import sys
import time

try:
    from firmware import loading

    loading.keep()
    from firmware import startup

    prepared = startup.prepare()
    del startup
    loading.unload()
    from firmware.app import main

    loading.keep()
    main(prepared)
except KeyboardInterrupt:
    from firmware.board import stopped

    stopped()
    raise
except Exception as e:
    print("main: cannot run the firmware, restarting in 30 s")
    sys.print_exception(e)
    time.sleep(30)
    import machine  # not board.py: what could not be loaded before may not load now

    machine.reset()
