"""Who waits for what and for how long: the statuses 503, 504 and 408, each with its reason in the log."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import raw_http
from certificate import trusting
from httpd import Httpd
from waiting import wait_for

APPLICATION = """
import os, time

class Endless:
    def __init__(self, mark):
        self.mark = mark

    def __iter__(self):
        while True:
            yield b"x" * 10000

    def close(self):
        open(self.mark, "x").close()

def pieces(folder):
    yield b"first "
    yield b"second "
    until = time.monotonic() + 10
    while not os.path.exists(os.path.join(folder, "go-on")) and time.monotonic() < until:
        time.sleep(0.01)
    yield b"last"

def application(environ, start_response):
    if environ["PATH_INFO"] == "/pieces":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/endless":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Endless(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/wait":
        until = time.monotonic() + 10
        while not os.path.exists(environ["QUERY_STRING"]) and time.monotonic() < until:
            time.sleep(0.01)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """
Timeout 2
WSGIDaemonProcess slow python-home=@PYTHON@ threads=1 socket-timeout=1
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIDaemonProcess short python-home=@PYTHON@ threads=1 response-socket-timeout=500ms
WSGIDaemonProcess patient python-home=@PYTHON@ threads=1 socket-timeout=500ms response-socket-timeout=1500ms
WSGIScriptAlias /patient @ROOT@/waits.wsgi process-group=patient
WSGIDaemonProcess default python-home=@PYTHON@ threads=1 socket-timeout=500ms
WSGIDaemonProcess at-once python-home=@PYTHON@ threads=1 response-flush-delay=0
WSGIDaemonProcess later python-home=@PYTHON@ threads=1 response-flush-delay=400
WSGIScriptAlias /at-once @ROOT@/waits.wsgi process-group=at-once
WSGIScriptAlias /later @ROOT@/waits.wsgi process-group=later
WSGIScriptAlias /short @ROOT@/waits.wsgi process-group=short
WSGIScriptAlias /default @ROOT@/waits.wsgi process-group=default
@HTTPS@
WSGIScriptAlias /slow @ROOT@/waits.wsgi process-group=slow
WSGIScriptAlias /site @ROOT@/waits.wsgi process-group=site
WSGIScriptAlias /only @ROOT@/waits.wsgi process-group=site
<Location /only>
    AcceptPathInfo Off
</Location>
"""

pytestmark = [pytest.mark.ours, pytest.mark.waits]


def started(server: Httpd) -> Httpd:
    script = server.root / "waits.wsgi"
    script.write_text(APPLICATION)
    script.chmod(0o644)
    return server.start()


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return started(serve.prepare(CONFIGURATION))


def test_an_application_that_does_not_answer_in_time_is_504(server: Httpd):
    go_on, start = server.root / "go-on", len(server.error_log())
    begun = time.monotonic()
    assert server.get(f"/slow/wait?{go_on}").status_code == 504
    # The one thread is still busy: nobody accepts the next one either.
    assert server.get("/slow/").status_code == 504
    assert 2 <= time.monotonic() - begun < 6
    go_on.touch()
    assert server.error_log()[start:].count("WSGI232") == 2 and "being loaded" not in server.error_log()[start:]
    wait_for(lambda: server.get("/slow/").status_code == 200, "the thread is free again")


LOADS = """
import os, time
while not os.path.exists("{mark}"):
    time.sleep(0.01)

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"loaded"]
"""


@pytest.mark.parametrize("known", [True, False], ids=["in advance", "by its request"])
def test_a_script_that_is_still_being_loaded_is_said_to_be(serve_once, known: bool):
    target = "/ @ROOT@/scripts/loads.wsgi" if known else "/scripts/ @ROOT@/scripts/"
    server = serve_once.prepare(f"WSGIDaemonProcess site python-home=@PYTHON@ socket-timeout=1\nWSGIScriptAlias {target} process-group=site\n")
    (server.root / "scripts").mkdir()
    mark = server.root / "go-on"
    (server.root / "scripts/loads.wsgi").write_text(LOADS.replace("{mark}", str(mark)))
    server.start()
    what = "no process accepted the request" if known else "the application did not answer"
    said = f"WSGI232: {what} within 1 s: the script is still being loaded, for "

    def told() -> bool:
        assert server.get("/scripts/loads.wsgi").status_code == 504
        return said in server.error_log()

    wait_for(told, said, timeout=30)
    mark.touch()
    wait_for(lambda: server.get("/scripts/loads.wsgi").text == "loaded", "it is loaded")


