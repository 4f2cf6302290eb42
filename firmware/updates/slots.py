# The pointer file `slot`: which firmware and which certificates run, and whether on trial
# (docs/updates.md has the states; boot.py counts the starts). A change is one rename. On demand.

import sys


def read():
    # (letters; the others while on trial or gone back; the starts left, as text, or why it went
    # back). A file that is damaged counts as none: then what was flashed runs.
    try:
        with open("slot") as f:
            words = f.read(32).split()
    except (OSError, ValueError):
        words = []
    if len(words) not in (1, 3) or any([len(w) != 2 or w.strip("ab") for w in words[:2]]):
        words = ["aa"]
    return tuple(words + [None, None])[:3]


def on_trial():
    left = read()[2]
    return left is not None and left.isdigit()


def start(log):
    # At each: 1 on trial, None when it has gone back, else 0.
    now, other, left = read()
    if not other:
        return 0
    text = "on trial, {} more starts" if on_trial() else "gone back: {}"
    log("update: slot {} ".format(now) + text.format(left))
    return 1 if on_trial() else None


def running():
    # The letter of the firmware that does: boot.py falls back where it cannot count.
    return "b" if sys.path[0] == "b" else "a"


def trial(letters):
    # From the next start on.
    _write("{} {} 3".format(letters, read()[0]))


def good():
    # Also: that it has gone back was said.
    _write(read()[0])


def back(why):
    # From the next start on.
    now, other, _ = read()
    _write("{} {} {}".format(other or now, now, why))


def _write(text):
    from firmware import files  # large, and most who are here only read

    files.replace("slot", text)


def spare(which):
    # The letter of the slot that does not run: of the firmware (0), of the certificates (1).
    return "a" if read()[0][which] == "b" else "b"
