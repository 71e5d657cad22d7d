"""Headers of a single connection (PEP 3333, RFC 9110) that an application passes on, as proxies written in Python do.

They are left out, with one warning for each script and header. A body that was passed on with its chunks loses them.
"""

from __future__ import annotations

import json
import re
import shutil

import pytest

import raw_http
from httpd import Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias /app @APPS@/passed_on.wsgi
WSGIScriptAlias /told @ROOT@/told.wsgi
WSGIScriptAlias /also @ROOT@/also.wsgi
"""

NAMES = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Trailers", "Transfer-Encoding", "Upgrade"]
TYPE = ("Content-Type", "text/plain")
CHUNKED = ("Transfer-Encoding", "chunked")
WAYS = pytest.mark.parametrize("how", ["list", "iterator", "write"])
FRAMED = "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    for name in ("told", "also"):
        shutil.copy(server.root / "apps/passed_on.wsgi", server.root / f"{name}.wsgi")
    return server.start()


def ask(server: Httpd, *headers: tuple[str, str], path: str = "/app", method: str = "GET", version: str = "1.1", **answer) -> raw_http.Answer:
    text = json.dumps({"headers": [TYPE, *headers], **answer})
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(f"{method} {path} HTTP/{version}\r\nHost: a\r\nX-Answer: {text}\r\n\r\n".encode())
        return connection.answer(method)


@pytest.mark.parametrize("name", [*NAMES, "connection", "KEEP-ALIVE"])
def test_they_are_left_out(server: Httpd, name: str):
    answer = ask(server, (name, "x-mine"), ("X-A", "b"), body=["hello"])
    assert (answer.status, answer.body, answer.complete, answer.header("X-A")) == (200, b"hello", True, "b")
    assert "x-mine" not in str(answer.headers)


def test_the_connection_stays_open(server: Httpd):
    text = json.dumps({"headers": [TYPE, ("Connection", "close"), ("Content-Length", "5")], "body": ["hello"]})
    request = f"GET /app HTTP/1.1\r\nHost: a\r\nX-Answer: {text}\r\n\r\n".encode()
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for _ in range(2):
            connection.send(request)
            answer = connection.answer()
            assert (answer.body, "close" in (answer.header("Connection") or "")) == (b"hello", False)


@pytest.mark.one_process
def test_each_script_is_told_once_of_each(server: Httpd):
    start = len(server.error_log())
    for path in ("/told", "/also"):
        for name in (*NAMES, *NAMES, "connection"):
            assert ask(server, (name, "1"), body=["hello"], path=path).status == 200
    server.wait_for_log(r"WSGI415: the application '\S+also.wsgi' .* header Upgrade", start=start)
    warned = re.findall(r"WSGI415: the application '\S+/(told|also).wsgi' answers with the header ([\w-]+),", server.error_log()[start:])
    assert sorted(warned) == sorted((script, name) for script in ("told", "also") for name in NAMES)


def test_wrong_ones_are_refused_as_others_are(server: Httpd):
    assert ask(server, ("Connection", "close\r\nX-Injected: 1"), body=["hello"]).status == 500


# Transfer-Encoding: chunked


@WAYS
@pytest.mark.parametrize("coding", ["chunked", "Chunked", "gzip, chunked"])
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_chunks_are_not_sent_twice(server: Httpd, how: str, coding: str, step: int):
    pieces = [FRAMED[at : at + step] for at in range(0, len(FRAMED), step)]
    answer = ask(server, ("Transfer-Encoding", coding), body=pieces, how=how)
    assert (answer.status, answer.body, answer.complete) == (200, b"hello world", True)
    assert answer.all("Transfer-Encoding") == ["chunked"]


@WAYS
@pytest.mark.parametrize("body", [["hello"], ["5", "\r\n"], ["fff"], ["12\r\n3\r\n4\r\n"], ["5\r\nhello, world"], [], ["ff", "f of all"]])
def test_data_that_was_decoded_is_sent_as_it_is(server: Httpd, how: str, body: list[str]):
    answer = ask(server, CHUNKED, body=body, how=how)
    assert (answer.status, answer.body, answer.complete) == (200, "".join(body).encode(), True)


def test_without_the_header_chunks_are_data(server: Httpd):
    assert ask(server, body=[FRAMED]).body == FRAMED.encode()
    assert ask(server, ("Transfer-Encoding", "identity"), body=[FRAMED]).body == FRAMED.encode()


def test_a_client_of_http_1_0_gets_the_data(server: Httpd):
    answer = ask(server, CHUNKED, body=[FRAMED], version="1.0")
    assert (answer.body, answer.all("Transfer-Encoding")) == (b"hello world", [])


@pytest.mark.parametrize("length", [5, 11, len(FRAMED)])
def test_content_length_counts_for_data_only(server: Httpd, length: int):
    """RFC 9112, 6.3: beside chunks it says nothing."""
    answer = ask(server, CHUNKED, ("Content-Length", str(length)), body=[FRAMED])
    assert (answer.body, answer.complete, answer.all("Content-Length")) == (b"hello world", True, [])
    answer = ask(server, CHUNKED, ("Content-Length", "5"), body=["hello"])
    assert (answer.body, answer.complete, answer.all("Content-Length")) == (b"hello", True, ["5"])


def test_head_has_no_data(server: Httpd):
    for body in ([FRAMED], []):
        answer = ask(server, CHUNKED, body=body, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")


@WAYS
@pytest.mark.parametrize(
    "pieces",
    [
        ["5\r\nhello\r\n", "world"],
        ["5\r\nhello\r\nworld"],
        ["5\r\nhello\r\n", "0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"],
        ["5\r\nhello\r\n", "fffffffffffffffff\r\n"],
        ["5\r\nhello\r\n", "5\nhello\r\n0\r\n\r\n"],
        ["5\r\nhello\r\n"],
        ["5\r\nhello\r\n3\r\nab"],
        ["5\r\nhello\r\n", "0\r\n"],
    ],
)
def test_chunks_that_are_wrong_never_look_complete(server: Httpd, how: str, pieces: list[str]):
    start = len(server.error_log())
    answer = ask(server, CHUNKED, body=pieces, how=how)
    assert answer.status == 500 or not answer.complete
    assert b"mine" not in answer.body
    server.wait_for_log("ValueError: the body that the application passed on with Transfer-Encoding: chunked", start=start)
