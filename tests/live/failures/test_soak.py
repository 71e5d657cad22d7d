"""Twenty seconds of `make soak`: load, a fault every second, and every request that fails is explained by one."""

from __future__ import annotations

import pytest

import httpd
from soak import CONFIGURATION, Soak

pytestmark = [
    pytest.mark.ours,
    pytest.mark.waits,
    pytest.mark.skipif(httpd.MPM != "event", reason="about daemons and supervisor, which do not depend on the MPM"),
]


def test_every_failure_is_explained(serve_once):
    server = serve_once.prepare(CONFIGURATION)
    soak = Soak(server, seconds=20, seed=20, period=1, say=print).run()
    assert soak.problems == []
    assert soak.report["requests"] > 1000
    assert len(soak.hits) >= 12
