"""Request bodies: every way to read wsgi.input, with Content-Length and chunked, small and large."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

import raw_http
from httpd import Httpd

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIProcessGroup site
WSGIScriptAlias /body @APPS@/body.wsgi
WSGIScriptAlias /echo @APPS@/echo.wsgi
WSGIScriptAlias /chunked/body @APPS@/body.wsgi
WSGIScriptAlias /chunked/echo @APPS@/echo.wsgi
WSGIScriptAlias /small @APPS@/echo.wsgi
@HTTPS@
<Location /chunked>
    WSGIChunkedRequest On
</Location>
<Location /small>
    LimitRequestBody 100
</Location>
"""

TEXT = b"first line\nsecond\n\nno newline at the end"
LINES = [b"first line\n", b"second\n", b"\n", b"no newline at the end"]
PIECES = {
    "read": [TEXT],
    "read_parts": [TEXT[start : start + 5] for start in range(0, len(TEXT), 5)],
    "read_minus_one": [TEXT],
    "read_nothing_first": [b"", TEXT],
    "read_past_the_end": [TEXT, b"", b"", b""],
    "readline": LINES,
    "readline_limited": [line[start : start + 4] for line in LINES for start in range(0, len(line), 4)],
    "readlines": LINES,
    "iterate": LINES,
    "mixed": [b"fi", b"rst line\n", b"s", b"econd\n", b"\nno newline at the end"],
    "unread": [],
}


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def post_chunked(server: Httpd, path: str, *pieces: bytes) -> raw_http.Answer:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return raw_http.exchange(server.ports["PORT"], head + raw_http.chunked(*pieces))


@pytest.mark.parametrize("way", PIECES)
def test_ways_to_read_a_body_of_known_length(server: Httpd, way: str):
    seen = server.post(f"/body/{way}", content=TEXT).json()
    assert seen == {"pieces": [piece.decode() for piece in PIECES[way]], "length": str(len(TEXT))}


@pytest.mark.parametrize("way", PIECES)
def test_ways_to_read_a_chunked_body(server: Httpd, way: str):
    answer = post_chunked(server, f"/chunked/body/{way}", TEXT[:4], TEXT[4:13], TEXT[13:])
    assert json.loads(answer.body) == {"pieces": [piece.decode() for piece in PIECES[way]], "length": None}


def test_readlines_with_a_hint_reads_whole_lines(server: Httpd):
    pieces = [piece.encode() for piece in server.post("/body/readlines_hint", content=TEXT).json()["pieces"]]
    assert pieces and pieces == LINES[: len(pieces)]


@pytest.mark.ours
def test_read_none_reads_all(server: Httpd):
    assert server.post("/body/read_none", content=TEXT).json()["pieces"] == [TEXT.decode()]


@pytest.mark.parametrize("way", ["read", "readline", "iterate", "readlines"])
def test_without_a_body_there_is_nothing_to_read(server: Httpd, way: str):
    seen = server.get(f"/body/{way}").json()
    assert b"".join(piece.encode() for piece in seen["pieces"]) == b""


def test_chunked_needs_permission(server: Httpd):
    assert post_chunked(server, "/echo", b"body").status == 411


@pytest.mark.parametrize("size", [1, 8191, 8192, 65536, 1_000_003, 8_000_000])
@pytest.mark.parametrize("port, options", [("PORT", {}), ("TLS", {"http2": True})])
def test_bodies_of_every_size_come_back(server: Httpd, size: int, port: str, options: dict):
    body = os.urandom(size)
    with server.client(port=port, **options) as client:
        answer = client.post("/echo", content=body)
    assert (answer.status_code, len(answer.content)) == (200, size)
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(body).digest()


def test_a_large_chunked_body_comes_back(server: Httpd):
    pieces = [os.urandom(70_000) for _ in range(30)]
    answer = post_chunked(server, "/chunked/echo", *pieces)
    assert (answer.status, answer.body) == (200, b"".join(pieces))


def test_several_bodies_on_one_connection(server: Httpd):
    with server.client() as client:
        for number in range(20):
            body = str(number).encode() * (number * 700 + 1)
            assert client.post("/echo", content=body).content == body


def test_a_body_nobody_reads_does_not_disturb_the_next_request(server: Httpd):
    with server.client() as client:
        for size in (10, 100_000, 10):
            assert client.post("/body/unread", content=b"x" * size).json()["pieces"] == []
            assert client.get("/body/unread").status_code == 200


def test_limit_of_the_request_body(server: Httpd):
    assert server.post("/small", content=b"x" * 100).status_code == 200
    assert server.post("/small", content=b"x" * 101).status_code == 413


@pytest.mark.parametrize("line", ["Content-Length: abc", "Content-Length: -5"])
def test_a_bad_content_length_is_a_bad_request(server: Httpd, line: str):
    head = f"POST /echo HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode()
    assert raw_http.exchange(server.ports["PORT"], head + b"12345").status == 400


def test_an_unknown_transfer_encoding_is_refused(server: Httpd):
    head = b"POST /chunked/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"
    assert raw_http.exchange(server.ports["PORT"], head).status in (400, 501)


def test_a_client_that_waits_for_100_continue_is_answered(server: Httpd):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert connection.socket.recv(1000).startswith(b"HTTP/1.1 100")
        connection.send(b"12345")
        assert connection.answer("POST").body == b"12345"


@pytest.mark.ours
def test_100_continue_is_not_sent_when_the_application_does_not_read(server: Httpd):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(
            b"POST /body/unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.socket.recv(12) == b"HTTP/1.1 200"


@pytest.mark.ours
def test_request_and_answer_at_once(server: Httpd):
    """An application that echoes while it reads: both directions at the same time, more than any buffer holds."""
    body = os.urandom(3_000_000)
    answer = server.post("/echo/stream", content=body)
    assert (answer.status_code, answer.content == body) == (200, True)
