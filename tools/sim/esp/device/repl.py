# MicroPython's REPL over standard input and output, which the unix port has no raw mode of:
# friendly and raw mode, raw paste with flow control, Ctrl-A/B/C/D as on a board.
# Protocol: docs/reference/repl.rst of MicroPython, "Raw mode and raw-paste mode".

import micropython
import select
import sys
import termios

NAMES = {"__name__": "__main__"}
_WINDOW = 128  # bytes in flight in raw-paste mode, as on the boards
_ISIG = 1
_LFLAG = 3
_held = bytearray()  # typed before there was a REPL
_RAW = "raw REPL; CTRL-B to exit\r\n"


class _Micropython:
    # The real module with a kbd_intr() that our parent understands.
    pass


def prepare():
    module = _Micropython()
    for name in dir(micropython):
        setattr(module, name, getattr(micropython, name))
    module.kbd_intr = lambda char: interrupts(char >= 0)
    sys.modules["micropython"] = module


def interrupts(on):
    # The parent looks at this flag of the terminal: set, a Ctrl-C is a signal; clear, a byte.
    state = termios.tcgetattr(0)
    state[_LFLAG] = state[_LFLAG] | _ISIG if on else state[_LFLAG] & ~_ISIG
    termios.tcsetattr(0, termios.TCSANOW, state)


def leave(code):
    import ffi

    ffi.open(None).func("v", "_exit", "i")(code)


def out(text):
    sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode())


def interrupted():
    # What came while the board was booting. As on a board, a Ctrl-C then keeps main.py from
    # running; what follows it is for the REPL.
    poller = select.poll()
    poller.register(sys.stdin.buffer, select.POLLIN)
    found = False
    while poller.poll(0):
        char = sys.stdin.buffer.read(1)
        if not char:
            leave(0)
        if char == b"\x03":
            found = True
            _held[:] = b""
        else:
            _held.extend(char)
    return found


def get():
    if _held:
        char = _held[0]
        _held[:] = _held[1:]
        return char
    try:
        data = sys.stdin.buffer.read(1)
    except KeyboardInterrupt:  # sent while the program still ran: a key by now
        return 3
    if not data:
        leave(0)
    return data[0]


def serve(mode):
    # Until a soft reset; returns the mode it was asked for in.
    while True:
        found = _raw() if mode == "raw" else _friendly()
        if found == "reset":
            return mode
        mode = found


def _execute(code):
    # Says whether it was SystemExit. Output first, then the traceback, each ended by \x04.
    error = None
    interrupts(True)
    try:
        exec(code, NAMES)
    except BaseException as e:
        error = e
    interrupts(False)
    out(b"\x04")
    if error is not None and not isinstance(error, SystemExit):
        sys.print_exception(error)
    out(b"\x04")
    return isinstance(error, SystemExit)


def _raw():
    out(_RAW)
    while True:
        out(">")
        line, end = _raw_line()
        if end == 2:
            out("\r\n")
            return "friendly"
        if end == 1 and line != b"\x05A":
            out(_RAW)
            continue
        if end == 1:
            out(b"R\x01")
            code = _paste()
        else:
            out("OK")
            code = str(line, "utf8")
            if not line:
                out("\r\n")
                return "reset"
        if _execute(code):
            return "reset"


def _raw_line():
    # (what was sent, the control character that ended it: 1, 2 or 4)
    line = bytearray()
    while True:
        char = get()
        if char in (1, 2, 4):
            return line, char
        if char == 3:
            line = bytearray()
        else:
            line.append(char)


def _paste():
    # Each \x01 we send allows one more window; \x04 ends the code and is answered with \x04.
    code = bytearray()
    out(bytes((_WINDOW, 0)))
    out(b"\x01")
    while True:
        char = get()
        if char == 4:
            out(b"\x04")
            return str(code, "utf8")
        code.append(char)
        if len(code) % _WINDOW == 0:
            out(b"\x01")


def _friendly():
    out("MicroPython {} on virtual ESP32\r\n".format(sys.version.split("; ")[-1]))
    out('Type "help()" for more information.\r\n')
    while True:
        out(">>> ")
        line = ""
        while True:
            char = get()
            if char == 1:
                return "raw"
            if char == 2 or char == 3:
                line = ""
                out("\r\n>>> ")
            elif char == 4 and not line:
                out("\r\n")
                return "reset"
            elif char == 13:
                break
            elif char >= 32:
                line += chr(char)
                out(chr(char))
        out("\r\n")
        if _statement(line):
            return "reset"


def _statement(line):
    interrupts(True)
    try:
        exec(compile(line, "<stdin>", "single"), NAMES)
    except SystemExit:
        return True
    except BaseException as e:
        sys.print_exception(e)
    finally:
        interrupts(False)
