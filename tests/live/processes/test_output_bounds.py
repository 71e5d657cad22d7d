"""What the children of an application write to their standard output and error: levels, and bounds of what is logged.

However much that is, the log grows by a bounded part of it, one line says what was dropped, the supervisor keeps its
processor time for others, and no other group notices.
"""

from __future__ import annotations

import re
import time

import pytest

from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

APPLICATION = """
import os, subprocess, threading

COMMANDS = {
    "/echo": "echo to-output; echo to-error >&2",
    "/nuls": "head -c 20000000 /dev/zero; echo >&2 the-nuls-are-written",
    "/lines": "yes something-to-say | head -c 20000000 >&2; echo the-lines-are-written",
    "/for-ever": "exec yes",
    "/stray": "exec setsid yes >&2",
}
kept = []

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path in COMMANDS:
        kept.append(subprocess.Popen(COMMANDS[path], shell=True))
    if path == "/end":
        for process in kept:
            process.kill()
    body = str(kept[-1].pid if kept else os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

# Its burst and what comes in the seconds of a test, of each of both streams.
LOGGED_AT_MOST = 4_000_000


@pytest.fixture(params=["", "preload=On"], ids=["executed", "forked"])
def server(request, serve_once) -> Httpd:
    server = serve_once.prepare(
        f"WSGIDaemonProcess site python-home=@PYTHON@ {request.param}\nWSGIDaemonProcess other python-home=@PYTHON@\n"
        "WSGIScriptAlias /site @ROOT@/writes.wsgi process-group=site application-group=%{GLOBAL}\n"
        "WSGIScriptAlias /other @APPS@/hello.wsgi process-group=other application-group=%{GLOBAL}\n"
    )
    (server.root / "writes.wsgi").write_text(APPLICATION)
    server.start()
    assert server.get("/site/").status_code == server.get("/other").status_code == 200
    return server


def size(server: Httpd) -> int:
    return (server.root / "error.log").stat().st_size


def others_are_served(server: Httpd, seconds: float) -> None:
    """One request after the other for so long, each of which is answered soon."""
    begun = time.monotonic()
    with server.client(timeout=5) as client:
        wait_for(
            lambda: client.get("/other").status_code == client.get("/site/").status_code == 200 and time.monotonic() - begun > seconds,
            f"{seconds} s pass", timeout=seconds + 10,
        )  # fmt: skip


def test_output_is_information_and_errors_are_errors(server: Httpd):
    assert server.get("/site/echo").status_code == 200
    assert ":info]" in server.wait_for_log(r"\[wsgi process \d+\] to-output$")
    assert ":error]" in server.wait_for_log(r"\[wsgi process \d+\] to-error$")


@pytest.mark.parametrize(
    "path, stream, level, lines",
    [
        ("/nuls", "output", "info", r"1"),
        ("/lines", "error", "error", r"\d{6,7}"),
    ],
)
def test_a_flood_is_cut_and_said(server: Httpd, path: str, stream: str, level: str, lines: str):
    before = size(server)
    assert server.get(f"/site{path}").status_code == 200
    with server.client(timeout=5) as client:
        wait_for(lambda: client.get("/other").status_code == 200 and "-are-written" in server.error_log(), "the child ends", timeout=30)
    said = server.wait_for_log("WSGI344")
    number = re.search(rf"of the standard {stream} .* (\d+) bytes of {lines} line", said)
    assert f":{level}]" in said and number, said
    assert 15_000_000 < int(number[1]) <= 20_000_000
    assert size(server) - before < LOGGED_AT_MOST
    assert server.error_log().count("WSGI344") == 1
    assert server.get("/site/").status_code == 200


@pytest.mark.parametrize("path", ["/for-ever", "/stray"])
def test_a_flood_without_end_leaves_the_supervisor_at_rest(server: Httpd, path: str):
    (supervisor,) = server.supervisors()
    before = size(server)
    assert server.get(f"/site{path}").status_code == 200
    wait_for(lambda: size(server) > before + 500_000, "the burst is logged")
    used, begun = supervisor.cpu, time.monotonic()
    others_are_served(server, 4)
    assert supervisor.cpu - used < 0.25 * (time.monotonic() - begun)
    assert size(server) - before < LOGGED_AT_MOST
    server.get("/site/end")
    server.wait_for_log("WSGI344")
