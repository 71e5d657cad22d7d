"""mod_reqtimeout, as distributions enable it, times clients and not us: a body is not late because its application is.

The timer runs from httpd's first look at the body on, for a second and what the minimal rate adds, which is next to
nothing here. Applications pause for longer than that.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import raw_http
import pythons
from certificate import over_tls
from httpd import Httpd
from machine import libexec
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.waits]

CONFIGURATION = f"""
LoadModule reqtimeout_module {libexec()}/mod_reqtimeout.so
RequestReadTimeout header=20-40,minrate=500 body=1,minrate=10000000
WSGIDaemonProcess site python-home=@PYTHON@ threads=5
WSGIDaemonProcess narrow python-home=@PYTHON@ threads=1
WSGIDaemonProcess hasty python-home=@PYTHON@ threads=1 queue-timeout=20
WSGIApplicationGroup %{{GLOBAL}}
WSGIChunkedRequest On
WSGIScriptAlias /site @APPS@/late.wsgi process-group=site
WSGIScriptAlias /narrow @APPS@/late.wsgi process-group=narrow
WSGIScriptAlias /hasty @APPS@/late.wsgi process-group=hasty
@HTTPS@
"""
PAUSE = 1.5
CODINGS = ["length", "chunked"]


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


class Upload:
    """A POST of this body, sent as the test says."""

    def __init__(self, server: Httpd, path: str, body: bytes, coding: str = "length", port: str = "PORT"):
        self.connection = raw_http.Connection(server.ports[port])
        if port == "TLS":
            self.connection.socket = over_tls(self.connection.socket)
        framing = f"Content-Length: {len(body)}" if coding == "length" else "Transfer-Encoding: chunked"
        self.head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode()
        middle = len(body) // 2
        halves = body[:middle], body[middle:]
        if coding == "chunked":
            halves = raw_http.chunked(halves[0])[:-5], raw_http.chunked(halves[1])
        self.first, self.second = halves
        self.digest = hashlib.sha256(body).hexdigest()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.send(piece)

    def arrived_whole(self) -> bool:
        answer = self.connection.answer("POST")
        self.connection.socket.close()
        return answer.status == 200 and json.loads(answer.body)["digest"] == self.digest


def a_moment(upload: Upload) -> None:
    """The 0.2 s that lie between a head and its body on the way of a slow client; no answer comes meanwhile."""
    assert not select.select([upload.connection.socket], [], [], 0.2)[0]


@pytest.mark.parametrize("coding", CODINGS)
def test_the_application_reads_late(server: Httpd, marks: Path, coding: str):
    upload = Upload(server, f"/site/late?{marks}&{PAUSE}", os.urandom(1000), coding)
    upload.send(upload.head)
    wait_for((marks / "called").exists, "the application runs")
    upload.send(upload.first, upload.second)
    assert upload.arrived_whole()


@pytest.mark.daemon_mode
@pytest.mark.parametrize("version", pythons.VERSIONS)
def test_the_application_reads_late_on_every_python(serve_once, python, marks: Path, version: str):
    server = serve_once(CONFIGURATION.replace("@PYTHON@", str(python(version).home)))
    upload = Upload(server, f"/site/late?{marks}&{PAUSE}", os.urandom(1000))
    upload.send(upload.head)
    wait_for((marks / "called").exists, "the application runs")
    upload.send(upload.first, upload.second)
    assert upload.arrived_whole()


@pytest.mark.daemon_mode
@pytest.mark.parametrize("port", ["PORT", "TLS"])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1000, 200_000])
def test_the_application_pauses_between_two_reads(server: Httpd, marks: Path, size: int, coding: str, port: str):
    """Nothing but the pause is slow: the second half is sent as soon as the first was read."""
    upload = Upload(server, f"/site/parts?{marks}&{PAUSE}", os.urandom(size), coding, port)
    upload.send(upload.head, upload.first)
    wait_for((marks / "read").exists, "the first part was read")
    upload.send(upload.second)
    assert upload.arrived_whole()


@pytest.mark.daemon_mode
@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "pooled connection"])
@pytest.mark.parametrize("group", ["narrow", "hasty"])
def test_the_request_waits_in_the_queue(server: Httpd, marks: Path, group: str, warm: bool):
    if not warm:
        server.graceful()
    busy = [Upload(server, f"/{group}/late?{marks}&{PAUSE}", b"12") for _ in range(2 if warm else 1)]
    waiting = [Upload(server, f"/{group}/late?{marks}", os.urandom(1000)) for _ in range(2)]
    for upload in busy:
        upload.send(upload.head, upload.first, upload.second)
    wait_for((marks / "called").exists, "the only thread is busy")
    for upload in waiting:
        upload.send(upload.head)
        a_moment(upload)
        upload.send(upload.first, upload.second)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(Upload.arrived_whole, [*busy, *waiting]))


@pytest.mark.parametrize("path", ["late", "parts"])
def test_a_client_that_is_slow_itself_is_given_up(server: Httpd, marks: Path, path: str):
    upload = Upload(server, f"/site/{path}?{marks}", os.urandom(1000))
    upload.send(upload.head, upload.first)
    begun = time.monotonic()
    assert upload.connection.answer("POST").status == 408
    assert time.monotonic() - begun > 0.9
    upload.connection.socket.close()


@pytest.mark.daemon_mode
@pytest.mark.parametrize("state", ["more than is taken", "the next request", "the client is gone", "a part of a record"])
def test_a_child_that_waits_needs_no_processor(server: Httpd, marks: Path, state: str):
    """Whatever there is to read from the client while the application pauses."""
    size = 3_000_000 if state == "more than is taken" else 1000
    port = "TLS" if state == "a part of a record" else "PORT"
    upload = Upload(server, f"/site/never?{marks}&{PAUSE}", os.urandom(size), port=port)
    upload.send(upload.head)
    wait_for((marks / "called").exists, "the application runs")
    if state == "the client is gone":
        upload.send(upload.first)
        upload.connection.socket.shutdown(socket.SHUT_WR)
    elif state == "a part of a record":
        os.write(upload.connection.socket.fileno(), b"\x17\x03\x03\x04")
    elif state == "the next request":
        upload.send(upload.first, upload.second, f"GET /site/never?{marks} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    else:
        upload.connection.socket.setblocking(False)
        upload.connection.socket.send(upload.first)
    before = sum(child.cpu for child in server.children())
    assert not select.select([upload.connection.socket], [], [], PAUSE / 2)[0], "the application pauses"
    assert sum(child.cpu for child in server.children()) - before < 0.1 * PAUSE
    upload.connection.socket.close()

