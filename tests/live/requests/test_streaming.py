"""Data that leaves as soon as the application gives it, and bodies that cross only when the application asks for them.

Server-sent events, both directions at once, Expect: 100-continue and bodies that httpd refuses by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

import raw_http
from httpd import MPM, Httpd
from waiting import wait_for

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIChunkedRequest On
WSGIScriptAlias /stream @APPS@/streaming.wsgi
WSGIScriptAlias /limited @APPS@/streaming.wsgi
WSGIScriptAlias /measured @APPS@/streaming.wsgi
<Location /limited>
    LimitRequestBody 1000
</Location>
<Location /measured>
    WSGIChunkedRequest Off
</Location>
@HTTPS@
"""

SOON = 0.02


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def nothing_comes(connection: raw_http.Connection, within: float = 0.3) -> bool:
    return not select.select([connection.socket], [], [], within)[0]


def receive_until(connection: raw_http.Connection, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        piece = connection.socket.recv(65536)
        assert piece, f"the answer ended after {received[-300:]!r}"
        received += piece
    return received


# Server-sent events


def delays(server: Httpd, name: str, port: str = "PORT", **options) -> list[tuple[float, float]]:
    """For each event when it was yielded and when it arrived."""
    times, pending = [], b""
    with server.client(port=port, **options) as client, client.stream("GET", f"/stream/{name}") as answer:
        for piece in answer.iter_raw():
            now, pending = time.time(), pending + piece
            *events, pending = pending.split(b"\n\n")
            times += [(float(event.partition(b"data: ")[2]), now) for event in events]
    assert len(times) == 5
    return times


@pytest.mark.parametrize(
    "name, port, options",
    [
        ("events", "PORT", {}),
        ("events_written", "PORT", {}),
        ("events", "TLS", {"http2": False}),
        pytest.param(
            "events", "TLS", {"http2": True}, marks=pytest.mark.skipif(MPM == "prefork", reason="no mod_http2")
        ),
    ],
)
def test_events_arrive_at_once(server: Httpd, name: str, port: str, options: dict):
    """The best of several rounds: another process may have had the processor in one of them."""
    rounds = [delays(server, name, port, **options) for _ in range(5)]
    for number in range(5):
        assert min(arrived - yielded for yielded, arrived in (times[number] for times in rounds)) < SOON, number
    assert any(
        all(arrived < next_yielded for (_, arrived), (next_yielded, _) in zip(times, times[1:])) for times in rounds
    )


@pytest.mark.ours
@pytest.mark.skipif(MPM == "prefork", reason="each piece leaves at once there in embedded mode")
def test_small_pieces_share_a_write(server: Httpd):
    """httpd makes a chunk of what is passed on at a time."""
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head("GET", "/stream/pieces"))
        received = receive_until(connection, b"0\r\n\r\n")
    assert received.count(b"a") >= 64_000
    assert received.count(b"\r\na") <= 20


def test_a_client_that_does_not_read_keeps_no_other_from_its_data(server: Httpd):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head("GET", "/stream/trickle"))
        wait_until_full(connection)
        rounds = [delays(server, "events") for _ in range(5)]
        assert min(max(arrived - yielded for yielded, arrived in times) for times in rounds) < SOON


