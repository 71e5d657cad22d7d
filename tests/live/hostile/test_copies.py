"""A copy that an application forks, and how it ends: its original serves on, as if there had been none."""

from __future__ import annotations

import concurrent.futures
import re
import signal

import pytest

import pythons
from httpd import Httpd
from processes import Process
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm]

APPLICATION = """
import atexit, os, signal, sys, threading, time

import mod_wsgi

ROOT = os.path.dirname(__file__)

def note(text):
    with open(f"{ROOT}/marks/{text}", "a"):
        pass

atexit.register(lambda: note(f"atexit-{os.getpid()}"))
mod_wsgi.subscribe_shutdown(lambda name, **event: note(f"shutdown-{os.getpid()}"))

def sleep():
    time.sleep(60)

def forks_and_returns(name, **event):
    if event["signame"] == "SIGUSR2":
        pid = os.fork()
        note(f"signal-{pid or os.getpid()}")

mod_wsgi.subscribe_signals(forks_and_returns)

def exit_of_python():
    sys.exit(3)

def exit_at_once():
    os._exit(4)

def raises():
    raise RuntimeError("in the copy")

def returns():
    pass

def threads():
    threading.Thread(target=time.sleep, args=(0.05,)).start()

def terminated():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def closes():
    os.closerange(3, 1024)

def forks_again():
    for _ in range(3):
        if not os.fork():
            os._exit(0)

def application(environ, start_response):
    name = environ["PATH_INFO"].rpartition("/")[2]
    status = ""
    if name != "pid":
        pid = os.fork()
        if not pid:
            globals()[name]()
            start_response("200 OK", [("Content-Length", "4")])
            return [b"copy"]
        if name == "sleep":
            status = str(pid)
        else:
            status = str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    body = f"{os.getpid()} {status}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """
WSGIDaemonProcess site python-home=@HOME@ threads=4 shutdown-timeout=3
WSGIPythonHome @HOME@
WSGIScriptAlias /sub @ROOT@/one.wsgi process-group=site application-group=sub
WSGIScriptAlias / @ROOT@/one.wsgi process-group=site application-group=%{GLOBAL}
"""

# How a copy can end, and the status that its original sees.
ENDS = {
    "exit_of_python": 0, "exit_at_once": 4, "raises": 0, "returns": 0, "threads": 0, "terminated": -signal.SIGTERM,
    "killed": -signal.SIGKILL, "closes": 0, "forks_again": 0,
}  # fmt: skip


def prepare(serve, home, configuration: str) -> Httpd:
    server = serve.prepare(configuration.replace("@HOME@", str(home)))
    server.writable_folder("marks")
    (server.root / "one.wsgi").write_text(APPLICATION)
    return server.start()


def without_sub(configuration: str) -> str:
    return re.sub(r"^.*/sub.*\n", "", configuration, flags=re.M)


@pytest.fixture(scope="module", params=pythons.VERSIONS)
def server(serve, python, request) -> Httpd:
    return prepare(serve, python(request.param).home, without_sub(CONFIGURATION))


def original(server: Httpd) -> int:
    return int(server.get("/pid").text)


@pytest.mark.parametrize("end", ENDS)
def test_the_original_serves_on(server: Httpd, end: str):
    pid, start = original(server), len(server.error_log())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [answer.text for answer in pool.map(server.get, [f"/{end}"] * 12)]
    assert answers == [f"{pid} {ENDS[end]}"] * 12
    assert original(server) == pid
    marks = {path.name for path in (server.root / "marks").iterdir()}
    assert not {mark for mark in marks if mark.startswith(("atexit", "shutdown"))}, "exit functions and subscribers are the original's"
    assert not re.search(r"WSGI3\d\d|WSGI231|Fatal", server.error_log()[start:])


@pytest.mark.daemon_mode
def test_a_copy_that_comes_back_from_a_subscriber_ends(server: Httpd):
    pid = original(server)
    Process.of(pid).kill(signal.SIGUSR2)
    (mark,) = wait_for(lambda: list((server.root / "marks").glob("signal-*")), "the subscriber has forked")
    wait_for(lambda: not Process.of(int(mark.name.partition("-")[2])), "the copy has ended")
    assert original(server) == pid


@pytest.mark.waits
@pytest.mark.daemon_mode
def test_copies_that_stay_hold_nothing_up(serve_once, python):
    """Deploy, graceful, restart and stop go on while copies live; a copy ends by SIGTERM."""
    server = prepare(serve_once, python(pythons.VERSIONS[-1]).home, without_sub(CONFIGURATION))
    steps = [lambda: (server.root / "one.wsgi").write_text(APPLICATION + "\n"), server.graceful, server.restart]
    copies = []
    for step in steps:
        before, copy = map(int, server.get("/sleep").text.split())
        copies.append(Process.of(copy))
        step()
        wait_for(lambda: original(server) != before, "another process serves", timeout=20)
        wait_for(lambda: Process.of(before) is None, "the one before has ended", timeout=15)
    for copy in copies:
        copy.kill(signal.SIGTERM)
        wait_for(lambda: not copy.alive, "the copy has ended")
    last = Process.of(int(server.get("/sleep").text.split()[1]))
    server.parent.send_signal(signal.SIGTERM)
    server.parent.wait(timeout=15)
    last.kill()


@pytest.mark.waits
def test_a_copy_that_hangs_in_python_says_so_and_ends(serve_once, python, mode: str):
    """In a process with several interpreters it hangs or crashes, whichever of them forks, with each Python up to 3.13."""
    for version in pythons.VERSIONS if mode == "daemon" else ("3.11",):
        server = prepare(serve_once, python(version).home, CONFIGURATION)
        pid = int(server.get("/sub/pid").text)
        for path in ("/returns", "/sub/returns"):
            start = len(server.error_log())
            answer, status = server.get(path, timeout=25).text.split()
            assert int(answer) == pid
            assert int(status) in (0, -signal.SIGALRM, -signal.SIGSEGV, -signal.SIGABRT, 1)
            if int(status) == -signal.SIGALRM:
                server.wait_for_log("WSGI443.*application-group=%{GLOBAL}", start=start)
        server.wait_for_log("WSGI389")
        assert int(server.get("/sub/pid").text) == pid
