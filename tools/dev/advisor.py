"""Runs the Device Advisor cases of tests/e2e/advisor/ and collects what each measured.

The cases are pytest tests; their conftest writes one line of JSON a case to the file named by
FIELDMOUSE_ADVISOR, and this module reads it while they run.

Left out: MQTT_Publish_User_Property (MQTT 5 only) and Security_Device_Policies (about the account,
see docs/security.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from tools.errors import ToolError
from tools.toolchain import ROOT

PASS, WARN, FAIL = "PASS", "PASS_WITH_WARNINGS", "FAIL"
RESULTS = (PASS, WARN, FAIL)
_FOLDER = "tests/e2e/advisor"
_COLOURS = {PASS: "green", WARN: "yellow", FAIL: "bold red"}
_POLL_S = 0.2


@dataclass(frozen=True)
class Case:
    """One case; its test is ``test_<id>`` in tests/e2e/advisor/."""

    id: str
    asks: str

    @property
    def category(self) -> str:
        """TLS, MQTT, Shadow, Job or Long duration."""
        return "Long duration" if "_Long_Duration_" in self.id else self.id.split("_")[0]


_LONG = "MQTT_Long_Duration_"

CASES = (
    Case("TLS_Connect", "completes the handshake, without an alert"),
    Case("TLS_Receive_Maximum_Size_Fragments", "takes TLS records of 16 KB"),
    Case("TLS_Support_AWS_IoT_Cipher_Suites", "offers recommended suites and no others"),
    Case("TLS_Large_Size_Server_Cert", "takes a server certificate with 20 % more bytes"),
    Case("TLS_Unsecure_Server_Cert", "refuses a server of another authority"),
    Case("TLS_Incorrect_Subject_Name_Server_Cert", "refuses a server of another name"),
    Case("TLS_Expired_Server_Cert", "refuses an expired server, with an alert"),
    Case("MQTT_Connect", "sends CONNECT"),
    Case("MQTT_Client_Puback_Qos1", "acknowledges messages of 0 to 128 KB"),
    Case("MQTT_Connect_Jitter_Backoff_Retries", "no CONNACK, twice five times: jittered waits"),
    Case("MQTT_Connect_Exponential_Backoff_Retries", "no CONNACK: longer and longer waits"),
    Case("MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect", "thrown out: jittered waits"),
    Case(
        "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection",
        "let in and thrown out: jittered waits, CONNACK does not reset them",
    ),
    Case("MQTT_Publish", "publishes"),
    Case("MQTT_Publish_Retry_No_Puback", "publishes again: same packet id, same connection"),
    Case("MQTT_Subscribe", "subscribes"),
    Case("MQTT_Subscribe_Retry_No_Suback", "subscribes again: same packet id, same connection"),
    Case("MQTT_No_Ack_PingResp", "hangs up on a broker that answers nothing"),
    Case("MQTT_Persistent_Session_Happy_Case", "session kept: gets what waited, no SUBSCRIBE"),
    Case("MQTT_Expired_Persistent_Session", "session gone: subscribes again"),
    Case("MQTT_Publish_Retained_Messages", "publishes with RETAIN"),
    Case("Shadow_Publish_Reported_State", "reports its state"),
    Case("Shadow_Update_Reported_State", "meets a desired state and reports it"),
    Case("Job_Execution", "fetches a job, and says that it succeeded"),
    Case(_LONG + "Basic", "connects, repeats PUBLISH and SUBSCRIBE within 15 s, reconnects"),
    Case(_LONG + "PUBACK_QOS_1", "acknowledges a row of messages"),
    Case(_LONG + "RECEIVE_LARGE_PAYLOAD", "takes messages of 128 KB and goes on"),
    Case(_LONG + "PERSISTENT_SESSION", "session kept after hours of use"),
    Case(_LONG + "KEEP_ALIVE", "pings within the keep-alive"),
    Case(_LONG + "INTERMITTENT_CONNECTIVITY", "comes back after every cut, loses nothing"),
    Case(_LONG + "RECONNECT_BACK_OFF", "no CONNACK: jittered waits"),
    Case(_LONG + "LONG_SERVER_DISCONNECT", "comes back after a long outage, loses nothing"),
)


@dataclass(frozen=True)
class Row:
    """One case: ``result`` as AWS names it, what was ``measured``, warnings or the failure."""

    id: str
    category: str
    result: str
    measured: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def chosen(match: str) -> list[Case]:
    """Return the cases whose id contains ``match``, in any case; ToolError if there is none."""
    found = [case for case in CASES if match.lower() in case.id.lower()]
    if not found:
        raise ToolError(f"no case is called {match!r}", "python -m tools advisor --list")
    return found


def run(match: str, umqtt: Path | None, on_row: Callable[[Row], None]) -> list[Row]:
    """Run the chosen cases and return their rows in the order of the list.

    ``on_row`` gets each as it ends. Raises ToolError when the tests do not run at all.
    """
    cases = {case.id: case for case in chosen(match)}
    names = " or ".join(f"test_{id}" for id in cases)
    with tempfile.TemporaryDirectory(prefix="fieldmouse-advisor-") as scratch:
        results, output = Path(scratch, "results"), Path(scratch, "output")
        results.touch()
        env = {**os.environ, "FIELDMOUSE_ADVISOR": str(results)}
        if umqtt:
            env["UMQTT"] = str(umqtt.resolve())
        argv = ["pytest", "-q", "-n", "2", "--dist", "loadfile", "-k", names, _FOLDER]
        with output.open("wb") as out:
            ran = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
            try:
                rows = _follow(ran, results, cases, on_row)
            finally:
                ran.terminate()
                ran.wait()
        if not rows:
            end = output.read_text("utf-8", "replace").strip().splitlines()[-15:]
            raise ToolError("\n".join(["the cases did not run:", *end]), "make setup")
    return [rows.get(id) or _silent(case) for id, case in cases.items()]


def _follow(
    ran: subprocess.Popen[bytes],
    results: Path,
    cases: dict[str, Case],
    on_row: Callable[[Row], None],
) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    read, over = 0, False
    while not over:
        over = ran.poll() is not None
        lines = results.read_text("utf-8").split("\n")[:-1]  # the last is not whole yet
        for row in (_row(json.loads(line)) for line in lines[read:]):
            if row.id in cases:
                on_row(row)
                rows[row.id] = row
        read = len(lines)
        if not over:
            time.sleep(_POLL_S)
    return rows


def _row(said: dict[str, Any]) -> Row:
    notes = list(said["notes"])
    if said["error"] is not None:
        notes.append((said["error"].strip().splitlines() or ["failed"])[0])
    category = Case(said["id"], "").category
    return Row(said["id"], category, said["result"], said["measured"], notes, said["seconds"])


def _silent(case: Case) -> Row:
    return Row(case.id, case.category, FAIL, notes=["ended without a result"])


def table(rows: list[Row]) -> Table:
    """The rows for a terminal."""
    made = Table("case", "result", title="Device Advisor, on the desk", title_justify="left")
    made.columns[0].overflow = "fold"
    made.add_column("measured", overflow="fold", min_width=36)
    for row in rows:
        colour = _COLOURS[row.result]
        text = escape("; ".join(f"{key} {_text(value)}" for key, value in row.measured.items()))
        if row.notes:
            text += f"\n[{colour}]{escape('; '.join(row.notes))}[/]"
        made.add_row(row.id, f"[{colour}]{row.result}[/]", text)
    return made


def catalogue() -> Table:
    """The cases, without running them."""
    title = f"{len(CASES)} cases of AWS IoT Device Advisor"
    made = Table("case", "category", "the device", title=title, title_justify="left")
    for case in CASES:
        made.add_row(case.id, case.category, case.asks)
    return made


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
