"""request_metrics() and process_metrics(): nothing before an application asks, then what the requests were."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from httpd import Httpd
from processes import Process
from waiting import wait_for

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=4 @OPTIONS@
WSGIProcessGroup site
WSGIScriptAlias /main @APPS@/measured.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @APPS@/measured.wsgi application-group=other
"""
PHASES = ("server", "queue", "daemon", "application", "request", "input_read", "output_write", "gil_wait")
OF_DAEMONS = ("queue", "daemon")
LISTS = ("completed", "buckets", "busy_time", "cpu_time", "current_elapsed", "max_duration")
NUMBERS = {
    "pid": int, "start_time": float, "stop_time": float, "sample_period": float, "request_count": int, "request_throughput": float,
    "request_threads_maximum": int, "request_threads_started": int, "request_threads_active": int, "capacity_utilization": float,
    "input_bytes": int, "input_reads": int, "output_bytes": int, "output_writes": int, "gil_wait_count": int,
    "memory_rss": int, "memory_max_rss": int,
    **{f"status_{number}xx": int for number in range(1, 6)},
    **{f"cpu_{name}{kind}": float for name in ("user_", "system_", "") for kind in ("utilization", "time")},
}  # fmt: skip
PROCESS = {
    "pid": int, "restart_time": float, "current_time": float, "running_time": int, "request_count": int, "request_busy_time": float,
    "request_threads": int, "active_requests": int, "cpu_user_time": float, "cpu_system_time": float, "cpu_time": float,
    "memory_rss": int, "memory_max_rss": int, "threads": list,
}  # fmt: skip


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION.replace("@OPTIONS@", ""))
    server.writable_folder("told")
    server.start()
    for where in ("main", "other"):
        assert server.get(f"/{where}/ready").status_code == 200
    return server


def metrics(server: Httpd, where: str = "main") -> dict:
    """Of the window since this was last asked; the request that asks ends in the next one."""
    return server.get(f"/{where}/metrics").json()


def settled(server: Httpd) -> None:
    """A request's end is counted after its client has the answer: waits for a window with nothing but the last question."""
    wait_for(lambda: metrics(server)["request_count"] == 1, "no other request ends")


def windows(server: Httpd, count: int) -> dict:
    """The sums of the windows until so many requests have ended, without those that ask."""
    total: dict[str, int] = {}

    def enough() -> bool:
        for key, value in metrics(server).items():
            if isinstance(value, int) and not key.endswith("_us"):
                total[key] = total.get(key, 0) + value
        total["request_count"] -= 1
        return total["request_count"] >= count

    wait_for(enough, f"{count} requests are counted")
    return total


@pytest.mark.one_process
def test_a_window_has_every_figure(server: Httpd):
    settled(server)
    for _ in range(5):
        assert server.get("/main/hello").status_code == 200
    seen = metrics(server)
    threads = seen["request_threads_maximum"]
    numbers = {key: type(seen[key]) for key in seen if key in NUMBERS}
    assert numbers == NUMBERS
    assert seen.keys() == {*NUMBERS, *(f"request_threads_{name}" for name in LISTS)} | {
        f"{phase}_time{kind}" for phase in PHASES for kind in ("", "_min_us", "_max_us", "_buckets")
    }
    for name in LISTS:
        assert len(seen[f"request_threads_{name}"]) == threads
    for phase in PHASES:
        assert len(seen[f"{phase}_time_buckets"]) == 65
        missing = phase in OF_DAEMONS and server.mode == "embedded"
        assert (seen[f"{phase}_time"] is None) == (seen[f"{phase}_time_max_us"] is None) == missing
        assert sum(seen[f"{phase}_time_buckets"]) == (0 if missing else seen["request_count"])
    # The last one's end may come after it was answered.
    assert seen["request_count"] in (5, 6) and sum(seen["request_threads_completed"]) == seen["request_count"]
    assert seen["status_2xx"] == seen["request_count"]
    assert seen["stop_time"] - seen["start_time"] == pytest.approx(seen["sample_period"], abs=1e-5)
    assert seen["request_time"] >= seen["application_time"] > 0
    assert seen["memory_max_rss"] > 1_000_000 and seen["memory_rss"] > 1_000_000
    assert Process.of(seen["pid"]) in (server.daemons("site") if server.mode == "daemon" else server.children())


