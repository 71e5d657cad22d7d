"""Who waits for what and for how long: the statuses 503, 504 and 408, each with its reason in the log."""

from __future__ import annotations

import time

import pytest

import raw_http
from httpd import Httpd
from waiting import wait_for

APPLICATION = """
import os, time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        until = time.monotonic() + 10
        while not os.path.exists(environ["QUERY_STRING"]) and time.monotonic() < until:
            time.sleep(0.01)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """
Timeout 2
WSGIDaemonProcess slow python-home=@PYTHON@ threads=1 socket-timeout=1
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIScriptAlias /slow @ROOT@/waits.wsgi process-group=slow
WSGIScriptAlias /site @ROOT@/waits.wsgi process-group=site
WSGIScriptAlias /only @ROOT@/waits.wsgi process-group=site
<Location /only>
    AcceptPathInfo Off
</Location>
"""

pytestmark = pytest.mark.ours


def started(server: Httpd) -> Httpd:
    script = server.root / "waits.wsgi"
    script.write_text(APPLICATION)
    script.chmod(0o644)
    return server.start()


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return started(serve.prepare(CONFIGURATION))


def test_an_application_that_does_not_answer_in_time_is_504(server: Httpd):
    go_on, start = server.root / "go-on", len(server.error_log())
    begun = time.monotonic()
    assert server.get(f"/slow/wait?{go_on}").status_code == 504
    # The one thread is still busy: nobody accepts the next one either.
    assert server.get("/slow/").status_code == 504
    assert 2 <= time.monotonic() - begun < 6
    go_on.touch()
    assert server.error_log()[start:].count("WSGI232") == 2
    wait_for(lambda: server.get("/slow/").status_code == 200, "the thread is free again")


def test_a_client_that_sends_its_body_too_slowly_is_408(server: Httpd):
    with raw_http.Connection(server.ports["PORT"], timeout=10) as connection:
        connection.send(b"POST /site/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
        assert connection.answer().status == 408


def test_path_info_that_is_refused_is_404(server: Httpd):
    assert server.get("/only").status_code == 200
    start = len(server.error_log())
    assert server.get("/only/more").status_code == 404
    server.wait_for_log("AcceptPathInfo", start=start)


def test_a_socket_that_was_removed_is_503(serve_once):
    server = started(serve_once.prepare(CONFIGURATION))
    sockets = [path for path in (server.root / "run").iterdir() if path.is_socket()]
    assert len(sockets) == 2
    for path in sockets:
        path.unlink()
    assert server.get("/site/").status_code == 503
    server.wait_for_log("WSGI231.*restart httpd")
