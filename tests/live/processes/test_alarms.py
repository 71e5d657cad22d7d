"""Timers of an application whose handlers are refused: that is said, and the process stays."""

from __future__ import annotations

import pytest

from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.waits]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3
WSGIProcessGroup site
WSGIScriptAlias /main @APPS@/alarms.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @APPS@/alarms.wsgi application-group=other
"""

TIMERS = {"SIGALRM": "ITIMER_REAL", "SIGVTALRM": "ITIMER_VIRTUAL", "SIGPROF": "ITIMER_PROF"}


@pytest.fixture
def server(serve_once) -> Httpd:
    return serve_once(CONFIGURATION)


def seen(server: Httpd, path: str) -> object:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.one_process
def test_a_refused_handler_is_said_once_a_process_and_signal(server: Httpd):
    for place in ("main", "other", "main"):
        for name in ("SIGALRM", "SIGTERM", "SIGRTMIN"):
            assert seen(server, f"/{place}/handle?{name}") == "the handler"
    for name in ("SIGALRM", "SIGTERM", "SIGRTMIN"):
        server.wait_for_log(rf"wsgi:warn.*WSGI418: .* sets for {name} \(signal.signal\)")
    server.get("/main/handle?SIGUSR1")
    server.wait_for_log("WSGI418.*SIGUSR1")
    assert server.error_log().count("WSGI418") == 5  # with the one at loading
    assert seen(server, "/main/handle?wrong") == "ValueError"


@pytest.mark.parametrize("name", TIMERS)
def test_a_timer_without_a_handler_does_not_end_the_process(server: Httpd, name: str):
    for place in ("main", "other"):
        before, after = seen(server, f"/{place}/timer?{TIMERS[name]}")
        assert before == after, "the timer did not run out"
    server.wait_for_log(f"WSGI418.*{name}")
    if server.mode == "daemon":
        server.wait_for_log(rf"wsgi:warn.*WSGI419: {name} has come")
        seen(server, "/main/handle?SIGUSR1")
        server.wait_for_log("WSGI418.*SIGUSR1")
        assert server.error_log().count("WSGI419") == 1
    assert "exit signal" not in server.error_log() and "WSGI323" not in server.error_log()
    assert seen(server, "/main/pid") == before


@pytest.mark.parametrize("name", TIMERS)
def test_a_program_that_is_started_has_the_usual_disposition(server: Httpd, name: str):
    for place in ("main", "other"):
        assert seen(server, f"/{place}/child?{name}") == f"-{name}"


@pytest.mark.daemon_mode
def test_handlers_of_a_script_where_they_are_not_restricted(serve_once):
    server = serve_once("WSGIRestrictSignal Off\n" + CONFIGURATION)
    assert seen(server, "/main/handle?SIGALRM") == "ValueError"
    assert seen(server, "/main/loaded") == "set"
    before, after = seen(server, "/main/timer?ITIMER_REAL")
    assert before == after
    wait_for(lambda: seen(server, "/main/pid") == before, "the process that had the alarm")
    assert "WSGI418" not in server.error_log()
