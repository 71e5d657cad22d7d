"""Fifty graceful restarts in a row under load, in both modes: no request fails, nothing piles up.

GRACEFUL_TIMES is how many.
"""

from __future__ import annotations

import os
import threading
import time

import httpx
import pytest

import raw_http
from httpd import Httpd
from waiting import wait_for

CONFIGURATION = """
WSGIDaemonProcess one python-home=@PYTHON@ processes=2 threads=3
WSGIDaemonProcess two python-home=@PYTHON@ threads=3
WSGIScriptAlias /one @APPS@/hello.wsgi process-group=one application-group=%{GLOBAL}
WSGIScriptAlias /two @APPS@/hello.wsgi process-group=two application-group=%{GLOBAL}
WSGIScriptAlias /here @APPS@/hello.wsgi
WSGIPythonHome @PYTHON@
MaxConnectionsPerChild 0
"""
TIMES = int(os.environ.get("GRACEFUL_TIMES", "50"))


class Load:
    """Requests without a pause from a few threads, until told to stop; remembers what went wrong."""

    def __init__(self, server: Httpd, threads: int = 4):
        self.server, self.failures, self.count = server, [], 0
        self.going = True
        self.threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.going = False
        for thread in self.threads:
            thread.join()

    def _work(self, number: int) -> None:
        """A new connection each time: an idle one may be closed at any moment, which is no failure of the server."""
        path = ("/one", "/two", "/here", "/one")[number]
        while self.going:
            try:
                answer = self.server.get(path)
                if (answer.status_code, answer.text) != (200, "Hello, world!"):
                    self.failures.append((answer.status_code, answer.text[:200]))
            except httpx.HTTPError as error:
                self.failures.append((type(error).__name__, str(error)))
            self.count += 1


@pytest.mark.waits
@pytest.mark.ours
def test_fifty_graceful_restarts_under_load(serve_once):
    server = serve_once(CONFIGURATION)
    parent = next(process for process in server.note_processes() if process.pid == server.parent.pid)
    server.wait_for_daemons(3)
    server.graceful()
    quiet = settled(server)
    descriptors, memory = len(parent.descriptors), parent.resident
    began = time.monotonic()
    with Load(server) as load:
        for _ in range(TIMES):
            before = load.count
            server.graceful()
            wait_for(lambda: load.count > before + 5, "requests go on")
    assert load.failures == []
    assert load.count > TIMES * 5
    assert settled(server) == quiet == {"one": 2, "two": 1, "supervisor": 1}
    assert len(parent.descriptors) <= descriptors + 1
    assert parent.resident < memory + 6000, f"{memory} KiB grew to {parent.resident} KiB in {TIMES} restarts"
    assert time.monotonic() - began < 2.4 * TIMES


def settled(server: Httpd) -> dict[str, int]:
    """How many processes of each kind there are once the old generations have gone."""

    def count() -> dict[str, int]:
        daemons = {name: len(server.daemons(name)) for name in ("one", "two")}
        return daemons | {"supervisor": len(server.supervisors())}

    wait_for(lambda: count() == {"one": 2, "two": 1, "supervisor": 1}, "the old generations have gone", timeout=30)
    return count()


@pytest.mark.ours
def test_one_graceful_restart_lets_a_running_request_finish(serve_once):

    server = serve_once(
        "WSGIDaemonProcess site python-home=@PYTHON@ threads=3 graceful-timeout=20\n"
        "WSGIScriptAlias / @APPS@/answers.wsgi process-group=site\n"
    )
    go_on = server.root / "go-on"
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(f"GET /slow?{go_on} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = connection.socket.recv(65536)
        while b"first" not in received:
            received += connection.socket.recv(65536)
        server.graceful()
        assert server.get("/a_list").text == "one two three"
        go_on.touch()
        while not received.endswith(b"0\r\n\r\n"):
            piece = connection.socket.recv(65536)
            assert piece, received
            received += piece
    assert b"last" in received
