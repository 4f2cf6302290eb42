"""How `battery` shows an estimate: its parts, what would change it, where the figures are from."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.board import energy
from tools.board.energy import Estimate, Part, Plan
from tools.errors import ToolError

_BAR = 40


def show(console: Console, plan: Plan) -> None:
    """Print all of it."""
    now = energy.estimate(plan)
    plan = now.plan  # with the kit that was chosen
    refs: dict[str, int] = {}
    kit = energy.kits(plan.board)[plan.kit]
    console.print(Text(_headline(now), style="bold"))
    console.print(f"{plan.board}, {kit['title']}, {plan.sensor}, {_every(plan)}", markup=False)
    console.print()
    console.print(_parts(now, refs))
    console.print()
    console.print(_comparison(now), markup=False)
    console.print()
    sizes = sorted({*energy.BATCHES, plan.batch})
    _bars(console, "readings a connect", {str(n): replace(plan, batch=n) for n in sizes}, plan)
    same = {kit: replace(plan, kit=kit, sleep_ua=None) for kit in energy.kits(plan.board)}
    _bars(console, "on another board", same, plan)
    console.print(Text("where the figures are from", style="bold"))
    for source, number in refs.items():
        console.print(Text(f"({number}) {source}"))
    board = energy.table()["boards"][plan.board]["source"]
    console.print(Text(f"mA awake: {board}"))


def _headline(now: Estimate) -> str:
    cell = energy.table()["cells"][now.plan.cell]
    return (
        f"{span(now.days)}: {now.plan.mah:g} mAh, of which {cell['usable']} % can be used, "
        f"at {now.c_a_day / 3.6:.2f} mAh a day"
    )


def _every(plan: Plan) -> str:
    each = f"a reading every {plan.interval_s} s, connects "
    return each + (f"at every {plan.batch}th" if plan.batch > 1 else "at each")


def span(days: float) -> str:
    """A time in the unit that a person would take."""
    if days < 2:
        return f"{days * 24:.0f} hours"
    return f"{days:.0f} days" + (f" ({days / 365.25:.1f} years)" if days >= 365 else "")


def _parts(now: Estimate, refs: dict[str, int]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "ms", "mA", "mC", "a day", "C a day", "%", "from"):
        table.add_column(name, justify="left" if name == "" else "right", no_wrap=name != "")
    groups = (
        ("awake, radio off", now.wake),
        ("awake, radio on", now.connect),
        ("all day", (*now.rest, now.loss)),
    )
    for name, parts in groups:
        share = sum(part.c_a_day for part in parts)
        head = ["", "", "", ""] if name == "all day" else _head(parts)
        table.add_row(name, *head, *_shares(share, now), "", style="bold")
        for part in parts:
            number = refs.setdefault(part.source, len(refs) + 1)
            table.add_row(f"  {part.what}", *_row(part, now), f"({number})")
    table.add_row("together", "", "", "", "", *_shares(now.c_a_day, now), "", style="bold")
    return table


def _head(parts: tuple[Part, ...]) -> list[str]:
    ms = sum(part.ms for part in parts if not part.beside)
    charge = sum(part.ms * part.ma for part in parts) / 1000
    return [f"{ms:.0f}", f"{1000 * charge / ms:.0f}", f"{charge:.1f}", f"{parts[0].times:g}"]


def _row(part: Part, now: Estimate) -> list[str]:
    share = _shares(part.c_a_day, now)
    if part.times == 1 and part.ms > energy.DAY_MS / 2:
        return ["", f"{part.ma * 1000:.1f} µA", "", "", *share]
    charge = part.ms * part.ma / 1000
    text = f"{charge:.3g}" if charge < 1000 else f"{charge:.0f}"
    return [f"{part.ms:.0f}", f"{part.ma:.3g}", text, "", *share]


def _shares(c_a_day: float, now: Estimate) -> list[str]:
    return [f"{c_a_day:.2f}", f"{100 * c_a_day / now.c_a_day:.0f}"]


def _comparison(now: Estimate) -> str:
    each = energy.estimate(replace(now.plan, batch=1))
    if now.plan.batch == 1:
        return f"Awake {now.awake_s_a_day:.0f} s a day; it connects at each reading."
    times = each.board_c_a_day / now.board_c_a_day
    return (
        f"Awake {now.awake_s_a_day:.0f} s a day. A board that connects at each reading: awake "
        f"{each.awake_s_a_day:.0f} s a day, {times:.1f} times the charge, {span(each.days)}."
    )


def _bars(console: Console, title: str, plans: dict[str, Plan], this: Plan) -> None:
    """The plot: how long the battery lasts with each; ``this`` is the one that was asked."""
    days = {name: _days(plan) for name, plan in plans.items()}
    width, most = max(map(len, days)), max(days.values())
    console.print(Text(title, style="bold"))
    for name, life in days.items():
        asked = plans[name] == this
        bar = "█" * round(_BAR * life / most) or "▏"
        text = span(life) if life else "no time to sleep"
        line = f"{name:>{width}} {bar} {text}{'  <' if asked else ''}"
        console.print(Text(line, style="bold" if asked else ""), soft_wrap=True)
    console.print()


def _days(plan: Plan) -> float:
    try:
        return energy.estimate(plan).days
    except ToolError:  # it does not come to sleep
        return 0.0
