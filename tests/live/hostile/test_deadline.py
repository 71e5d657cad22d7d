"""A process that keeps no account of its requests, and trickles its answers, does not get past request-timeout."""

from __future__ import annotations

import time

import pytest

import wire
from wire import data, end, head, repeat

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

GRACE = 10  # what a child leaves to the supervisor


def test_a_child_keeps_request_timeout_itself(serve_once):
    server = wire.take_over(serve_once(wire.CONFIGURATION.replace("threads=2", "threads=2 request-timeout=2")))
    start, begun = len(server.error_log()), time.monotonic()
    answer = wire.ask(server, plan=[head(b"200 OK"), repeat(60, data(b"x"), ["pause", 0.5]), end()])
    lasted = time.monotonic() - begun
    assert not answer.complete
    assert 2 + GRACE <= lasted < 2 + GRACE + 8
    server.wait_for_log("did not answer within 2 s .process group 'evil'; request-timeout", start=start)
    assert wire.ask(server, plan=[head(b"200 OK"), data(b"wire"), end()]).body == b"wire"
