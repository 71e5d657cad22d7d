"""How processes end: the signals of an operator, what bounds the end, and the reason that is told to the application.

Requests that run end as the timeouts say; all others are answered by the process or by its successor.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from httpd import Httpd
from limited import pid, pids, told, wait_for_others
from meanwhile import Meanwhile
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.waits]


@contextmanager
def under_way(server: Httpd, *paths: str) -> Iterator[list[Future]]:
    """Requests that are with the application."""
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = [pool.submit(server.get, path) for path in paths]
        wait_for(lambda: len(told(server, "begun")) == len(paths), "the requests are under way")
        yield answers


def ask(server: Httpd, number: int) -> float:
    """Sends the one process this signal; the time."""
    [daemon] = server.daemons("site")
    daemon.kill(number)
    return time.monotonic()


def end_of(answer: Future, asked: float) -> tuple[int, float]:
    status = answer.result().status_code
    return status, time.monotonic() - asked


# Signals

# With prefork httpd makes one child a second for requests that come at once, if it has none to spare.
ENOUGH_CHILDREN = "<IfModule mpm_prefork_module>\nStartServers 8\n</IfModule>\n"


@pytest.mark.parametrize(
    "options, number, reason",
    [
        ("", signal.SIGTERM, "shutdown_signal"),
        ("", signal.SIGINT, "shutdown_signal"),
        ("", signal.SIGUSR1, "graceful_signal"),
        ("eviction-timeout=9", signal.SIGUSR1, "eviction_signal"),
    ],
)
def test_a_signal_replaces_a_process_and_no_request_is_lost(limited, options: str, number: int, reason: str):
    server = limited(f"threads=4 {options}", ENOUGH_CHILDREN)
    old, start = pid(server), len(server.error_log())
    with Meanwhile(server) as meanwhile, under_way(server, "/wait", "/wait") as answers:
        ask(server, number)
        (new,) = wait_for(lambda: pids(server) - {old}, "its successor")
        wait_for(lambda: pid(server) == new, "its successor serves")
        assert not any(answer.done() for answer in answers)
        (server.root / "told/go-on").touch()
        assert [int(answer.result().text.split()[0]) for answer in answers] == [old, old]
        wait_for(lambda: pids(server) == {new}, "the old one has gone")
    assert meanwhile.slowest < 1
    assert f"{reason} {old}" in told(server) and f"atexit {old}" in told(server)
    server.wait_for_log(
        rf"WSGI334.*process {old} .*{'SIGUSR1' if number == signal.SIGUSR1 else 'SIGTERM'}", start=start
    )


def test_a_signal_to_each_of_several_processes(limited):
    server = limited("processes=3 threads=2")
    old = pids(server)
    with Meanwhile(server, clients=4):
        for daemon in server.daemons("site"):
            daemon.kill(signal.SIGUSR1)
        wait_for_others(server, old)
        server.wait_for_daemons(3, "site")


# Bounds: a request that goes on for longer than these is cut, one that ends before is not


@pytest.mark.parametrize(
    "options, number, bound",
    [
        # Without an eviction-timeout graceful-timeout is the time for running requests, and then shutdown-timeout.
        ("graceful-timeout=1 shutdown-timeout=1", signal.SIGUSR1, 2),
        ("graceful-timeout=60 eviction-timeout=1 shutdown-timeout=1", signal.SIGUSR1, 2),
        ("graceful-timeout=1 eviction-timeout=60 shutdown-timeout=2", signal.SIGTERM, 2),
    ],
)
def test_a_request_that_goes_on_for_too_long_is_cut(limited, options: str, number: int, bound: float):
    server = limited(f"threads=3 {options}")
    old = pid(server)
    with under_way(server, "/sleep?1.2", "/wait") as (short, long):
        asked = ask(server, number)
        assert end_of(short, asked)[0] == 200
        status, seconds = end_of(long, asked)
    assert status == 502
    assert bound - 0.05 < seconds < bound + 1
    reasons = {signal.SIGTERM: "shutdown_signal", signal.SIGUSR1: "graceful_signal"}
    if "eviction-timeout=1" in options:
        reasons[signal.SIGUSR1] = "eviction_signal"
    assert told(server) == [f"{reasons[number]} {old}", f"atexit {old}"], "its end is orderly nevertheless"
    wait_for(lambda: old not in pids(server), "the process has gone")
    assert pid(server) != old


@pytest.mark.parametrize(
    "options, number, seconds",
    [
        ("graceful-timeout=1 eviction-timeout=60 shutdown-timeout=1", signal.SIGUSR1, 3),
        ("graceful-timeout=0 shutdown-timeout=1", signal.SIGUSR1, 3),
        ("graceful-timeout=1 shutdown-timeout=0", signal.SIGTERM, 6),
    ],
)
def test_a_request_that_ends_in_time_is_finished(limited, options: str, number: int, seconds: float):
    """0 is no limit; 6 seconds are more than the default of shutdown-timeout."""
    server = limited(f"threads=3 {options}")
    old = pid(server)
    with under_way(server, f"/sleep?{seconds}") as (long,):
        asked = ask(server, number)
        assert end_of(long, asked)[0] == 200
        assert time.monotonic() - asked > seconds - 1
    wait_for(lambda: old not in pids(server), "the process has gone")


def test_an_interpreter_that_is_never_let_go_is_no_hindrance(limited):
    server = limited("threads=2 shutdown-timeout=1")
    old = pid(server)
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(server.get, "/gil?30")
        wait_for(lambda: len(told(server, "begun")) == 1, "the request is under way")
        asked = ask(server, signal.SIGTERM)
        status, seconds = end_of(stuck, asked)
    assert status == 502 and 0.95 < seconds < 2
    assert pid(server) != old and f"shutdown_signal {old}" not in told(server)


def test_exit_functions_that_do_not_return_are_given_shutdown_timeout(limited):
    server = limited("threads=2 shutdown-timeout=1")
    old = pid(server)
    (server.root / "told/slow-exit").touch()
    asked = ask(server, signal.SIGTERM)
    wait_for(lambda: old not in pids(server), "the process has gone")
    assert 0.95 < time.monotonic() - asked < 2
    server.wait_for_log("WSGI388")
    assert pid(server) != old


# What the application hears of it


def touch_script(server: Httpd, path: str) -> None:
    script = server.root / "apps/limits.wsgi"
    later = script.stat().st_mtime + 5
    os.utime(script, (later, later))
    server.get("/")


def request(server: Httpd, path: str) -> None:
    server.get(path)


def nothing(server: Httpd, path: str) -> None:
    pass


def graceful(server: Httpd, path: str) -> None:
    server.graceful()


def break_script(server: Httpd, path: str) -> None:
    """In a new process: the one that has loaded it goes on with it."""
    (server.root / "told/broken-import").touch()
    ask(server, signal.SIGKILL)  # tells nobody
    wait_for(lambda: server.get("/").status_code == 500, "the new process cannot load it")


@pytest.mark.parametrize(
    "reason, options, cause, path",
    [
        ("script_reload", "", touch_script, ""),
        ("shutdown_signal", "", graceful, ""),
        ("maximum_requests", "maximum-requests=2", request, "/"),
        ("maximum_memory", "maximum-memory=100M", request, "/memory?120"),
        ("restart_interval", "restart-interval=1", nothing, ""),
        ("inactivity_timeout", "inactivity-timeout=1", nothing, ""),
        ("idle_timeout", "start=on-demand idle-timeout=1", nothing, ""),
        ("cpu_time_limit", "cpu-time-limit=1", request, "/burn?1.2"),
        ("startup_timeout", "startup-timeout=1", break_script, ""),
        ("request_timeout", "request-timeout=1", request, "/sleep?3"),
        ("deadlock_timeout", "deadlock-timeout=1", request, "/gil?3"),
    ],
)
def test_the_reason_is_told(limited, reason: str, options: str, cause, path: str):
    server = limited(f"threads=2 {options}")
    cause(server, path)
    wait_for(lambda: any(line.split()[0] == reason for line in told(server)), f"the application hears of {reason}")
    ends = [line.split() for line in told(server)]
    assert {why for why, _ in ends} <= {reason, "atexit"}
