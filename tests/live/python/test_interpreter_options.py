"""`<WSGIInterpreterOptions>`, its directives, and interpreters that have a GIL of their own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.both_modes]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=4
WSGIProcessGroup site
WSGIScriptAlias /plain @APPS@/options.wsgi
WSGIScriptAlias /special @APPS@/options.wsgi application-group=special
WSGIScriptAlias /main @APPS@/options.wsgi application-group=%{GLOBAL}
WSGISwitchInterval 0.5
<WSGIInterpreterOptions application-group=special>
    WSGIRestrictStdin On
    WSGIRestrictStdout On
    WSGIRestrictSignal Off
</WSGIInterpreterOptions>
<WSGIInterpreterOptions process-group=@GROUP@>
    WSGIPythonPath /added/for/the/group
    WSGISwitchInterval 0.125
</WSGIInterpreterOptions>
<WSGIInterpreterOptions process-group=@GROUP@ application-group=special>
    WSGIPythonPath /added/for/special
</WSGIInterpreterOptions>
<WSGIInterpreterOptions process-group=another>
    WSGIRestrictStdin On
    WSGIPythonPath /added/for/another
</WSGIInterpreterOptions>
"""

OWN_GIL = """
WSGIDaemonProcess site python-home=@HOME@ threads=4
WSGIProcessGroup site
WSGIPerInterpreterGIL On
WSGIScriptAlias /one @APPS@/options.wsgi application-group=one
WSGIScriptAlias /two @APPS@/options.wsgi application-group=two
"""


@pytest.fixture(scope="module")
def server(serve, mode: str) -> Httpd:
    return serve(CONFIGURATION.replace("@GROUP@", "site" if mode == "daemon" else "%{GLOBAL}"))


def test_the_most_specific_section_wins(server: Httpd):
    plain, special, main = (server.get(f"/{name}").json() for name in ("plain", "special", "main"))
    assert plain["switch interval"] == special["switch interval"] == main["switch interval"] == 0.125
    assert special["stdin"] == "sys.stdin is restricted by WSGIRestrictStdin"
    assert special["stdout"] == "sys.stdout is restricted by WSGIRestrictStdout"
    assert "restricted" not in plain["stdin"] + plain["stdout"] + main["stdin"]
    assert plain["signal"] == main["signal"] == "ignored"
    assert "main thread" in special["signal"]
    assert plain["path"] == main["path"] == ["/added/for/the/group"]
    assert special["path"] == ["/added/for/special", "/added/for/the/group"]


def spin_in_both(server: Httpd, names: tuple[str, str]) -> float:
    """Seconds that two requests of half a CPU second take when they run at once."""
    with ThreadPoolExecutor(2) as pool:
        start = time.monotonic()
        for answer in list(pool.map(lambda name: server.get(f"/{name}/spin?0.5"), names)):
            assert answer.status_code == 200
        return time.monotonic() - start


@pytest.mark.waits
@pytest.mark.one_process
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_interpreters_with_a_gil_of_their_own_use_several_cores(serve_once, python, version: str):
    """Compared with the same work in one interpreter; other work of the machine may spoil an attempt, not all."""
    server = serve_once(OWN_GIL.replace("@HOME@", str(python(version).home)))
    for name in ("one", "two"):
        assert server.get(f"/{name}").json()["group"] == name

    def factor() -> float:
        return spin_in_both(server, ("one", "one")) / spin_in_both(server, ("one", "two"))

    wait_for(lambda: factor() >= 1.8, "two interpreters are 1.8 times as fast as one", timeout=60)


def test_a_python_without_the_means_says_so(serve_once, python):
    server = serve_once(OWN_GIL.replace("@HOME@", str(python("3.11").home)) + "WSGIFreeThreading On\n")
    assert server.get("/one").json()["gil"] is True
    assert "3.12 or newer" in server.wait_for_log("WSGI413")
    assert "no free-threaded build" in server.wait_for_log("WSGI412")


SUBSCRIBER = """
import mod_wsgi, sys

@mod_wsgi.subscribe_shutdown
def ends(name, **event):
    print("heard of", name, event, file=sys.stderr)
    return {"more": 1}

@mod_wsgi.subscribe_events
def fails(name, **event):
    raise ValueError("a subscriber that fails")

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_subscribers_hear_of_the_end(serve_once, mode: str):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@\nWSGIProcessGroup site\nWSGIScriptAlias / @ROOT@/subscriber.wsgi\n"
    )
    (server.root / "subscriber.wsgi").write_text(SUBSCRIBER)
    server.start()
    assert server.get("/").status_code == 200
    server.stop()
    reason = "shutdown_signal" if mode == "daemon" else ""
    server.wait_for_log(f"heard of process_stopping .*'shutdown_reason': '{reason}'")
    server.wait_for_log("ValueError: a subscriber that fails")
    assert "WSGI431" not in server.error_log()
