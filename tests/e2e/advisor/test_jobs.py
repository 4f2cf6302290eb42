"""The case of jobs (aws-facts 9.4): the tool makes one, the device fetches it and succeeds."""

from __future__ import annotations

import base64

from cryptography import x509

from tests.e2e.advisor.bench import THING, Bench
from tests.e2e.advisor.case import case
from tests.e2e.jobs import Execution, Jobs

DOCUMENT = {"fieldmouse": "csr"}  # what ends without a restart, and needs nothing else


@case(updates=True)
def test_Job_Execution(bench: Bench) -> None:
    jobs = Jobs(bench.broker)
    # One that waits for the device, which asks for it; one that comes while it is connected.
    waited = jobs.create(THING, "waited", DOCUMENT)
    bench.up()
    _ended(bench, waited)
    # When it has ended the device asks for the next one: there is none yet.
    get, session = f"$aws/things/{THING}/jobs/$next/get", bench.broker.live(THING)[0].session
    assert session is not None
    bench.wait(lambda: len(bench.broker.published(get)) > 1 and not session.pending)
    asked = len(bench.broker.published(get))
    told = jobs.create(THING, "told", DOCUMENT)
    _ended(bench, told)
    for job in (waited, told):
        said = [update.status for update in jobs.updates if update.job_id == job.job_id]
        assert said[0] == "IN_PROGRESS" and set(said[1:]) == {"SUCCEEDED"}, said
        request = x509.load_der_x509_csr(base64.b64decode(job.details["csr"]))
        assert request.is_signature_valid
        assert request.subject.rfc4514_string() == f"CN={THING}"
    assert [update.code for update in jobs.updates if update.code] == []
    assert waited.details == told.details, "a second key for the same slot"
    known = len(bench.readings())
    bench.wait(lambda: len(bench.readings()) > known)
    bench.measure(document=DOCUMENT, asked=asked, updates=len(jobs.updates), result="SUCCEEDED")


def _ended(bench: Bench, job: Execution) -> None:
    bench.wait(lambda: job.over)
    assert job.status == "SUCCEEDED", job.details
