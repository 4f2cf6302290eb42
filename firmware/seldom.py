# Code that is needed now and then only. Whoever needs it imports it inside a function and keeps
# nothing of it; the loop takes it out of the heap again once nobody is at work (docs/memory.md).

import sys

MODULES = (
    "firmware.start",
    "firmware.profile",
    "firmware.parts",
    "firmware.core.config",
    "firmware.core.rules",
    "firmware.core.settable",
    "firmware.core.limits",
    "firmware.core.words",
    "firmware.core.commands",
    "firmware.facts",
    "firmware.drivers.search",
)

_known = 0  # modules after the last look: as long as there are no more, there is nothing to do


def tidy():
    # At the end of each pass. Allocates nothing, unless there was something to forget.
    global _known
    if len(sys.modules) > _known:
        forget()
        _known = len(sys.modules)


def forget():
    for name in MODULES:
        if sys.modules.pop(name, None):
            at = name.rfind(".")
            parent = sys.modules[name[:at]]
            if hasattr(parent, name[at + 1 :]):  # not so when there was no memory to load it whole
                delattr(parent, name[at + 1 :])
