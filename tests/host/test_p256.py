"""A board's own key and request: what `cryptography`, MicroPython's TLS and its heap say."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec

from bench import bench_sensors
from tests.host import pki
from tests.host.programs import micropython
from tools import toolchain

ROOT = toolchain.ROOT
# Bytes of heap on 32 bits, as .mpy; may only fall. CODE: of each file, its names left out. LIVE:
# the most in use at the end of a pass, garbage left out: code, numbers, and what the loop has not
# unloaded yet. FITS: so much memory is enough, in one piece when it begins, with garbage, holes
# and the document.
CODE = {"p256": 2_200, "request": 1_350, "rotate": 1_450, "certificate": 2_600}
LIVE = {"csr": 5_632, "certificate": 5_632}
FITS = {"csr": 8_192, "certificate": 8_192}
PASSES = 32  # of the loop, for a key and its request; in the first and last no arithmetic
THINGS = ("x", "greenhouse-1", "Field:7_b-" * 6 + "abcd", "T" * 128)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("firmware")
    bench_sensors.build(folder)
    return folder


def run(firmware: Path, bits: int, *words: object, heap: str = "400k") -> str:
    program = micropython(bits)
    script = ROOT / "tests" / "host" / "upy_p256.py"
    ran = subprocess.run(
        [*program, "-X", f"heapsize={heap}", str(script), *map(str, words)],
        env={"MICROPYPATH": str(firmware)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def checked(key_pem: str, csr: bytes, thing: str) -> Any:
    """The key, when all of it is as it should be."""
    key = ser.load_pem_private_key(key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    request = x509.load_der_x509_csr(csr)
    assert request.is_signature_valid
    assert isinstance(request.signature_hash_algorithm, hashes.SHA256)
    assert request.public_key() == key.public_key()
    wanted = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing[:64])])
    assert request.subject.public_bytes() == wanted.public_bytes()
    assert csr == request.public_bytes(ser.Encoding.DER)
    return key


@pytest.mark.parametrize("bits", [64, 32])
def test_request_and_key(firmware: Path, tmp_path: Path, bits: int) -> None:
    keys = set()
    for thing in (*THINGS, *["greenhouse-1"] * 6):  # another key each time
        made = json.loads(run(firmware, bits, "make", thing))
        key = checked(made["key"], base64.b64decode(made["csr"]), thing)
        traditional = key.private_bytes(
            ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
        )
        assert made["key"].encode() == traditional
        assert made["steps"] == 24  # so often readings go on meanwhile
        keys.add(made["key"])
    assert len(keys) == len(THINGS) + 6
    cert, held = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(pki.certificate(key).public_bytes(ser.Encoding.PEM))
    held.write_text(made["key"])
    assert run(firmware, bits, "load", cert, held) == "loaded\n"


def test_code(firmware: Path) -> None:
    found = json.loads(run(firmware, 32, "code"))
    print(f"heap of the code: {found}")
    assert all(found[name] <= CODE[name] for name in CODE)


def test_both_jobs_fit(firmware: Path, tmp_path: Path) -> None:
    csr, path = job(firmware, tmp_path, {"fieldmouse": "csr"}, FITS["csr"])
    assert csr[0] == "SUCCEEDED"
    der = base64.b64decode(csr[1]["csr"])
    key = checked((path / "key.pem").read_text(), der, "greenhouse-1")
    assert sorted(p.name for p in path.iterdir()) == ["csr.der", "key.pem"]
    text = padded(key)
    document = {"fieldmouse": "certificate", "certificate": text}
    assert job(firmware, tmp_path, document, FITS["certificate"])[0] == "trial"
    assert (path / "cert.pem").read_text() == text
    assert sorted(p.name for p in path.iterdir()) == ["cert.pem", "key.pem"]


def test_too_little_memory_is_seen(firmware: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="MemoryError"):
        job(firmware, tmp_path, {"fieldmouse": "csr"}, 3_000)


def job(firmware: Path, folder: Path, document: dict[str, str], size: int) -> tuple[Any, Path]:
    """What became of it, with ``size`` bytes of heap left; the folder of slot b."""
    (folder / "document.json").write_text(json.dumps(document))
    done, passes, most = json.loads(run(firmware, 32, "fits", size, folder).splitlines()[-1])
    kind = document["fieldmouse"]
    print(f"{kind}: at most {most} bytes in use")
    assert most <= LIVE[kind]
    assert passes == (PASSES if kind == "csr" else 2)
    return (done, folder / "certs" / "b") if done != "trial" else ("trial", folder)


def padded(key: Any) -> str:
    """A certificate as large as AWS's, which is signed by RSA."""
    text = pki.certificate(key, name="x" * 60, authority=pki.key("rsa"))
    return str(text.public_bytes(ser.Encoding.PEM).decode())
