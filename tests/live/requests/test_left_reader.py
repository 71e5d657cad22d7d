"""An application answers while a thread of its own still reads the body: the request ends, and so does the thread."""

from __future__ import annotations

import time

import pytest

import raw_http
from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.one_process]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIProcessGroup site
WSGIScriptAlias / @APPS@/left_reader.wsgi
"""

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def test_the_request_ends_and_so_does_the_thread(server: Httpd, mode: str):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(HEAD + b"first")
        time.sleep(0.5)
        connection.send(b"-last")
        answer = connection.answer("POST")
    wait_for(lambda: len(server.get("/seen").text.split()) >= 2, "both reads of the thread end")
    seen = server.get("/seen").text
    if mode == "embedded":
        # httpd's filters wait for their client, and the answer with them.
        assert (answer.status, answer.body, answer.complete) == (200, b"answered", True)
        assert seen == "RuntimeError RuntimeError"
    else:
        # The daemon closes the connection that the thread waits for, and takes requests on another.
        assert seen == "OSError OSError"
