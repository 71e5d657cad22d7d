"""Two hundred sites on one Apache, started by their first requests: what they cost until then, and what that one takes."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

import processes
from httpd import Httpd
from waiting import wait_for

pytestmark = pytest.mark.ours

SITES = 200


def proportional_memory(server: Httpd) -> int:
    """KiB of memory of all processes together; what several share is counted once."""
    pids = [server.parent.pid, *(process.pid for process in processes.descendants(server.parent.pid))]
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids) // 1024


@pytest.mark.waits
def test_sites_on_demand_cost_next_to_nothing_until_they_are_asked_for(serve_once):
    site = (
        "WSGIDaemonProcess site{0} python-home=@PYTHON@ threads=2 start=on-demand idle-timeout=3\n"
        "WSGIScriptAlias /site{0} @APPS@/hello.wsgi process-group=site{0} application-group=%{{GLOBAL}}\n"
    )
    server = serve_once.prepare("".join(site.format(number) for number in range(SITES)))
    begun = time.monotonic()
    server.start()
    up = time.monotonic() - begun
    wait_for(server.supervisors, "the supervisor is there")
    memory = proportional_memory(server)
    print(f"{SITES} sites: up in {up:.2f} s, {memory} KiB in all")
    assert up < 2 and memory < 20 * 1024
    assert server.daemons() == []

    def first_request(number: int) -> float:
        begun = time.monotonic()
        assert server.get(f"/site{number}").status_code == 200
        return time.monotonic() - begun

    latencies = [first_request(number) for number in range(0, SITES, 20)]
    print(f"first request: median {statistics.median(latencies) * 1000:.0f} ms, slowest {max(latencies) * 1000:.0f} ms")
    assert statistics.median(latencies) < 1
    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(first_request, range(1, SITES, 20))) < 10
    wait_for(lambda: not server.daemons(), "all of them sleep again", timeout=20)
    assert first_request(0) < 10
    server.graceful()
    assert first_request(SITES - 1) < 10
