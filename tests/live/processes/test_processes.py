"""Daemon processes: crashes, daemons that cannot start, secrets, and what is left when all is over."""

from __future__ import annotations

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import raw_http
from certificate import secrets_of
from httpd import IS_ROOT, Httpd
from machine import daemon_account
from waiting import wait_for

CONFIGURATION = """
WSGIDaemonProcess steady python-home=@PYTHON@ processes=2 threads=3
WSGIDaemonProcess fragile python-home=@PYTHON@ processes=2 threads=1
WSGIScriptAlias /steady @APPS@/crash.wsgi process-group=steady application-group=%{GLOBAL}
WSGIScriptAlias /fragile @APPS@/crash.wsgi process-group=fragile application-group=%{GLOBAL}
@HTTPS@
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


# Crashes


@pytest.mark.parametrize("way", ["exit", "kill"])
def test_a_crash_costs_one_request(server: Httpd, way: str):
    with server.client() as client:
        before = int(client.get("/fragile/").text)
        with ThreadPoolExecutor(8) as pool:
            paths = ["/fragile/"] * 40 + [f"/fragile/{way}"] + ["/fragile/"] * 160
            answers = list(pool.map(client.get, paths))
    assert [answer.status_code for answer, path in zip(answers, paths) if path.endswith(way)] == [502]
    assert {answer.status_code for answer, path in zip(answers, paths) if not path.endswith(way)} == {200}
    assert before > 0


@pytest.mark.ours
def test_a_crashed_daemon_is_replaced_at_once(server: Httpd):
    before = server.wait_for_daemons(2, "steady")
    start, began = len(server.error_log()), time.monotonic()
    before[0].kill(signal.SIGKILL)
    wait_for(lambda: len(set(server.daemons("steady")) - set(before)) == 1 and not before[0].alive, "a new daemon", 5)
    assert time.monotonic() - began < 2
    assert before[1].alive
    server.wait_for_log(rf"steady.*{before[0].pid}|{before[0].pid}.*steady", start=start)


@pytest.mark.ours
def test_a_crash_in_the_middle_of_an_answer_cuts_it(server: Httpd):
    answer = raw_http.get(server.ports["PORT"], "/fragile/exit-in-middle")
    assert (answer.status, answer.body, answer.complete) == (200, b"some output", False)
    server.wait_for_daemons(2, "fragile")
    assert server.get("/fragile/").status_code == 200


# Secrets


@pytest.mark.ours
@pytest.mark.skipif(not IS_ROOT, reason="only root may read the memory of the parent and of daemons")
def test_the_private_key_is_in_no_daemon(server: Httpd):
    assert server.get("/steady/", port="TLS").status_code == 200
    needles = secrets_of(server.root / "localhost.key")
    parent = next(process for process in server.note_processes() if process.pid == server.parent.pid)
    assert parent.holds(needles), "the search must find the key where it is"
    daemons = server.daemons()
    assert len(daemons) == 4
    assert [process.title for process in daemons if process.holds(needles)] == []


@pytest.mark.ours
def test_descriptors_of_a_daemon(server: Httpd):
    """No log, no port and no pipe of httpd that a site could misuse."""
    assert ports_listened_on(psutil.Process(server.parent.pid)).intersection(server.ports.values())
    server.get("/steady/")
    for process in server.daemons("steady"):
        held = process.descriptors
        assert not any(str(server.root / "run/httpd.pid") in place or "localhost.key" in place for place in held)
        assert len(held) < 30, held
        assert ports_listened_on(psutil.Process(process.pid)).isdisjoint(server.ports.values())


def ports_listened_on(process: psutil.Process) -> set[int]:
    connections = process.net_connections("tcp")
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}


# Daemons that cannot start

FAILING = """
WSGIDaemonProcess good python-home=@PYTHON@
WSGIDaemonProcess failing python-home=@ROOT@/failing connect-timeout=3
WSGIDaemonProcess homeless python-home=@ROOT@/no-such-home connect-timeout=3
WSGIScriptAlias /good @APPS@/hello.wsgi process-group=good
WSGIScriptAlias /failing @APPS@/hello.wsgi process-group=failing
WSGIScriptAlias /homeless @APPS@/hello.wsgi process-group=homeless
"""
NOTE_AND_FAIL = """#!/bin/sh
date +%s.%N >> @ROOT@/starts/times
exit 1
"""
WORK = """#!/bin/sh
exec @PYTHON@/bin/python "$@"
"""


def write_interpreter(server: Httpd, text: str) -> None:
    program = server.root / "failing" / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(".new")
    fresh.write_text(server.fill_in(text))
    fresh.chmod(0o755)
    fresh.rename(program)


@pytest.fixture(scope="module")
def failing(serve) -> Httpd:
    server = serve.prepare(FAILING)
    server.writable_folder("starts")
    write_interpreter(server, NOTE_AND_FAIL)
    return server.start()


def starts(server: Httpd) -> list[float]:
    """When the failing interpreter was started; starts within 0.3 s (a look at its version, say) count as one."""
    noted = server.root / "starts" / "times"
    found: list[float] = []
    for line in noted.read_text().split() if noted.exists() else []:
        if not found or float(line) - found[-1] > 0.3:
            found.append(float(line))
    return found


@pytest.mark.ours
@pytest.mark.parametrize("group", ["failing", "homeless"])
def test_requests_to_a_daemon_that_cannot_start(failing: Httpd, group: str):
    start = len(failing.error_log())
    answer = failing.get(f"/{group}")
    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < 5
    failing.wait_for_log(rf"\[(client|remote).*{group}", start=start)
    assert failing.get("/good").status_code == 200


@pytest.mark.waits
@pytest.mark.ours
def test_starts_are_spaced_out(failing: Httpd):
    wait_for(lambda: len(starts(failing)) >= 4, "four starts", timeout=30)
    times = starts(failing)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert gaps[0] > 0.7
    assert gaps[1] > 1.5 * gaps[0]
    assert gaps[2] > 1.5 * gaps[1]


@pytest.mark.waits
@pytest.mark.ours
@pytest.mark.parametrize("group, reason", [("failing", "failing"), ("homeless", "no-such-home")])
def test_the_failure_is_reported_once(failing: Httpd, group: str, reason: str):
    wait_for(lambda: len(starts(failing)) >= 3, "three starts", timeout=30)
    about = [line for line in failing.error_log().splitlines() if reason in line and ":error]" in line]
    own = [line for line in about if "[client" not in line and "[remote" not in line]
    assert len(own) == 1, own


@pytest.mark.waits
@pytest.mark.ours
def test_a_daemon_that_can_start_after_all_does(failing: Httpd):
    write_interpreter(failing, WORK)
    wait_for(lambda: failing.get("/failing").status_code == 200, "served once Python is there", timeout=40, every=0.2)


@pytest.mark.ours
def test_a_python_that_is_too_old(serve_once, python):
    old = python("3.8", ())
    server = serve_once(
        f"WSGIDaemonProcess old python-home={old.home} connect-timeout=3\n"
        "WSGIScriptAlias / @APPS@/hello.wsgi process-group=old\n"
    )
    assert server.get("/").status_code == 503
    server.wait_for_log(r"old.*3\.9|3\.8")


# The end

BUSY = """
WSGIDaemonProcess one python-home=@PYTHON@ processes=2 threads=2
WSGIDaemonProcess two python-home=@PYTHON@ threads=2
WSGIScriptAlias /one @APPS@/crash.wsgi process-group=one application-group=%{GLOBAL}
WSGIScriptAlias /two @APPS@/crash.wsgi process-group=two application-group=%{GLOBAL}
"""


def pids(server: Httpd) -> set[str]:
    return {server.get(path).text for path in ("/one/", "/two/")}


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGWINCH, id="graceful-stop"),
        pytest.param(signal.SIGKILL, marks=pytest.mark.ours),
    ],
)
def test_nothing_is_left_after(serve_once, number: int):
    server = serve_once(BUSY)
    assert len(pids(server)) == 2
    known = server.note_processes()
    server.stop(number)
    assert [process for process in known if process.alive] == []
    assert server.remains() == []


@pytest.mark.parametrize("way", ["restart", "graceful"])
def test_a_new_generation_replaces_the_old(serve_once, way: str):
    server = serve_once(BUSY)
    before = pids(server)
    old = [process for process in server.note_processes() if process.pid != server.parent.pid]
    getattr(server, way)()
    wait_for(lambda: not any(process.alive for process in old), "the old generation has gone", timeout=15)
    after = pids(server)
    assert len(after) == 2
    assert after.isdisjoint(before)


def test_groups_may_come_and_go_with_a_restart(serve_once):
    server = serve_once(BUSY)
    assert len(pids(server)) == 2
    server.write_configuration(BUSY.replace("two", "three"))
    server.graceful()
    wait_for(lambda: server.get("/three/").status_code == 200, "the new group answers")
    assert server.get("/two/").status_code == 404
    assert server.get("/one/").status_code == 200


@pytest.mark.ours
def test_sockets_are_private(serve_once):
    server = serve_once(BUSY)
    assert len(pids(server)) == 2
    sockets = server.socket_places()
    assert len(sockets) == 2
    for path in sockets:
        status = path.stat()
        assert status.st_mode & 0o077 == 0
        assert path.owner() == daemon_account()


def test_the_folder_of_sockets_can_be_chosen(serve_once):
    server = serve_once.prepare("WSGISocketPrefix @ROOT@/elsewhere/prefix\n" + BUSY)
    (server.root / "elsewhere").mkdir()
    shutil.copymode(server.root, server.root / "elsewhere")
    server.start()
    assert len(pids(server)) == 2
    sockets = [Path(os.readlink(place)) for place in server.socket_places()]
    assert len(sockets) == 2
    assert all(path.parent.name == "elsewhere" and path.name.startswith("prefix") for path in sockets)
