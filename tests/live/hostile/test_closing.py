"""What a daemon has sent and no answer needs is closed beside the requests, even what the child has yet to receive."""

from __future__ import annotations

import os
import time

import pytest

import raw_http
import wire
from waiting import wait_for
from wire import data, end, frame, head, length, passing

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

WHOLE = [head(b"200 OK", length(4)), data(b"wire"), end()]
# Behind the end of an answer, for the next request that uses the connection: it stops at the first message.
LEFT_BEHIND = [passing(data(b"w"), *["regular"] * 253), passing(data(b"w"), "lingering", "lingering")]


def test_no_thread_of_a_request_waits_until_what_lies_in_a_connection_is_closed(serve_once):
    server = wire.take_over(serve_once(wire.CONFIGURATION))
    child, slowest = server.children()[0], 0.0
    threads = lambda: len(os.listdir(f"/proc/{child.pid}/task"))
    wire.ask(server, plan=[frame(99)])
    before, descriptors = threads(), len(child.descriptors)
    statuses = []
    for _ in range(8):
        begun = time.monotonic()
        statuses.append(wire.ask(server, plan=[*WHOLE, *LEFT_BEHIND]).status)
        slowest = max(slowest, time.monotonic() - begun)
        assert raw_http.get(server.ports["PORT"], "/", "Connection: close", host="good.example").body == wire.HELLO
    assert set(statuses) <= {200, 502} and 502 in statuses
    assert slowest < 10, "a thread of a request was kept"
    assert threads() <= before + 1
    wait_for(lambda: len(child.descriptors) <= descriptors + 4, "descriptors are closed")
