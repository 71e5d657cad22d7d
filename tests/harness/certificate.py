"""A certificate for localhost with the authority that signed it, and what of its key to look for in a process's memory."""

from __future__ import annotations

import functools
import socket
import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import load_pem_private_key


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


@functools.cache
def _certificate() -> trustme.LeafCert:
    """Made once a run."""
    return _authority().issue_cert("localhost", common_name="localhost", key_type=trustme.KeyType.RSA)


def write_certificate(folder: Path) -> None:
    """localhost.key and localhost.crt."""
    key = folder / "localhost.key"
    _certificate().private_key_pem.write_to_path(key)
    key.chmod(0o600)
    (folder / "localhost.crt").write_bytes(b"".join(blob.bytes() for blob in _certificate().cert_chain_pems))


def trusting() -> ssl.SSLContext:
    """What a client needs that trusts the authority, and no other."""
    return ssl.create_default_context(cadata=_authority().cert_pem.bytes().decode())


def over_tls(plain: socket.socket) -> ssl.SSLSocket:
    """With TLS 1.2, where nothing comes after the handshake but the answer."""
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context.wrap_socket(plain, server_hostname="localhost")


def secrets_of(key: Path) -> list[bytes]:
    """Both primes of the key in both byte orders."""
    numbers = load_pem_private_key(key.read_bytes(), None).private_numbers()
    return [prime.to_bytes(128, order) for prime in (numbers.p, numbers.q) for order in ("big", "little")]
