"""A daemon that lets no request be served, though it says each time that another process may: the child asks again a
few times at once and then with pauses, until `connect-timeout` or `queue-timeout`, and other sites notice nothing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import raw_http
import wire
from httpd import Httpd
from wire import data, end, frame, head, length

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

SECONDS, REQUESTS = 1, 5
# Of one request: ten at once, one in 100 ms, and one that has begun when the time is over.
MOST_TRIES = 10 + 10 * SECONDS + 1

WHOLE = [head(b"200 OK", length(4)), data(b"wire"), end()]
GREETED = [frame("Hello", bytes(12))]
GIVEN_BACK = {
    "at once": [frame("GiveBack")],
    "with an answer behind it": [frame("GiveBack"), *WHOLE],
    "after a while": [["pause", 0.15], frame("GiveBack")],
}
CLOSED_UNREAD = {"greeted": GREETED, "not greeted": []}


def start(serve_once, limit: str) -> Httpd:
    server = serve_once.prepare(wire.CONFIGURATION.replace("socket-timeout=5", f"{limit}={SECONDS}"))
    server.writable_folder("told")
    return wire.take_over(server.start())


def tries(server: Httpd) -> int:
    return len((server.root / "told/tries").read_text().splitlines())


def noted(server: Httpd, steps: list) -> list:
    """The site counts how often it comes to these steps."""
    return [["note", str(server.root / "told/tries")], *steps]


def all_end(server: Httpd, plan: list | None, status: int) -> None:
    """Some requests at the same time get this status in good time, while the other site answers."""
    over, slowest = threading.Event(), 0.0

    def ask(_: int) -> tuple[int, float]:
        begun = time.monotonic()
        return wire.ask(server, plan=plan).status, time.monotonic() - begun

    def ask_the_other_site() -> None:
        nonlocal slowest
        while not over.wait(0.01):
            begun = time.monotonic()
            answer = raw_http.get(server.ports["PORT"], "/", "Connection: close", host="good.example")
            slowest = max(slowest, time.monotonic() - begun if answer.body == wire.HELLO else 1000.0)

    children = {process.pid for process in server.children()}
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        beside = pool.submit(ask_the_other_site)
        try:
            answers = list(pool.map(ask, range(REQUESTS)))
        finally:
            over.set()
        beside.result()
    assert [answer for answer, _ in answers] == [status] * REQUESTS
    assert all(SECONDS * 0.9 < taken < SECONDS + 2 for _, taken in answers), answers
    assert slowest < 1, f"the other site took {slowest} s"
    assert {process.pid for process in server.children()} == children


def is_asked_again_with_pauses(server: Httpd, idle: int = 0) -> None:
    counted = tries(server)
    assert REQUESTS * 2 < counted <= REQUESTS * MOST_TRIES + idle, f"{counted} tries of {REQUESTS} requests"


@pytest.mark.parametrize("how", GIVEN_BACK)
def test_what_is_always_given_back_ends_with_connect_timeout(serve_once, how: str):
    server = start(serve_once, "connect-timeout")
    all_end(server, noted(server, GIVEN_BACK[how]), 503)
    is_asked_again_with_pauses(server)
    server.wait_for_log("the processes of group 'evil' closed every connection before they had read the request")
    assert wire.ask(server).body == b"wire", "other requests of the site are served"


def test_idle_connections_add_a_try_each(serve_once):
    server, idle = start(serve_once, "connect-timeout"), 12
    with ThreadPoolExecutor(idle) as pool:
        served = list(pool.map(lambda _: wire.ask(server, plan=[["pause", 0.3], *WHOLE]).status, range(idle)))
    assert served == [200] * idle
    all_end(server, noted(server, GIVEN_BACK["at once"]), 503)
    is_asked_again_with_pauses(server, idle)


@pytest.mark.parametrize("how", CLOSED_UNREAD)
def test_what_is_never_read_ends_with_connect_timeout(serve_once, how: str):
    server = start(serve_once, "connect-timeout")
    wire.ask(server, plan=[["always", noted(server, CLOSED_UNREAD[how])], end(500)])
    all_end(server, None, 503)
    is_asked_again_with_pauses(server)


def test_queue_timeout_ends_it_too(serve_once):
    server = start(serve_once, "queue-timeout")
    all_end(server, noted(server, GIVEN_BACK["at once"]), 504)
    is_asked_again_with_pauses(server)
