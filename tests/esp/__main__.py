"""`python -m tests.esp`: a bare virtual board on a serial port, until Ctrl-C, to try things on."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.esp import fixtures
from tests.esp.board import Board
from tests.esp.server import Server
from tools import toolchain


def main() -> None:
    """Serve one board and say where."""
    parser = argparse.ArgumentParser(prog="python -m tests.esp")
    parser.add_argument("--chip", default="esp32", choices=("esp32", "esp8266", "esp32c3"))
    parser.add_argument("--sensor", default="bme280@0x76")
    parser.add_argument("--timed", action="store_true", help="as slow as a real line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        board = Board(
            Path(scratch, "board"),
            toolchain.micropython(64),
            chip_name=args.chip,
            frozen=fixtures.frozen(Path(scratch, "frozen")),
            settings={"sensor": args.sensor},
        )
        with Server(board, timed=args.timed) as server:
            print(f"PORT={server.url}", flush=True)
            try:
                while True:
                    time.sleep(1)
            except KeyboardInterrupt:
                print()


if __name__ == "__main__":
    main()
