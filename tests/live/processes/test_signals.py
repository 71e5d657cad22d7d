"""Signals that are sent to a daemon process itself: those that end it, and those that its code may subscribe to."""

from __future__ import annotations

import signal

import pytest

from httpd import Httpd
from processes import Process
from waiting import wait_for

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIProcessGroup site
WSGIScriptAlias /main @ROOT@/subscribers.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @ROOT@/subscribers.wsgi application-group=other
WSGIScriptAlias /plain @APPS@/crash.wsgi application-group=plain
"""
SUBSCRIBERS = """
import mod_wsgi
import os
import signal
import threading
import time

HERE = os.path.dirname(__file__)
WHERE = mod_wsgi.application_group or "main"


def note(*words):
    with open(os.path.join(HERE, "shared", "notes"), "a") as notes:
        notes.write(" ".join(map(str, (WHERE, *words))) + "\\n")


@mod_wsgi.subscribe_signals
def signalled(name, signame, signum):
    note(name, signame, signum)
    if threading.get_native_id() == os.getpid():
        note("on the main thread")
    while os.path.exists(os.path.join(HERE, "block")):
        time.sleep(0.02)


@mod_wsgi.subscribe_events
def happened(name, **event):
    if name.startswith("process_"):
        note("event", name, sorted(event))


assert mod_wsgi.signal_callbacks == [signalled]
if not os.path.exists(os.path.join(HERE, "shared", "notes")):
    os.kill(os.getpid(), signal.SIGHUP)  # a process that is still starting does not end by it


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def server(serve_once) -> Httpd:
    server = serve_once.prepare(CONFIGURATION)
    (server.root / "subscribers.wsgi").write_text(SUBSCRIBERS)
    server.writable_folder("shared")
    return server


def notes(server: Httpd) -> list[str]:
    file = server.root / "shared" / "notes"
    return file.read_text().splitlines() if file.exists() else []


def daemon(server: Httpd) -> Process:
    """The process that answers; both of its subscribers are loaded then."""
    first, second = (server.get(path).text for path in ("/main", "/other"))
    assert first == second
    return Process.of(int(first))


def told(where: str, name: str) -> list[str]:
    number = signal.Signals[name].value
    return [f"{where} event process_signal ['signame', 'signum']", f"{where} process_signal {name} {number}"]


def heard_of_the_start(server: Httpd) -> None:
    both = told("main", "SIGHUP") + told("other", "SIGHUP")
    wait_for(lambda: notes(server) == both, "both have heard of the signal that came while they were loaded")


@pytest.mark.ours
def test_subscribers_in_all_interpreters_hear_of_signals(server: Httpd):
    server.start()
    heard_of_the_start(server)
    process = daemon(server)
    for name in ("SIGUSR2", "SIGHUP"):
        before = len(notes(server))
        process.kill(signal.Signals[name])
        wait_for(lambda: len(notes(server)) == before + 4, f"both have heard of {name}")
        assert notes(server)[before:] == told("main", name) + told("other", name)
    assert daemon(server) == process


@pytest.mark.ours
def test_a_subscriber_that_takes_its_time_holds_nobody_up(server: Httpd):
    server.start()
    process = daemon(server)
    heard_of_the_start(server)
    (server.root / "block").touch()
    process.kill(signal.SIGUSR2)
    wait_for(lambda: len(notes(server)) == 6, "the first subscriber is busy")
    process.kill(signal.SIGHUP)
    assert daemon(server) == process
    assert len(notes(server)) == 6
    process.kill(signal.SIGTERM)
    wait_for(lambda: not process.alive, "the process ends")
    assert "main event process_stopping ['shutdown_reason']" in notes(server)


@pytest.mark.ours
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_without_subscribers_nothing_happens(serve_once, number: int):
    server = serve_once(CONFIGURATION.replace("subscribers.wsgi", "apps/hello.wsgi"))
    process = Process.of(int(server.get("/plain").text))
    process.kill(number)
    assert {int(server.get("/plain").text) for _ in range(10)} == {process.pid}
    assert process.alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_others_end_the_process_in_order(server: Httpd, number: int):
    server.start()
    process = daemon(server)
    process.kill(number)
    wait_for(lambda: not process.alive, "it ends")
    for where in ("main", "other"):
        assert f"{where} event process_stopping ['shutdown_reason']" in notes(server)
    assert daemon(server) != process
