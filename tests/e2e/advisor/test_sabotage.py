"""The cases fail bad firmware: each defect, put into the staged device, is found by its case."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.advisor import test_mqtt, test_tls, test_waiting
from tests.e2e.advisor.bench import Bench, Kit
from tests.e2e.advisor.case import Outcome, judge
from tests.e2e.advisor.grader import FAIL, WARN


@dataclass(frozen=True)
class Defect:
    """``old`` becomes ``new`` in a file of firmware/; ``found`` is in what the case says then."""

    case: Callable[..., None]
    file: str
    old: str
    new: str
    found: str
    result: str = FAIL


_UNSTABLE = test_waiting.test_MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection
_WAIT = "self._floor_ms + self._random(self._ceiling_ms - self._floor_ms + 1)"

DEFECTS = {
    "believes any server": Defect(
        test_tls.test_TLS_Unsecure_Server_Cert,
        "net/tls.py", "_tls.CERT_REQUIRED", "_tls.CERT_NONE", "handshake completed",
    ),
    "believes any name": Defect(
        test_tls.test_TLS_Incorrect_Subject_Name_Server_Cert,
        "net/tls.py", "_tls.CERT_REQUIRED", "_tls.CERT_NONE", "handshake completed",
    ),
    "believes an old certificate": Defect(
        test_tls.test_TLS_Expired_Server_Cert,
        "net/tls.py", "_tls.CERT_REQUIRED", "_tls.CERT_NONE", "handshake completed",
    ),
    "offers everything": Defect(
        test_tls.test_TLS_Support_AWS_IoT_Cipher_Suites,
        "net/tls.py", 'hasattr(context, "set_ciphers")', "False", "that AWS IoT has not", WARN,
    ),
    "constant backoff": Defect(
        _UNSTABLE, "core/backoff.py", _WAIT, "4000", "constant",
    ),
    "linear backoff": Defect(
        _UNSTABLE, "core/backoff.py",
        "self._ceiling_ms = min(self._cap_ms, self._ceiling_ms * 2)",
        "self._ceiling_ms += 1000\n        wait_ms = self._ceiling_ms - 1000",
        "linear",
    ),
    "strictly exponential backoff": Defect(
        _UNSTABLE, "core/backoff.py", _WAIT, "min(8000, self._ceiling_ms)",
        "strictly exponential", WARN,
    ),
    "backoff forgotten at CONNACK": Defect(
        _UNSTABLE, "net/link.py",
        "present = self._session.connect()",
        "present = self._session.connect()\n        self._backoff.stable()",
        "AssertionError",
    ),
    "subscribes again for nothing": Defect(
        test_mqtt.test_MQTT_Persistent_Session_Happy_Case,
        "net/link.py", "if present and not self._doubt:", "if False:", "subscribed to what",
    ),
    "clean session": Defect(
        test_mqtt.test_MQTT_Persistent_Session_Happy_Case,
        "net/mqtt.py", "hello.CLEAN_SESSION if clean_session else 0", "hello.CLEAN_SESSION",
        "assert",
    ),
    "repeats without DUP": Defect(
        test_mqtt.test_MQTT_Publish_Retry_No_Puback,
        "net/window.py", "self.buf[0] |= _DUP", "pass", "assert",
    ),
    "birth not retained": Defect(
        test_mqtt.test_MQTT_Publish_Retained_Messages,
        "reporter.py", "json.dumps(facts).encode(), True)", "json.dumps(facts).encode(), False)",
        "assert",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(
    umqtt_dir: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Outcome]]]:
    """Those that were selected, a few at a time."""
    items = [i for i in request.session.items if i.path == request.path]
    wanted = [name for name in DEFECTS if any(f"[{name}]" in item.name for item in items)]
    folder = tmp_path_factory.mktemp("sabotage")
    kit = Kit(folder / "kit", umqtt_dir, compiled=False)
    with ThreadPoolExecutor(4) as pool:
        yield {
            name: pool.submit(_run, kit, folder / name.replace(" ", "-"), DEFECTS[name])
            for name in wanted
        }


def _run(kit: Kit, folder: Path, defect: Defect) -> Outcome:
    outcome = Outcome(folder.name)
    with Bench(kit, folder) as bench:
        target = folder / "firmware" / defect.file
        source = target.read_text()
        assert source.count(defect.old) == 1, f"{defect.file} has changed: mend the defect"
        target.write_text(source.replace(defect.old, defect.new))
        try:
            judge(defect.case.body, bench, outcome)  # type: ignore[attr-defined]
        except Exception as e:
            outcome.error = e
    shutil.rmtree(folder)
    return outcome


@pytest.mark.parametrize("name", DEFECTS)
def test_the_case_finds_it(outcomes: dict[str, Future[Outcome]], name: str) -> None:
    outcome, defect = outcomes[name].result(), DEFECTS[name]
    print(*outcome.log, sep="\n")
    said = f"{outcome.notes} {outcome.error!r}"
    assert outcome.result == defect.result, said
    assert defect.found in said, said
