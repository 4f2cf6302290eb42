# `sys` as an ESP8266 has it.

from sys import *  # noqa: F403

platform = "esp8266"
