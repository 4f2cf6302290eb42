"""Texts that mean harm, for the tests of every place where something from outside is shown."""

from __future__ import annotations

from hypothesis import strategies as st

# What was measured to set the title and clear the screen; then colours, links, rich's markup,
# directions, lines, formulas, halves of characters.
KNOWN = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x1b]8;;http://evil.example\x1b\\here",
    "[red]",
    "[/]",
    "[link=http://evil.example]x[/link]",
    "[bold]x[/bold]",
    "\u202egpj.exe",
    "a\rb",
    "a\nlink: up",
    "\u2028",
    "\x7f\x08\x00",
    "\ud800",
    "=cmd|' /C calc'!A0",
    "\t=1+1",
    "{thing}",
    "%s%n",
    "\U000e0041",
)
TEXTS = st.lists(st.sampled_from(KNOWN) | st.text(max_size=8), max_size=6).map("".join)
