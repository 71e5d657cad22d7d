"""Processes that are no children of httpd, at the sockets of its groups: what has httpd's uid is not httpd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import impostor
from httpd import IS_ROOT, Httpd
from machine import daemon_account
from processes import Process
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.skipif(not IS_ROOT, reason="becomes httpd's user")]

SITE = """
WSGIDaemonProcess site python-home=@PYTHON@ user=daemon processes=1 threads=2
WSGIScriptAlias / @APPS@/hello.wsgi process-group=site application-group=%{GLOBAL}
"""

FOREIGN = """
import os
open({mark!r}, "w").write(str(os.getuid()))
def application(environ, start_response):
    start_response("200 OK", [])
    return [environ.get("REMOTE_USER", "").encode()]
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(SITE)


@pytest.fixture(scope="module")
def foreign(server: Httpd) -> tuple[Path, Path]:
    """A script that the configuration does not name, and what it leaves when it is executed."""
    script, mark = server.root / "foreign.wsgi", server.writable_folder("mark") / "executed"
    script.write_text(FOREIGN.format(mark=str(mark)))
    return script, mark


def send(place: Path, kind: str, script: Path, user: str | None = None, seed: int = 1) -> int:
    """How many bytes an impostor gets."""
    command = [sys.executable, impostor.__file__, str(place), user or daemon_account(), kind, str(seed)]
    environment = {**os.environ, "SCRIPT": str(script)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("kind", impostor.KINDS)
def test_httpds_uid_is_not_enough(server: Httpd, foreign: tuple[Path, Path], kind: str):
    script, mark = foreign
    (place,) = server.socket_places()
    for seed in range(5 if kind in ("partial", "random") else 1):
        assert send(place, kind, script, seed=seed) == 0
    assert not mark.exists(), f"code ran as user {mark.read_text()}"
    assert server.get("/").text == "Hello, world!"
    if kind in ("forged", "guessed", "late", "oversized"):
        # One message in five seconds; the first of them all is there.
        server.wait_for_log(r"WSGI397: refused a connection of process \d+ \(uid \d+\)")


def test_other_users_do_not_get_as_far_as_connecting(server: Httpd, foreign: tuple[Path, Path]):
    (place,) = server.socket_places()
    command = [sys.executable, impostor.__file__, str(place), "nobody", "forged", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, "SCRIPT": "/x"})
    assert "PermissionError" in done.stderr


LOOK = """
import os, sys
found = []
for pid in os.listdir("/proc"):
    try:
        found += [link for name in os.listdir(f"/proc/{pid}/fd")
                  if (link := os.readlink(f"/proc/{pid}/fd/{name}")).startswith(sys.argv[1])]
    except OSError:
        pass
print(found)
"""


def test_httpds_user_finds_no_way_to_a_socket(server: Httpd):
    """No name in the file system, and no descriptor of httpd's that another process may use."""
    assert [path for path in server.root.rglob("*") if path.is_socket()] == []
    user = daemon_account()
    command = [sys.executable, "-c", LOOK, str(server.root / "run")]
    done = subprocess.run(command, user=user, group=user, extra_groups=[], cwd="/", capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def connected(place: Path, count: int) -> list[socket.socket]:
    """So many connections of httpd's user, made in another process."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        try:
            descriptor = os.open(place, os.O_PATH)
            impostor.become(daemon_account())
            for _ in range(count):
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(f"/proc/self/fd/{descriptor}")
                socket.send_fds(theirs, [b"x"], [connection.fileno()])
                connection.close()
        finally:
            os._exit(0)
    theirs.close()
    found = []
    while (received := socket.recv_fds(ours, 1, 1))[0]:
        found.append(socket.socket(fileno=received[1][0]))
    os.waitpid(pid, 0)
    ours.close()
    return found


def test_a_thousand_silent_connections_keep_no_thread(server: Httpd):
    (place,), (daemon,) = server.socket_places(), server.daemons("site")
    before = len(daemon.descriptors)
    with contextlib.ExitStack() as held, server.client(timeout=5) as client:
        for _ in range(10):
            for connection in connected(place, 100):
                held.enter_context(connection)
            assert client.get("/").text == "Hello, world!"
        assert len(daemon.descriptors) < before + 70
    wait_for(lambda: len(daemon.descriptors) <= before + 1, "their descriptors are closed")
    assert server.daemons("site") == [daemon]


# What was there before a restart

STAYS = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIScriptAlias / @APPS@/forks.wsgi process-group=site application-group=%{GLOBAL}
"""


@contextlib.contextmanager
def holder(place: Path) -> Iterator[int]:
    """A process that keeps the place open, as what was left of a break-in may."""
    descriptor = os.open(place, os.O_PATH)
    yield descriptor
    os.close(descriptor)


def test_a_restart_makes_other_sockets_and_a_graceful_one_keeps_them(serve_once):
    server = serve_once(STAYS)
    first = server.socket_numbers()
    server.graceful()
    assert server.socket_numbers() == first
    assert server.get("/process").status_code == 200
    with holder(server.socket_places()[0]) as old:
        server.restart()
        assert not set(server.socket_numbers()) & set(first)
        assert server.get("/process").status_code == 200
        with socket.socket(socket.AF_UNIX) as connection, pytest.raises(ConnectionRefusedError):
            connection.connect(f"/proc/self/fd/{old}")


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


# The directory of the sockets


@pytest.mark.parametrize(
    "mode, owner, refused",
    [(0o755, "root", False), (0o1777, "root", False), (0o777, "root", True), (0o755, "daemon", True)],
)
def test_a_prefix_that_others_may_change_is_refused(serve_once, mode: int, owner: str, refused: bool):
    server = serve_once.prepare("WSGISocketPrefix @ROOT@/place/sub/wsgi\n" + SITE)
    place = server.root / "place"
    (place / "sub").mkdir(parents=True)
    place.chmod(mode)
    os.chown(place, int(subprocess.check_output(["id", "-u", owner])), -1)
    status, said = server.configtest()
    assert (status != 0) == refused, said
    if refused:
        assert f"WSGI398: WSGISocketPrefix at {server.configuration_file}:" in said and str(place) in said


def test_memory_of_children_that_others_may_read_is_warned_of(serve_once):
    server = serve_once.prepare("CoreDumpDirectory @ROOT@\n" + SITE)
    assert f"WSGI399: CoreDumpDirectory at {server.configuration_file}:" in server.configtest()[1]
