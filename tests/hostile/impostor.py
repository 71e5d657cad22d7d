"""What a process sends to the socket of a group that is none of httpd's children, and says on standard output.

Run as `python impostor.py PLACE USER KIND SEED` by root: it opens the socket's place, becomes the user and connects.
Kinds: `forged` a whole request as a child's (for the script and with the environ of the variables SCRIPT and FORGED),
`guessed` the same behind a secret that it makes up, `late` a request in front of a secret, `oversized` a header that
announces 64 MiB and what follows, `partial` a few bytes and then nothing, `random` noise. Each prints how many bytes came
back before the end of the connection.
"""

from __future__ import annotations

import os
import pwd
import random
import socket
import struct
import sys

REQUEST, SECRET = 1, 5
KINDS = ["forged", "guessed", "late", "oversized", "partial", "random"]


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), kind) + payload


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def request(script: str, environ: dict[str, str]) -> bytes:
    """As src/wire/request.rs has it: for an application in the main interpreter."""
    variables = b"".join(
        struct.pack("<HI", len(name), len(value)) + name.encode() + value.encode() for name, value in environ.items()
    )
    head = b"\0" + text(script.encode()) + text(b"") + text(b"application") + struct.pack("<Q", 0)
    return frame(REQUEST, head + b"\0\1\0" + struct.pack("<QI", 0, len(variables)) + variables)


def environ(user: str) -> dict[str, str]:
    return {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "REMOTE_USER": user,
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http"}  # fmt: skip


def message(kind: str, script: str, chance: random.Random) -> bytes:
    forged = request(script, environ("admin"))
    secret = frame(SECRET, chance.randbytes(32))
    return {
        "forged": forged,
        "guessed": secret + forged,
        "late": forged + secret,
        "oversized": struct.pack("<II", 64 << 20, REQUEST) + b"x" * 100_000,
        "partial": secret[: chance.randrange(40)],
        "random": chance.randbytes(chance.randrange(1, 5000)),
    }[kind]


def become(user: str) -> None:
    account = pwd.getpwnam(user)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)


def main(place: str, user: str, kind: str, seed: str) -> None:
    descriptor = os.open(place, os.O_PATH)
    become(user)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5 if kind != "partial" else 0.3)
    connection.connect(f"/proc/self/fd/{descriptor}")
    received = 0
    try:
        connection.sendall(message(kind, os.environ["SCRIPT"], random.Random(int(seed))))
        while piece := connection.recv(65536):
            received += len(piece)
    except (ConnectionError, TimeoutError):
        pass
    print(received)


if __name__ == "__main__":
    main(*sys.argv[1:])