def test_streams_keep_no_other_request_waiting(server: Httpd, marks: Path):
    """More of them than threads take turns at the GIL at first."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            held = stack.enter_context(raw_http.Connection(server.ports["PORT"]))
            held.send(head("GET", f"/stream/held?{marks}"))
            receive_until(held, b"begun\r\n")
        stack.callback((marks / "go").touch)
        with server.client() as client:
            times = []
            for _ in range(30):
                begun = time.monotonic()
                assert client.get("/stream/short").content == b"short"
                times.append(time.monotonic() - begun)
    assert min(times[10:]) < 0.004


def wait_until_full(connection: raw_http.Connection) -> None:
    """Until the server has nothing more to send into: what waits at the client grows no more."""

    def waiting() -> int:
        return int.from_bytes(fcntl.ioctl(connection.socket, termios.FIONREAD, bytes(4)), sys.byteorder)

    known = [waiting()]

    def stands_still() -> bool:
        known.append(waiting())
        return known[-1] > 0 and known[-20:] == known[-1:] * 20

    wait_for(stands_still, "the client's side is full")


# Both directions at once


def sent_in_background(connection: raw_http.Connection, data: bytes) -> threading.Thread:
    thread = threading.Thread(target=connection.send, args=(data,))
    thread.start()
    return thread


@pytest.mark.ours
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_echo_of_several_megabytes_while_they_are_read(server: Httpd, coding: str):
    body = os.urandom(1_000_000) * 12
    if coding == "chunked":
        pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
        framing, data = "Transfer-Encoding: chunked", raw_http.chunked(*pieces)
    else:
        framing, data = f"Content-Length: {len(body)}", body
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head("POST", "/stream/echo", framing))
        sender = sent_in_background(connection, data)
        answer = connection.answer("POST")
        sender.join(10)
    assert (answer.status, answer.complete, len(answer.body)) == (200, True, len(body))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


@pytest.mark.ours
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_echo_in_turns(server: Httpd, coding: str, size: int):
    """The client sends a line only when it has the answer to the one before."""
    line, turns = b"x" * (size - 1) + b"\n", 6
    framing = "Transfer-Encoding: chunked" if coding == "chunked" else f"Content-Length: {size * turns}"
    with raw_http.Connection(server.ports["PORT"], timeout=8) as connection:
        connection.send(head("POST", "/stream/echo_lines", framing))
        received = b""
        for turn in range(turns):
            connection.send(b"%x\r\n%s\r\n" % (size, line) if coding == "chunked" else line)
            while received_lines(received, size) <= turn:
                piece = connection.socket.recv(65536)
                assert piece, received[-300:]
                received += piece
        if coding == "chunked":
            connection.send(b"0\r\n\r\n")
        received += receive_until(connection, b"0\r\n\r\n") if not received.endswith(b"0\r\n\r\n") else b""
    assert received_lines(received, size) == turns


def received_lines(received: bytes, size: int) -> int:
    """How many lines of the echo are whole, in an answer in chunks of which each may hold any part of it."""
    _, _, rest = received.partition(b"\r\n\r\n")
    data = b""
    while b"\r\n" in rest:
        length, _, rest = rest.partition(b"\r\n")
        data, rest = data + rest[: int(length, 16)], rest[int(length, 16) + 2 :]
    return len(data) // size


@pytest.mark.ours
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_large_answer_before_the_body_is_read(server: Httpd, coding: str):
    """The body is sent only when most of the answer has arrived, which is more than all socket buffers hold."""
    body = os.urandom(2_000_000)
    framing = "Transfer-Encoding: chunked" if coding == "chunked" else f"Content-Length: {len(body)}"
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head("POST", "/stream/answer_first", framing))
        received = bytearray()
        while received.count(b"a") < 9_900_000:
            piece = connection.socket.recv(1 << 20)
            assert piece
            received += piece
        sender = sent_in_background(connection, raw_http.chunked(body) if coding == "chunked" else body)
        received += receive_until(connection, b"\r\n0\r\n\r\n")
        sender.join(10)
    assert hashlib.sha256(body).hexdigest().encode() in received[-200:]


@pytest.mark.ours
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_prompt_reaches_the_client_before_it_sends(server: Httpd, coding: str):
    framing = "Transfer-Encoding: chunked" if coding == "chunked" else "Content-Length: 10"
    with raw_http.Connection(server.ports["PORT"], timeout=8) as connection:
        connection.send(head("POST", "/stream/prompt", framing))
        assert b"prompt" in receive_until(connection, b"prompt\r\n")
        connection.send(b"5\r\nhello\r\n" if coding == "chunked" else b"hello")
        assert b"got hello" in receive_until(connection, b"; more?\r\n")
        connection.send(b"5\r\nworld\r\n0\r\n\r\n" if coding == "chunked" else b"world")
        assert b"world" in receive_until(connection, b"0\r\n\r\n")


# HEAD


def test_head_of_a_stream_has_no_body_and_is_iterated_to_its_end(server: Httpd, marks: Path):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head("HEAD", f"/stream/paused?{marks}"))
        (marks / "go-on").touch()
        assert connection.answer("HEAD").status == 200
        connection.send(head("GET", f"/stream/paused?{marks}"))
        assert connection.answer().body == b"first last"
    assert (marks / "iterated").exists()


# Expect: 100-continue


@pytest.mark.ours
@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Content-Length: 5", "Transfer-Encoding: chunked"])
def test_expect_100_refused_by_the_application(server: Httpd, marks: Path, framing: str):
    """Not a byte of the body need be sent, and the client never sees 100."""
    with raw_http.Connection(server.ports["PORT"], timeout=5) as connection:
        connection.send(head("POST", f"/stream/refuse?{marks}", framing, "Expect: 100-continue"))
        answer = connection.answer("POST")
        assert (answer.status, answer.body, answer.complete) == (401, b"not without a password", True)
        assert connection.closed_by_server()
    assert (marks / "called").exists()


@pytest.mark.ours
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_expect_100_accepted_by_the_first_read(server: Httpd, marks: Path, framing: str):
    with raw_http.Connection(server.ports["PORT"], timeout=8) as connection:
        connection.send(head("POST", f"/stream/accept_later?{marks}", framing, "Expect: 100-continue"))
        wait_for((marks / "called").exists, "the application runs")
        assert nothing_comes(connection)
        (marks / "go-on").touch()
        assert receive_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        assert nothing_comes(connection, 0.05)
        connection.send(b"12345" if framing.startswith("Content") else raw_http.chunked(b"123", b"45"))
        assert connection.answer("POST").body == b"got 12345"


def test_expect_100_of_a_client_that_does_not_wait(server: Httpd, marks: Path):
    with raw_http.Connection(server.ports["PORT"], timeout=8) as connection:
        (marks / "go-on").touch()
        request = head("POST", f"/stream/accept_later?{marks}", "Content-Length: 5", "Expect: 100-continue")
        connection.send(request + b"12345")
        answer = connection.answer("POST")
    assert (answer.status, answer.body) == (200, b"got 12345")


def test_expect_100_is_ignored_in_http_1_0(server: Httpd, marks: Path):
    (marks / "go-on").touch()
    request = head("POST", f"/stream/accept_later?{marks}", "Content-Length: 5", "Expect: 100-continue")
    answer = raw_http.exchange(server.ports["PORT"], request.replace(b"HTTP/1.1", b"HTTP/1.0") + b"12345")
    assert (answer.status, answer.body) == (200, b"got 12345")


def test_unknown_expectation_is_refused(server: Httpd, marks: Path):
    answer = raw_http.get(server.ports["PORT"], f"/stream/called?{marks}", "Expect: a-miracle")
    assert answer.status == 417
    assert not (marks / "called").exists()


# Bodies that httpd refuses


@pytest.mark.parametrize(
    "place, headers, status",
    [
        ("limited", ["Content-Length: 1001"], 413),
        ("limited", ["Content-Length: 1001", "Expect: 100-continue"], 413),
        ("measured", ["Transfer-Encoding: chunked"], 411),
        ("measured", ["Transfer-Encoding: chunked", "Expect: 100-continue"], 411),
        ("stream", ["Transfer-Encoding: gzip, chunked"], 501),
        ("measured", ["Transfer-Encoding: gzip, chunked"], 501),
        ("stream", ["Transfer-Encoding: gzip"], 400),
        ("stream", ["Content-Length: -1"], 400),
        ("stream", ["Content-Length: 5x"], 400),
        ("stream", ["Content-Length: 5, 6"], 400),
        ("stream", ["Content-Length: 5", "Content-Length: 6"], 400),
        ("stream", ["Content-Length: 99999999999999999999999"], 400),
    ],
    ids=str,
)
def test_body_is_refused_before_the_application_runs(server: Httpd, marks: Path, place: str, headers: list, status: int):
    with raw_http.Connection(server.ports["PORT"], timeout=5) as connection:
        connection.send(head("POST", f"/{place}/called?{marks}", *headers))
        answer = connection.answer("POST")
        assert (answer.status, answer.complete) == (status, True)
        assert connection.closed_by_server()
    assert not (marks / "called").exists()


def test_chunked_body_above_the_limit(server: Httpd, marks: Path):
    """How large it is shows only while the application reads; it may be answered 413 by then."""
    request = head("POST", f"/limited/called?{marks}", "Transfer-Encoding: chunked")
    answer = raw_http.exchange(server.ports["PORT"], request + raw_http.chunked(*[b"x" * 400] * 3))
    assert (answer.status, answer.complete) == (413, True)


def test_chunked_body_within_the_limit(server: Httpd, marks: Path):
    request = head("POST", f"/limited/called?{marks}", "Transfer-Encoding: chunked")
    answer = raw_http.exchange(server.ports["PORT"], request + raw_http.chunked(*[b"x" * 400] * 2))
    assert (answer.status, answer.body) == (200, b"got 800")
