# For those who build MicroPython themselves: freezes the firmware into the build, where its code
# runs in place and takes no heap (docs/boards.md). In ports/esp32 or ports/esp8266:
#
#   make BOARD=… FROZEN_MANIFEST=/path/to/fieldmouse/manifest.py
#
# boot.py, main.py, config.json and certs/ stay files on the board. Names without an import are
# MicroPython's (docs.micropython.org, "MicroPython manifest files").
# ruff: noqa: F821

include("$(PORT_DIR)/boards/manifest.py")  # what every build of that port has
require("umqtt.simple")
package("firmware")
