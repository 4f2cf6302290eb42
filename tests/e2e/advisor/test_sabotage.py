"""The cases fail bad firmware: each defect, put into the staged device, is found by its case."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.advisor import test_jobs, test_mqtt, test_tls, test_waiting
from tests.e2e.advisor.bench import Bench, Kit
from tests.e2e.advisor.case import Outcome, judge
from tests.e2e.advisor.grader import FAIL, WARN
from tools.board.stage import ROOT


@dataclass(frozen=True)
class Defect:
    """``old``, which firmware/ has once, becomes ``new``; ``found`` is in what the case says."""

    case: Callable[..., None]
    old: str
    new: str
    found: str
    result: str = FAIL


_UNSTABLE = test_waiting.test_MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection
_PAUSE = "return floor_ms + random(ceiling_ms - floor_ms + 1)"

DEFECTS = {
    "believes any server": Defect(
        test_tls.test_TLS_Unsecure_Server_Cert,
        "_tls.CERT_REQUIRED", "_tls.CERT_NONE", "handshake completed",
    ),
    "believes any name": Defect(
        test_tls.test_TLS_Incorrect_Subject_Name_Server_Cert,
        "_tls.CERT_REQUIRED", "_tls.CERT_NONE", "handshake completed",
    ),
    "believes an old certificate": Defect(
        test_tls.test_TLS_Expired_Server_Cert,
        "_tls.CERT_REQUIRED", "_tls.CERT_NONE", "handshake completed",
    ),
    "offers everything": Defect(
        test_tls.test_TLS_Support_AWS_IoT_Cipher_Suites,
        "_suites(made)", "pass", "that AWS IoT has not", WARN,
    ),
    # Other shapes of backoff: test_grader.py. So long that a busy machine does not bend it.
    "constant backoff": Defect(_UNSTABLE, _PAUSE, "return 15000", "constant"),
    "backoff forgotten at CONNACK": Defect(
        _UNSTABLE, "link.sessions += 1", "link.failures = 0", "AssertionError",
    ),
    "subscribes again for nothing": Defect(
        test_mqtt.test_MQTT_Persistent_Session_Happy_Case,
        "session.doubt = session.doubt or not present", "session.doubt = True",
        "subscribed to what",
    ),
    "clean session": Defect(
        test_mqtt.test_MQTT_Persistent_Session_Happy_Case,
        "MQTT\\x04\\x2c", "MQTT\\x04\\x2e", "assert",
    ),
    "repeats without DUP": Defect(
        test_mqtt.test_MQTT_Publish_Retry_No_Puback, "(8 if sent else 0)", "0", "assert",
    ),
    "birth not retained": Defect(
        test_mqtt.test_MQTT_Publish_Retained_Messages,
        "separators=_TIGHT), True", "separators=_TIGHT), False", "assert",
    ),
    "does not ask for jobs": Defect(
        test_jobs.test_Job_Execution,
        'job["get"] = job["state"] not in ("trial", "result")', 'job["get"] = False',
        "not within",
    ),
    "does not hear of a new job": Defect(
        test_jobs.test_Job_Execution,
        'kind in ("jobs/notify-next", "jobs/$next/get/accepted")',
        'kind == "jobs/$next/get/accepted"', "not within",
    ),
    "does not say that a job has begun": Defect(
        test_jobs.test_Job_Execution,
        'not in (None, "trial") and not job.get("begun"))', 'is None and not job)', "not within",
    ),
}  # fmt: skip


_AGAIN = 2


@pytest.fixture(scope="module")
def outcomes(
    umqtt_dir: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Outcome]]]:
    """Those that were selected, a few at a time."""
    items = [i for i in request.session.items if i.path == request.path]
    wanted = [name for name in DEFECTS if any(f"[{name}]" in item.name for item in items)]
    folder = tmp_path_factory.mktemp("sabotage")
    with ThreadPoolExecutor(4) as pool:
        yield {
            name: pool.submit(_run, folder / name.replace(" ", "-"), umqtt_dir, DEFECTS[name])
            for name in wanted
        }


def _run(folder: Path, umqtt: Path, defect: Defect) -> Outcome:
    outcome = Outcome(folder.name)
    kit = Kit(folder / "kit", umqtt, source=_with(defect, folder / "source"))
    config = defect.case.body.config  # type: ignore[attr-defined]
    with Bench(kit, folder / "device", **config) as bench:
        try:
            judge(defect.case.body, bench, outcome)  # type: ignore[attr-defined]
        except Exception as e:
            outcome.error = e
    shutil.rmtree(folder)
    return outcome


def _with(defect: Defect, source: Path) -> Path:
    """A copy of the firmware that has the defect."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "firmware", source / "firmware", ignore=ignore)
    for name in ("boot.py", "main.py"):
        shutil.copy(ROOT / name, source)
    texts = {path: path.read_text("utf-8") for path in (source / "firmware").rglob("*.py")}
    having = [path for path, text in texts.items() if defect.old in text]
    assert sum(text.count(defect.old) for text in texts.values()) == 1, f"mend {defect.old!r}"
    having[0].write_text(texts[having[0]].replace(defect.old, defect.new), "utf-8")
    return source


@pytest.mark.parametrize("name", DEFECTS)
def test_the_case_finds_it(
    outcomes: dict[str, Future[Outcome]], name: str, umqtt_dir: Path, tmp_path: Path
) -> None:
    outcome, defect = outcomes[name].result(), DEFECTS[name]
    for again in range(_AGAIN):
        said = f"{outcome.notes} {outcome.error!r}"
        if outcome.result == defect.result and defect.found in said:
            break
        # A hiccup of a busy machine is seconds of the board's time, and bends a shape of waits.
        outcome = _run(tmp_path / str(again), umqtt_dir, defect)
    print(*outcome.log, sep="\n")
    said = f"{outcome.notes} {outcome.error!r}"
    assert outcome.result == defect.result, said
    assert defect.found in said, said
