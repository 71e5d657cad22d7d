"""deadlock-timeout and stacks: every interpreter of a process, also one that has a GIL of its own."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.waits]

# sum() of a range runs in C from its beginning to its end, and lets nobody else in.
APPLICATION = """
def application(environ, start_response):
    if environ["QUERY_STRING"] == "stand-still":
        sum(range(10**11))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""

CONFIGURATION = """
WSGIDaemonProcess site python-home=@HOME@ threads=3 deadlock-timeout=1 shutdown-timeout=1
WSGIPerInterpreterGIL On
WSGIProcessGroup site
WSGIScriptAlias /main @ROOT@/stands.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @ROOT@/stands.wsgi application-group=other
"""


@pytest.mark.parametrize("place", ["main", "other"])
def test_an_interpreter_that_stands_still_is_found(serve_once, python, place: str):
    server = serve_once.prepare(CONFIGURATION.replace("@HOME@", str(python("3.12").home)))
    (server.root / "stands.wsgi").write_text(APPLICATION)
    (server.root / "stands.wsgi").chmod(0o644)
    server.start()
    assert [server.get(f"/{name}").status_code for name in ("main", "other")] == [200, 200]
    [daemon] = server.daemons("site")
    start = len(server.error_log())
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(server.get, f"/{place}?stand-still")
        server.wait_for_log("WSGI334.*deadlock-timeout", start=start)
        assert stuck.result().status_code == 502
    wait_for(lambda: not daemon.alive, "it has ended")
    if place == "main":  # Python offers nothing that looks into another GIL from outside
        assert re.search(r"stands.wsgi\", line 4 in application", server.error_log()[start:])
    assert [server.get(f"/{name}").status_code for name in ("main", "other")] == [200, 200]


def test_stacks_of_an_interpreter_with_a_gil_of_its_own(serve_once, python):
    configuration = CONFIGURATION.replace("deadlock-timeout=1", "request-timeout=1")
    server = serve_once.prepare(configuration.replace("@HOME@", str(python("3.13").home)))
    (server.root / "stands.wsgi").write_text(APPLICATION.replace("sum(range(10**11))", "while True: pass"))
    (server.root / "stands.wsgi").chmod(0o644)
    server.start()
    assert server.get("/other?stand-still").status_code == 504
    server.wait_for_log(r"stands.wsgi\", line 4 in application")
