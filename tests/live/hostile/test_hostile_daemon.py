"""A daemon that speaks the wire itself cannot reach another site through the child that both share.

Behind each of its answers, on the same connection, are requests for another virtual host: they get their own answers,
or the connection was cut. What no application can say by WSGI is refused with one line in the log, and leaves nothing
behind in the child. tests/hostile/hostile_daemon.py makes such plans at random, for as long as one likes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import raw_http
import wire
from httpd import Httpd
from machine import libexec
from waiting import wait_for
from wire import data, end, file, fill, frame, head, length, log, passing, repeat, want

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
HEADED = [head(b"200 OK", length(4))]
WHOLE = [*HEADED, data(b"wire"), end()]
OPEN = [head(b"200 OK")]  # without a length

FRONT = """
LoadModule proxy_module @MODULES@/mod_proxy.so
LoadModule proxy_http_module @MODULES@/mod_proxy_http.so
Listen 127.0.0.1:@PORT2@
<VirtualHost *:@PORT2@>
    ServerName good.example
    ServerAlias evil.example
    ProxyPreserveHost On
    ProxyPass / http://127.0.0.1:@PORT@/ max=1
</VirtualHost>
"""


@pytest.fixture(scope="module")
def server(serve) -> Iterator[Httpd]:
    yield wire.take_over(serve(wire.CONFIGURATION + FRONT.replace("@MODULES@", str(libexec()))))


@pytest.fixture(autouse=True)
def nothing_is_left(server: Httpd) -> Iterator[None]:
    """The child is the same one, and holds no more than before."""
    child = children(server)
    # The pool of connections to the site is emptied by an answer that is refused.
    wire.ask(server, plan=[frame(99)])
    before = [len(process.descriptors) for process in child]
    yield
    assert children(server) == child, "a child of httpd was lost"
    wire.ask(server, plan=[frame(99)])
    settled = lambda: [len(process.descriptors) for process in child] <= [count + 4 for count in before]
    wait_for(settled, f"descriptors are closed: {before} before")


def children(server: Httpd) -> list:
    return sorted(server.children(), key=lambda process: process.pid)


def threads(server: Httpd) -> int:
    return sum(len(os.listdir(f"/proc/{process.pid}/task")) for process in children(server))


ORDINARY = {
    "whole": (WHOLE, b"wire"),
    "without a length": ([*OPEN, data(b"wi"), data(b"re"), end()], b"wire"),
    "log lines": ([log(b"a line"), *WHOLE[:2], log(b"another"), end()], b"wire"),
    "empty": ([head(b"200 OK", length(0)), end()], b""),
    "a file": ([head(b"200 OK", length(9)), file(9, "regular"), end()], b"f" * 9),
    "a file in memory": ([head(b"200 OK", length(9)), file(9, "memory"), end()], b"f" * 9),
    "data and a file": ([head(b"200 OK", length(9)), data(b"1234"), file(5, "regular"), end()], b"1234fffff"),
    "its body": ([*HEADED, want(10), ["receive"], data(b"wire"), end()], b"wire"),
    "many headers": ([head(b"200 OK", length(4), *[(b"X", b"y")] * 90), data(b"wire"), end()], b"wire"),
    "the largest data": ([*OPEN, fill("Data", 65536), end()], b"x" * 65536),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_what_an_application_can_say_is_passed_on(server: Httpd, name: str):
    plan, body = ORDINARY[name]
    start = len(server.error_log())
    stream = wire.pipelined(server, plan)
    assert stream.first == (200, body, True)
    assert len(stream.canaries) == 2
    stream.check()
    assert wire.refusals(server.error_log()[start:]) == []


def with_header(name: bytes, value: bytes) -> list:
    return [head(b"200 OK", (name, value)), data(b"4\r\nwire\r\n0\r\n\r\n" + FORGED), end()]


REFUSED = {
    # status and headers
    "status 099": [head(b"099 X", length(4)), data(b"wire"), end()],
    "status 100": [head(b"100 Continue"), end()],
    "status 101": [head(b"101 Switching Protocols"), data(FORGED), end()],
    "status 103": [head(b"103 Early Hints"), *WHOLE],
    "status 600": [head(b"600 X"), data(FORGED), end()],
    "no status": [head(b""), data(FORGED), end()],
    "lines in the status": [head(b"200 OK\r\nContent-Length: 0\r\n\r\n" + FORGED), end()],
    "lines in a name": [head(b"200 OK", (b"X: y\r\nContent-Length", b"0")), data(FORGED), end()],
    "lines in a value": [head(b"200 OK", (b"X", b"y\r\nContent-Length: 0\r\n\r\n" + FORGED)), end()],
    "a NUL in a value": with_header(b"X", b"\0"),
    "an empty name": with_header(b"", b"x"),
    "chunks": with_header(b"Transfer-Encoding", b"chunked"),
    "a coding": with_header(b"transfer-encoding", b"identity"),
    "a connection's header": with_header(b"Connection", b"keep-alive, X"),
    "keep-alive": with_header(b"Keep-Alive", b"timeout=1000"),
    "an upgrade": with_header(b"Upgrade", b"h2c"),
    "two lengths": [head(b"200 OK", length(4), length(4)), data(b"wire"), end()],
    "two other lengths": [head(b"200 OK", length(4), length(4 + len(FORGED))), data(b"wire" + FORGED), end()],
    "a length of words": with_header(b"Content-Length", b"0x10"),
    "a negative length": with_header(b"Content-Length", b"-1"),
    "a huge length": [head(b"200 OK", length(1 << 63)), data(b"wire"), end()],
    "too many headers": [head(b"200 OK", *[(b"X", b"y")] * 10_001), end()],
    "a head cut short": [frame("Head", wire.string(b"200 OK") + b"\xff\xff\xff\xff")],
    # order
    "no greeting": [["no greeting"], *WHOLE],
    "two heads": [*HEADED, *WHOLE],
    "a head after data": [*HEADED, data(b"wi"), head(b"200 OK", length(2)), data(b"re"), end()],
    "data first": [data(FORGED), *WHOLE],
    "the end first": [end()],
    "an answer to no question": [frame("Verdict", b"\2"), end()],
    "a second greeting": [frame("Hello", bytes(12)), *WHOLE],
    "given back too late": [*HEADED, frame("GiveBack"), *WHOLE],
    "a request": [*HEADED, frame("Request", b"x"), *WHOLE],
    "a body": [*HEADED, frame("Body", b"x"), *WHOLE],
    "the end of a body": [frame("BodyEnd"), *WHOLE],
    "a wish for nothing": [*HEADED, want(0), *WHOLE[1:]],
    "failed with 101": [*HEADED, end(101)],
    "failed with 200": [end(200)],
    "failed with 65535": [end(65535)],
    "failed with 99999": [end(99999)],
    # length
    "more than the length": [*HEADED, data(b"wire" + FORGED), end()],
    "more in a second piece": [*HEADED, data(b"wire"), data(FORGED), end()],
    "more after a while": [*HEADED, data(b"wire"), ["pause", 0.2], data(FORGED), end()],
    "less than the length": [head(b"200 OK", length(4 + 300)), data(b"wire"), end()],
    "nothing of the length": [head(b"200 OK", length(300)), end()],
    "data of no bytes": [*HEADED, data(b""), *WHOLE[1:]],
    # frames
    "an unknown kind": [frame(99), *WHOLE],
    "kind 0": [frame(0), *WHOLE],
    "too large a head": [fill("Head", 4, announced=(1 << 20) + 65)],
    "too much data": [*OPEN, fill("Data", 65537), end()],
    "too long a line": [fill("Log", 65537, b"\1"), *WHOLE],
    "too large an end": [*HEADED, data(b"wire"), frame("End", bytes(65))],
    "a line without a level": [frame("Log"), *WHOLE],
    "a line of no level": [log(b"x", level=9), *WHOLE],
    "a short end": [*HEADED, data(b"wire"), frame("End", b"\0")],
    "a short file": [*HEADED, frame("File", b"\0")],
    # files
    "a file without a descriptor": [*HEADED, file(4), end()],
    "two files": [head(b"200 OK", length(8)), file(4, "regular"), file(4, "regular"), end()],
    "more files": [*OPEN, repeat(300, file(4, "regular")), end()],
    "two descriptors": [*HEADED, file(4, "regular", "regular"), end()],
    "253 descriptors": [*HEADED, file(4, *["regular"] * 253), end()],
    "a descriptor with data": [*HEADED, passing(data(b"wire"), "regular"), end()],
    "many with data": [*OPEN, repeat(50, passing(data(b"wire"), *["regular"] * 20)), end()],
    "a descriptor with the end": [*HEADED, data(b"wire"), passing(end(), "regular")],
    "an empty file": [head(b"200 OK", length(0)), file(0, "regular"), end()],
    "a file beyond the length": [*HEADED, file(5, "regular"), end()],
}
NO_FILES = [
    "write only", "O_PATH", "lingering", "fifo", "pipe", "pair", "event", "epoll", "zero", "null", "terminal", "directory",
    "proc", "listener",
]  # fmt: skip
REFUSED |= {f"no file: {name}": [*HEADED, file(4, name), end()] for name in NO_FILES}
REFUSED |= {
    "lingering among others": [*HEADED, file(4, *["lingering"] * 20), end()],
    "lingering with data": [*HEADED, *[passing(data(b"w"), "lingering")] * 3, end()],
    "lingering, never read": [frame(99), *[passing(data(b"w"), "lingering")] * 3],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_application_can_say_is_refused(server: Httpd, name: str):
    start, begun = len(server.error_log()), time.monotonic()
    stream = wire.pipelined(server, REFUSED[name])
    stream.check()
    status, body, whole = stream.first or (0, b"", False)
    assert b"forged" not in body
    # A page of httpd's own, or cut; what had all its data by then is an answer.
    assert status == 502 or not whole or (status, body) == (200, b"wire"), stream.file.getvalue()[:1000]
    assert len(stream.canaries) in ([2] if status == 502 else [0, 2])
    line = server.wait_for_log("WSGI234", start=start)
    assert len(wire.refusals(server.error_log()[start:])) == 1
    assert "group 'evil'" in line and len(line) < 1000
    assert time.monotonic() - begun < 10, "a thread of httpd's was kept"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_data_of_an_answer_without_a_body_is_dropped(server: Httpd, status: bytes):
    for plan in ([head(status), data(FORGED), end()], [head(status, length(len(FORGED))), data(FORGED), end()]):
        stream = wire.pipelined(server, plan)
        assert (stream.first, len(stream.canaries)) == ((int(status[:3]), b"", True), 2)
        stream.check()


def test_the_same_for_head(server: Httpd):
    for plan in ([*OPEN, data(FORGED), end()], [head(b"200 OK", length(len(FORGED))), data(FORGED), end()]):
        stream = wire.pipelined(server, plan, method="HEAD")
        assert (stream.first[0], len(stream.canaries)) == (200, 2)
        stream.check()


@pytest.mark.parametrize("name", ["chunks", "less than the length", "more in a second piece", "status 101", "two heads"])
def test_through_a_proxy_that_shares_its_connection(server: Httpd, name: str):
    for _ in range(3):
        wire.pipelined(server, REFUSED[name], port="PORT2").check()


@pytest.mark.parametrize("name", ["chunks", "less than the length", "more in a second piece", "status 101", "two files"])
def test_over_http2_other_streams_go_on(server: Httpd, name: str):
    """Streams of one connection, all at once: those of the other host end as they should."""
    evil = dict([wire.header([["pause", 0.1], *REFUSED[name]]).split(": ")], Host="evil.example")
    with server.client(http1=False, http2=True) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.get, "/", headers=evil if number % 2 else {"Host": "good.example"}) for number in range(16)]
        good = [request.result() for request in asked[::2]]
        assert [(answer.http_version, answer.content) for answer in good] == [("HTTP/2", wire.HELLO)] * 8
        for request in asked[1::2]:
            failure = request.exception()
            cut = isinstance(failure, httpx.RemoteProtocolError)
            assert cut or (answer := request.result()).status_code == 502 or answer.content == b"wire"


def test_a_line_flood_is_cut_off(server: Httpd):
    """Of 40 MB in a single answer a child logs what a second allows, for as many seconds as that takes."""
    start, begun = len(server.error_log()), time.monotonic()
    assert wire.ask(server, plan=[repeat(40_000, log(b"flood " * 170)), *WHOLE]).body == b"wire"
    seconds = time.monotonic() - begun
    server.wait_for_log(r"WSGI235.*lines of this request were left out.*group 'evil'", start=start)
    written = len(server.error_log()) - start
    assert written < (1 + seconds) * (5 << 20), f"{written} bytes in {seconds:.1f} s"
    assert server.error_log()[start:].count("WSGI235") == 1


def test_small_lines_are_bounded_too(server: Httpd):
    start, begun = len(server.error_log()), time.monotonic()
    assert wire.ask(server, plan=[repeat(200_000, log(b"x")), *WHOLE]).body == b"wire"
    seconds = time.monotonic() - begun
    lines = server.error_log()[start:].count("\n")
    assert lines < (1 + seconds) * 22_000, f"{lines} in {seconds:.1f} s"


def test_an_answers_frames_need_little_memory(server: Httpd):
    """The largest heads and frames that announce 64 MB, on ten connections at once."""
    child = children(server)
    plans = [
        [fill("Data", 64 << 20, announced=64 << 20)],
        [fill("Log", 64 << 20, announced=64 << 20)],
        [fill("Head", 64 << 20, announced=64 << 20)],
        [fill("End", 64 << 20, announced=64 << 20)],
        [fill("Request", 64 << 20, announced=64 << 20)],
        [head(b"200 OK", *[(b"X", b"y" * 90)] * 10_000), end()],
        [fill("Head", (1 << 20) - 20, wire.string(b"200 OK")), end()],
        [*OPEN, repeat(100, fill("Data", 65536)), end()],
    ]
    for process in child:
        process.forget_peak()
    before = sum(process.resident for process in child)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: wire.pipelined(server, plans[number % len(plans)]).check(), range(40)))
    grown = sum(process.peak for process in child) - before
    assert grown < 160 << 10, f"{grown} KiB"