@pytest.mark.one_process
def test_requests_are_counted_whatever_their_interpreter_and_end(server: Httpd):
    settled(server)
    for where in ("main", "other"):
        assert server.get(f"/{where}/status?404").status_code == 404
        assert server.get(f"/{where}/status?302", follow_redirects=False).status_code == 302
        assert server.get(f"/{where}/raise").status_code == 500
        assert server.post(f"/{where}/echo", content=b"hello").text == "hello"
    total = windows(server, 8)
    assert [total[f"status_{number}xx"] for number in (1, 3, 4, 5)] == [0, 2, 2, 2]
    assert total["request_count"] == 8
    assert (total["input_bytes"], total["input_reads"]) == (10, 2)


@pytest.mark.one_process
@pytest.mark.parametrize("where", ["main", "other"])
def test_a_request_that_runs_is_seen(server: Httpd, where: str):
    settled(server)
    told = server.root / "told"
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(server.get, f"/{where}/sleep?{where}{number}") for number in range(2)]
        wait_for(lambda: all((told / f"here {where}{number}").exists() for number in range(2)), "both run")
        assert server.get("/main/process").json()["active_requests"] >= 3
        begun = metrics(server)["stop_time"]
        wait_for(lambda: time.time() > begun + 0.2, "a while has passed")
        seen = metrics(server)
        elapsed = sorted(seen["request_threads_current_elapsed"])
        assert elapsed[-2] >= 0.2 and elapsed[0] < 0.2
        busy = sorted(seen["request_threads_busy_time"])
        assert seen["sample_period"] + 0.01 >= busy[-1] >= busy[-2] > 0.1
        assert 0 < seen["capacity_utilization"] <= 1
        for number in range(2):
            (told / f"go on {where}{number}").touch()
        assert [answer.result().status_code for answer in running] == [200, 200]
    longest = []
    wait_for(lambda: longest.extend(metrics(server)["request_threads_max_duration"]) or sorted(longest)[-2] >= 0.2, "both have ended")


@pytest.mark.one_process
def test_processor_time_is_the_threads_own(server: Httpd):
    settled(server)
    server.get("/main/work?0.2")
    seen = []
    wait_for(lambda: seen.append(metrics(server)) or max(seen[-1]["request_threads_cpu_time"]) >= 0.19, "its time is counted")
    assert seen[-1]["cpu_utilization"] == pytest.approx(seen[-1]["cpu_user_utilization"] + seen[-1]["cpu_system_utilization"])
    assert seen[-1]["cpu_utilization"] > 0
    assert server.get("/main/process").json()["cpu_time"] >= 0.2


@pytest.mark.one_process
def test_the_process_as_a_whole(server: Httpd):
    before = server.get("/main/process").json()
    assert {key: type(value) for key, value in before.items()} == PROCESS
    for _ in range(4):
        server.get("/other/hello")

    def counted() -> dict | None:
        now = server.get("/main/process").json()
        return now if now["request_count"] >= before["request_count"] + 5 else None

    now = wait_for(counted, "they are counted")
    assert sum(row["request_count"] for row in now["threads"]) == now["request_count"]
    assert len(now["threads"]) == now["request_threads"] and {*now["threads"][0]} == {"thread_id", "request_count"}
    assert now["active_requests"] >= 1 and now["request_busy_time"] > before["request_busy_time"]
    assert now["running_time"] == int(now["current_time"] - now["restart_time"])


@pytest.mark.one_process
def test_nothing_before_it_is_asked_for(server: Httpd):
    assert server.get("/main/before").json() == [None, None, 0]


@pytest.mark.daemon_mode
@pytest.mark.ours
def test_a_process_that_the_application_forks_shows_nothing(serve_once):
    # One interpreter: others would make a fork unsafe.
    server = serve_once(CONFIGURATION.replace("@OPTIONS@", "").replace("group=other", "group=%{GLOBAL}"))
    assert server.get("/main/fork").json() == [None, None]
    assert server.get("/main/process").json()["request_count"] >= 0


@pytest.mark.daemon_mode
@pytest.mark.ours
def test_a_process_of_a_template_begins_with_nothing(serve_once):
    server = serve_once(CONFIGURATION.replace("@OPTIONS@", "preload=On"))
    seen = server.get("/main/metrics").json()
    assert seen["pid"] in [process.pid for process in server.daemons("site")] and seen["pid"] != os.getpid()
    assert seen["request_count"] == 0 and seen["request_threads_active"] == 1
    process = server.get("/main/process").json()
    assert process["pid"] == seen["pid"] and abs(process["restart_time"] - seen["start_time"]) < 1
