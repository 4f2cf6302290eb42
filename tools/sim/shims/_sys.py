# `sys` as an ESP8266 has it.

from sys import *  # noqa: F403
from sys import path  # noqa: F401

platform = "esp8266"
