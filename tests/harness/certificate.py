"""A self-signed certificate for localhost, and what of its private key one can find in a process's memory."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def certificate() -> dict[str, bytes]:
    """Made once a run: localhost.key and localhost.crt."""
    with tempfile.TemporaryDirectory() as folder:
        key, chain = f"{folder}/localhost.key", f"{folder}/localhost.crt"
        command = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        )
        subprocess.run([*command.split(), "-keyout", key, "-out", chain], check=True, capture_output=True)
        return {Path(path).name: Path(path).read_bytes() for path in (key, chain)}


def write_certificate(folder: Path) -> None:
    for name, content in certificate().items():
        (folder / name).write_bytes(content)
    (folder / "localhost.key").chmod(0o600)


def secrets_of(key: Path) -> list[bytes]:
    """Both primes of the key in both byte orders."""
    command = ["openssl", "rsa", "-in", str(key), "-noout", "-text"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = []
    for name in ("prime1", "prime2"):
        digits = re.search(rf"{name}:((?:\s*[0-9a-f]{{2}}:?)+)", text)[1]
        number = bytes.fromhex(re.sub(r"[:\s]", "", digits)).lstrip(b"\0")
        found += [number, number[::-1]]
    assert {len(number) for number in found} == {128}
    return found