def test_a_client_that_sends_its_body_too_slowly_is_408(server: Httpd):
    with raw_http.Connection(server.ports["PORT"], timeout=10) as connection:
        connection.send(b"POST /site/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
        assert connection.answer().status == 408


def test_path_info_that_is_refused_is_404(server: Httpd):
    assert server.get("/only").status_code == 200
    start = len(server.error_log())
    assert server.get("/only/more").status_code == 404
    server.wait_for_log("AcceptPathInfo", start=start)


def test_sockets_have_no_names_and_nothing_needs_their_directory(serve_once):
    server = started(serve_once.prepare(CONFIGURATION))
    assert not [path for path in (server.root / "run").iterdir() if path.is_socket()]
    assert server.get("/site/").status_code == 200
    (server.root / "run").chmod(0o700)
    server.graceful()
    for daemon in server.daemons("site"):
        daemon.kill()
    wait_for(lambda: server.get("/site/").status_code == 200, "another process serves")


@contextmanager
def client_that_does_not_read(server: Httpd, group: str, mark: Path, port: str = "PORT") -> Iterator[socket.socket]:
    """It has sent a request for an endless answer."""
    mark.parent.mkdir(exist_ok=True)
    mark.parent.chmod(0o777)
    with raw_http.Connection(server.ports[port]) as connection, ExitStack() as held:
        client = connection.socket
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        if port == "TLS":
            client = held.enter_context(trusting().wrap_socket(client, server_hostname="localhost"))
        client.sendall(f"GET /{group}/endless?{mark} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield client


@pytest.mark.parametrize(
    "group, port, least, most",
    [
        ("short", "PORT", 0.5, 1.9),
        ("short", "TLS", 0.5, 1.9),
        ("default", "PORT", 0.5, 1.9),
        pytest.param("patient", "PORT", 1.5, 1.95, id="longer than socket-timeout"),
        pytest.param("site", "PORT", 2, math.inf, id="the timeout of httpd"),
    ],
)
def test_a_client_that_does_not_read_is_cut(server: Httpd, group: str, port: str, least: float, most: float):
    """httpd's Timeout is 2."""
    mark, start = server.root / "marks" / f"{group}-{port}", len(server.error_log())
    begun = time.monotonic()
    with client_that_does_not_read(server, group, mark, port):
        wait_for(mark.exists, "the application's iterable is closed")
        assert least <= time.monotonic() - begun < most
        server.wait_for_log("WSGI226", start=start)


def test_a_client_that_reads_slowly_has_its_answer(server: Httpd):
    """Each silence is shorter than the limit, all of them together are not."""
    mark = server.root / "marks" / "reads"
    begun = time.monotonic()
    with client_that_does_not_read(server, "short", mark) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while time.monotonic() - begun < 1.5:
            for _ in range(500):
                assert client.recv(100_000)
            assert not mark.exists()
            time.sleep(0.1)
    wait_for(mark.exists, "the application's iterable is closed")


def test_the_body_of_a_client_is_waited_for_as_long_as_httpd_says(server: Httpd):
    """Also after an answer that had a limit of its own on the same connection."""
    with raw_http.Connection(server.ports["PORT"], timeout=10) as connection:
        for _ in range(2):
            connection.send(b"POST /short/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
            assert not connection.closed_by_server(within=1)
            connection.send(b"defghij")
            assert connection.answer().body == b"abcdefghij"


@pytest.mark.parametrize(
    "group, least, most", [("at-once", 0, 0.3), ("site", 0.005, 0.3), ("later", 0.4, 0.7)], ids=["0", "default", "400"]
)
def test_data_leaves_after_the_delay(server: Httpd, group: str, least: float, most: float):
    """The best of several attempts: another process may have had the processor in one of them."""
    taken = []
    for attempt in range(5):
        folder = server.root / "pieces" / f"{group}-{attempt}"
        folder.mkdir(parents=True)
        with raw_http.Connection(server.ports["PORT"], timeout=5) as connection:
            begun = time.monotonic()
            connection.send(f"GET /{group}/pieces?{folder} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            received = b""
            while b"second " not in received:
                received += connection.socket.recv(65536)
            taken.append(time.monotonic() - begun)
            (folder / "go-on").touch()
            while not received.endswith(b"0\r\n\r\n"):
                received += connection.socket.recv(65536)
            assert b"last" in received
        if group == "later":
            assert b"first second " in received, "one chunk"
    assert least <= min(taken) < most


def test_the_end_of_an_answer_waits_for_no_delay(server: Httpd):
    begun = time.monotonic()
    for _ in range(5):
        assert server.post("/later/", content=b"whole").content == b"whole"
    assert time.monotonic() - begun < 5 * 0.4
