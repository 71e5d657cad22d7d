"""What httpd's logs can say of a request's way: notes for LogFormat, and one line at level debug."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

APPLICATION = """
import os, time

def application(environ, start_response):
    time.sleep(0.02)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """
LogLevel wsgi:debug
LogFormat "%U|%{wsgi-process-group}n|%{wsgi-pid}n|%{wsgi-queue-us}n|%{wsgi-connect-us}n|%{wsgi-application-us}n" wsgi
CustomLog @ROOT@/access.log wsgi
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIScriptAlias /noted @ROOT@/noted.wsgi process-group=site application-group=noted
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    (server.root / "noted.wsgi").write_text(APPLICATION)
    return server.start()


def lines(server: Httpd) -> list[list[str]]:
    log = Path(server.root, "access.log")
    return [line.split("|") for line in log.read_text().splitlines()] if log.exists() else []


def test_notes(server, mode):
    pids = [server.get("/noted").text for _ in range(3)]
    server.get("/not-ours")
    wait_for(lambda: len(lines(server)) >= 4, "four requests are logged")
    *noted, other = lines(server)
    for pid, (_, group, noted_pid, queue, connect, application) in zip(pids, noted, strict=True):
        assert noted_pid == pid
        assert (group == "") == (mode == "embedded")
        assert 20_000 <= int(application) < 10_000_000
        assert 0 <= int(connect) <= int(queue) < 10_000_000
    assert other[1:] == ["-"] * 5, "a request that is not ours has no notes"


def test_the_line_at_level_debug(server, mode):
    pid = server.get("/noted").text
    group = r"%\{GLOBAL\}" if mode == "embedded" else r"'\w+'"
    line = (
        rf"wsgi:debug.*GET /noted ran in process group {group}, process {pid}, interpreter 'noted', script '.*/noted\.wsgi': "
        r"queue \d+ us \(connect \d+ us\), application \d{5,} us"
    )
    wait_for(lambda: re.search(line, server.error_log()), "the line is in the log")
