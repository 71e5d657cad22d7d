"""What a restart of httpd leaves of the time before: sockets, forks of applications, programs that they have started."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from httpd import Httpd
from machine import libexec
from processes import Process
from waiting import wait_for

pytestmark = pytest.mark.ours

STAYS = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIScriptAlias / @APPS@/forks.wsgi process-group=site application-group=%{GLOBAL}
"""


def test_a_restart_makes_other_sockets_and_a_graceful_one_keeps_them(serve_once):
    server = serve_once(STAYS)
    first = server.socket_numbers()
    server.graceful()
    assert server.socket_numbers() == first
    assert server.get("/process").status_code == 200
    old = os.open(server.socket_places()[0], os.O_PATH)
    server.restart()
    assert not set(server.socket_numbers()) & set(first)
    assert server.get("/process").status_code == 200
    with socket.socket(socket.AF_UNIX) as connection, pytest.raises(ConnectionRefusedError):
        connection.connect(f"/proc/self/fd/{old}")
    os.close(old)


def test_a_stray_that_listens_on_answers_no_user_after_a_restart(serve_once):
    """A program with the old listening socket, which an application has handed to it."""
    server = serve_once(STAYS)
    stray = Process.of(server.get("/executed").json())
    try:
        server.restart()
        daemons = {server.get("/process").json() for _ in range(20)}
        assert stray.alive and daemons == {process.pid for process in server.daemons("site")}
    finally:
        stray.kill()


def test_a_restart_beside_a_process_that_httpd_has_forked(serve_once):
    """mod_cgid's process has a copy of all that its parent had open; it delays no end and no restart."""
    server = serve_once(f"LoadModule cgid_module {libexec()}/mod_cgid.so\nScriptSock @ROOT@/run/cgid\n" + STAYS)
    daemon = Process.of(server.get("/process").json())
    for restart in (server.graceful, server.restart):
        begun = time.monotonic()
        restart()
        wait_for(lambda: server.get("/process").json() != daemon.pid, "others serve")
        wait_for(lambda: not daemon.alive, "the old process has ended")
        daemon = Process.of(server.get("/process").json())
        assert time.monotonic() - begun < 6
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 6


def copies(server: Httpd) -> dict[str, Process]:
    made = {kind: Process.of(server.get(f"/{kind}").json()) for kind in ("forked", "bare", "executed")}
    assert all(made.values())
    return made


@pytest.mark.parametrize("how", ["graceful", "restart", "stop"])
def test_forks_end_with_their_generation_and_programs_live_on(serve_once, how: str):
    server = serve_once(STAYS)
    made = copies(server)
    daemon = Process.of(server.get("/process").json())
    daemon.kill(signal.SIGKILL)
    assert wait_for(lambda: server.get("/process").json(), "another has taken its place") != daemon.pid
    assert all(process.alive for process in made.values()), "the generation goes on"
    try:
        if how == "stop":
            server.parent.send_signal(signal.SIGTERM)
            server.parent.wait(timeout=15)
        else:
            getattr(server, how)()
        wait_for(lambda: not made["forked"].alive and not made["bare"].alive, "the forks have ended", 15)
        assert made["executed"].alive
        server.wait_for_log("WSGI364: 2 processes that applications had forked")
    finally:
        for process in made.values():
            process.kill()


def test_daemonised_programs_of_the_same_python_live_on(serve_once):
    """`celery --detach` and the like: a program is executed, and it forks."""
    server = serve_once.prepare(STAYS.replace("forks.wsgi", "detached.wsgi"))
    (server.root / "apps/detached.wsgi").write_text(DETACHED)
    server.start()
    detached = Process.of(int(server.get("/").text))
    server.graceful()
    server.wait_for_log("generation 1 of the configuration has ended")
    assert detached.alive
    assert "WSGI364" not in server.error_log()
    detached.kill()


DETACHED = """
import subprocess, sys
PROGRAM = "import os, sys, time\\npid = os.fork()\\nif pid: print(pid, flush=True); os._exit(0)\\nos.setsid()\\ntime.sleep(60)"
def application(environ, start_response):
    start_response("200 OK", [])
    started = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
    line = started.stdout.readline()
    started.wait()
    return [line]
"""
