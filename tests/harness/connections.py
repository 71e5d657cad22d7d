"""The connections between httpd's children and the daemons: persistent, and as many as there ever were requests at once.

A test that counts descriptors makes them all first.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import raw_http
from httpd import Httpd
from waiting import wait_for


def fill(server: Httpd, count: int) -> None:
    """So many requests for echo.wsgi at /echo at once; on prefork each in a child of its own."""
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(raw_http.Connection(server.ports["PORT"])) for _ in range(count)]
        for client in clients:
            client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na")
        wait_for(lambda: to_daemons(server) >= count, f"{count} connections")
        for client in clients:
            client.send(b"b")
        assert all(client.answer().body == b"ab" for client in clients)


def to_daemons(server: Httpd) -> int:
    """Those that a process holds, and those that wait to be accepted."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(str(server.root) in line and line.split()[3] == "00000000" for line in lines)
