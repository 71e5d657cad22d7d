"""Each system call of httpd's children and of the supervisor fails once: one site may notice, and no other.

Shown with the fault-injection build, as tests/live/failures/test_panic.py; tests/hostile/inject.py says how.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from inject import BUILD, CONFIGURATION, Injected, errors_of
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

# Calls that the walk must have met, or the gates are no longer where the calls are.
EXPECTED = {
    ("child", "connect"), ("child", "sendmsg"), ("child", "recv"), ("child", "poll"), ("supervisor", "poll"),
    ("supervisor", "socketpair"), ("supervisor", "message_pipe"), ("supervisor", "memfd_create"), ("supervisor", "mmap"),
    ("supervisor", "fork"), ("supervisor", "sendmsg"), ("supervisor", "read"), ("supervisor", "read_signal"),
    ("supervisor", "wait"), ("starting", "dup2"), ("starting", "fcntl_dupfd"),
}  # fmt: skip


# Made once, when a supervisor starts.
OF_A_START = {"epoll_create", "pidfd_open", "set_title", "setsid", "signalfd", "sigprocmask"}


@pytest.fixture(scope="module")
def injected(serve) -> Injected:
    module = Path(os.environ.get("FAULT_SO", BUILD))
    if not module.exists():
        text = f"{module} is missing: cargo build --features fault-injection --target-dir target/fault-injection"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    return Injected(serve.prepare(CONFIGURATION)).start()


def test_every_call_may_fail_once(injected: Injected):
    calls = injected.seen()
    assert EXPECTED <= set(calls)
    number, struck = int(os.environ.get("HOSTILE_ERRORS", "1")), set()
    for role, call in calls:
        if role == "supervisor" and call in OF_A_START:
            continue
        for error in errors_of(role, call)[-number:]:
            # A successor that was due from the call before may have been on its way already.
            attempts = 3 if (role, call) in EXPECTED else 1
            if any(injected.strike(role, call, error) for _ in range(attempts)):
                struck.add((role, call))
    missed = EXPECTED - struck
    assert not missed, f"never made while they were to fail: {missed}"
    injected.renew()


@pytest.mark.parametrize("call", ["epoll_create", "signalfd", "sigprocmask"])
def test_a_supervisor_that_cannot_start_is_started_again(injected: Injected, call: str):
    (supervisor,) = injected.server.supervisors()
    start = len(injected.server.error_log())
    injected.plan(f"once supervisor {call} {errno.ENOMEM} 1")
    supervisor.kill()
    injected.server.wait_for_log("WSGI340: the supervisor of the daemon processes cannot run", start=start)
    assert not injected.is_pending()
    for path in ("/site", "/canary"):
        wait_for(lambda: injected.answers(path), f"{path} answers again", 20)
