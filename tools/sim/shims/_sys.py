# `sys` as an ESP8266 has it.

from sys import *  # noqa: F403
from sys import implementation, path  # noqa: F401

platform = "esp8266"
implementation = tuple(implementation)[:2] + ("ESP module with ESP8266",)
