"""Service scripts: what the processes of a group with `threads=0` execute until they are told to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from httpd import Httpd
from machine import daemon_account
from processes import Process
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.waits]

FIRST = """
import os
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write("first %d\\n" % os.getpid())
"""


@pytest.fixture
def service(serve_once) -> Callable[..., Httpd]:
    """Makes a server with the service of apps/service.py, not started; it notes what it does in `journal`."""

    def make(options: str = "", group: str = "%{GLOBAL}", more: str = "") -> Httpd:
        server = serve_once.prepare(
            f'WSGIDaemonProcess worker python-home=@PYTHON@ threads=0 "env=JOURNAL=@ROOT@/shared/journal" {options}\n'
            + f"{more}\nWSGIImportScript @APPS@/service.py process-group=worker application-group={group}\n"
        )
        server.writable_folder("shared")
        return server

    return make


def journal(server: Httpd) -> list[tuple[str, int]]:
    """What the services have noted, each with its process."""
    file = server.root / "shared" / "journal"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def words(server: Httpd, pid: int | None = None) -> list[str]:
    return [word for word, of in journal(server) if pid in (None, of)]


def running(server: Httpd) -> Process:
    """The one service, once it has said where it runs."""

    def found() -> Process | None:
        process = Process.of(journal(server)[-1][1]) if journal(server) else None
        return process if process and any(word.startswith("main-thread") for word in words(server, process.pid)) else None

    return wait_for(found, "the service runs")


def test_it_runs_on_the_main_thread_of_a_process_like_others(service):
    server = service("display-name=%{GROUP}!").start()
    process = running(server)
    assert words(server) == ["begins", "main-thread-of-('worker','',0)"]
    assert process.title == "(wsgi:worker)!"
    assert process.user == daemon_account()
    (supervisor,) = server.supervisors()
    assert process.parent == supervisor.pid


def test_scripts_are_executed_in_order(service):
    """And not by a process that the first of them has forked."""
    more = "WSGIImportScript @ROOT@/first.py process-group=worker application-group=%{GLOBAL}"
    server = service(more=more)
    (server.root / "first.py").write_text(FIRST)
    process = running(server.start())
    assert words(server) == ["first", "begins", "main-thread-of-('worker','',0)"]
    assert {pid for _, pid in journal(server)} == {process.pid}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGXCPU])
def test_a_signal_raises_system_exit_and_another_process_follows(service, number: int):
    server = service().start()
    process = running(server)
    process.kill(number)
    wait_for(lambda: not process.alive, "it ends")
    assert words(server, process.pid)[2:] == ["told", "ends", "exit-function"]
    assert running(server).pid != process.pid
    server.wait_for_log(r"WSGI361: .*service\.py' has raised SystemExit \(status 0\) without being told")


def test_httpds_end_is_its_end(service):
    server = service("env=DO=linger").start()
    running(server)
    server.stop()
    assert words(server)[2:] == ["told", "ends", "exit-function"]
    assert "WSGI361" not in server.error_log()


def test_one_that_does_not_end_is_killed(service):
    server = service("env=DO=stay shutdown-timeout=1").start()
    process = running(server)
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start > 1
    assert words(server, process.pid)[2:] == ["SIGTERM"]
    assert f"process {process.pid} did not end within shutdown-timeout" in server.wait_for_log("WSGI325")


def test_its_signals_are_its_own(service):
    server = service().start()
    process = running(server)
    process.kill(signal.SIGUSR1)
    wait_for(lambda: "SIGUSR1" in words(server), "its handler was called")
    assert process.alive


def test_another_interpreter_is_told_too(service):
    server = service(group="another").start()
    process = running(server)
    assert words(server)[1] == "main-thread-of-('worker','another',0)"
    process.kill(signal.SIGTERM)
    wait_for(lambda: running(server).pid != process.pid, "another follows")
    assert words(server, process.pid)[2:] == ["told", "ends", "exit-function"]
    second = running(server)
    server.stop()
    assert words(server, second.pid)[2:] == ["told", "ends", "exit-function"]


@pytest.mark.parametrize("way", ["graceful", "restart"])
def test_the_old_one_has_gone_before_the_new_one_begins(service, way: str):
    server = service("env=DO=linger").start()
    old = running(server)
    getattr(server, way)()
    wait_for(lambda: running(server).pid != old.pid, "the new service runs")
    new = running(server)
    told = ["begins", "main-thread-of-('worker','',0)", "told", "ends", "exit-function"]
    assert journal(server) == [(word, old.pid) for word in told] + [(word, new.pid) for word in told[:2]]
    assert not old.alive


@pytest.mark.parametrize("todo, level, words_of_it", [("return", "warn", "SystemExit"), ("raise", "error", "LookupError")])
def test_one_that_ends_at_once_is_not_started_in_a_loop(service, todo: str, level: str, words_of_it: str):
    server = service(f"env=DO={todo}").start()
    seen: list[float] = []

    def four() -> bool:
        seen.extend([time.monotonic()] * (words(server).count("begins") - len(seen)))
        return len(seen) >= 5

    wait_for(four, "five starts", timeout=30)
    assert seen[3] - seen[2] > 0.7
    assert seen[4] - seen[3] > 1.5
    assert f":{level}]" in server.wait_for_log(f"WSGI361: .*{words_of_it}")
    if todo == "raise":
        server.wait_for_log("Traceback")
        server.wait_for_log("LookupError: this service does not work")


def test_requests_are_refused(service):
    server = service(more="WSGIScriptAlias / @APPS@/hello.wsgi process-group=worker").start()
    running(server)
    assert server.get("/").status_code == 500
    assert "threads=0" in server.wait_for_log("WSGI215")
    assert "WSGI122" in server.error_log()


def test_without_a_script_there_is_no_process(serve_once):
    server = serve_once("WSGIDaemonProcess worker threads=0\n")
    server.wait_for_log("WSGI121.*add WSGIImportScript")
    assert server.daemons() == server.supervisors() == []
