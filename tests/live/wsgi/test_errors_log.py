"""wsgi.errors, print and stderr: every line in the error log of its virtual host, with its own client."""

from __future__ import annotations

import re
import threading

import pytest

import raw_http
from httpd import Httpd

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias /log @APPS@/errors.wsgi
WSGIScriptAlias /validated @APPS@/validated.wsgi
WSGIScriptAlias /import @APPS@/import_error.wsgi
Listen 127.0.0.1:@PORT2@
<VirtualHost *:@PORT2@>
    ServerName other.example
    ErrorLog "@ROOT@/other.log"
</VirtualHost>
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


@pytest.mark.parametrize(
    "way, lines",
    [
        ("errors", ["first", "second"]),
        ("errors-writelines", [" a$", " b$"]),
        ("print", ["printed"]),
        ("stderr", ["on stderr"]),
        ("logging", ["by logging"]),
    ],
)
def test_lines_arrive_with_the_client(server: Httpd, way: str, lines: list[str]):
    mark = f"mark-{way}"
    with raw_http.Connection(server.ports["PORT"]) as connection:
        own_port = connection.socket.getsockname()[1]
        connection.send(f"GET /log/{way}?{mark} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert connection.answer().body == b"ok"
    for line in lines:
        logged = server.wait_for_log(f"{mark} ?{line}")
        assert re.search(rf"\[(client|remote) 127\.0\.0\.1:{own_port}\]", logged), logged


@pytest.mark.parametrize("way", ["errors", "print", "stderr"])
def test_lines_go_to_the_log_of_the_virtual_host(server: Httpd, way: str):
    mark = f"vhost-{way}"
    assert raw_http.get(server.ports["PORT2"], f"/log/{way}?{mark}").body == b"ok"
    server.wait_for_log(mark, name="other.log")
    assert mark not in server.error_log()


@pytest.mark.ours
def test_a_line_written_in_parts_is_one_record(server: Httpd):
    server.get("/log/errors-in-parts?parts")
    server.wait_for_log("parts one line")


@pytest.mark.ours
def test_a_long_line_is_whole(server: Httpd):
    server.get("/log/errors-long?long")
    server.wait_for_log("long-end")
    logged = "".join(line for line in server.error_log().splitlines() if "xxxx" in line or "long-end" in line)
    assert logged.count("x" * 50) >= 20000 // 50 - 20


def test_a_line_is_never_a_format(server: Httpd):
    server.get("/log/format?format")
    assert "format %s %n %d 100%" in server.wait_for_log("format %s")


def test_unicode_arrives(server: Httpd):
    server.get("/log/errors-unicode?unicode")
    logged = server.wait_for_log("unicode ")
    assert any(text in logged for text in ("\N{GREEK SMALL LETTER ALPHA}\N{SNOWMAN}", r"\xce\xb1\xe2\x98\x83"))


def test_threads_do_not_mix_their_lines(server: Httpd):
    def work(number: int) -> None:
        with server.client() as client:
            for turn in range(10):
                client.get(f"/log/errors?mixed-{number}-{turn}-end")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = [f"mixed-{number}-{turn}-end" for number in range(5) for turn in range(10)]
    for mark in wanted:
        for part in ("first", "second"):
            server.wait_for_log(f"{mark} {part}$")


@pytest.mark.parametrize("level, name", [(50, "crit"), (40, "error"), (30, "warn"), (20, "info")])
def test_the_log_handler_keeps_levels(server: Httpd, level: int, name: str):
    assert server.get(f"/log/levels?levels-{level}-of").text == "ok"
    logged = server.wait_for_log(f"levels-{level}-of at {level}$")
    assert re.search(rf"\[wsgi:{name}\].*client 127", logged), logged


@pytest.mark.ours
def test_bytes_go_through_the_buffer(server: Httpd):
    assert server.get("/log/buffer?bytes").text == "ok"
    assert ":error]" in server.wait_for_log("bytes through the buffer")


@pytest.mark.ours
def test_lines_of_a_thread_after_the_request(server: Httpd):
    """They go to the host's log: the request's client may be long gone."""
    assert server.get("/log/thread?late").text == "ok"
    assert ":error]" in server.wait_for_log("late errors after the request")
    assert ":info]" in server.wait_for_log("late print after the request")


def test_import_error_is_explained(server: Httpd):
    """The traceback is logged when the script is loaded, which may be before the first request."""
    start = len(server.error_log())
    assert server.get("/import").status_code == 500
    server.wait_for_log("a_module_that_nobody_has_written", start=start)
    log = server.error_log()
    assert "Traceback" in log and "import_error.wsgi" in log


@pytest.mark.parametrize(
    "name, body, expected",
    [
        ("hello", b"", b"hello"),
        ("generator", b"", b"one two"),
        ("written", b"", b"written and returned"),
        ("body", b"line one\nline two\n", b"line one\nline two\n"),
        ("lines", b"line one\nline two", b"line one\nline two"),
        ("errors", b"", b"logged"),
        ("nothing", b"", b""),
    ],
)
def test_the_validator_stays_silent(server: Httpd, name: str, body: bytes, expected: bytes):
    start = len(server.error_log())
    answer = server.request("POST" if body else "GET", f"/validated/{name}", content=body or None)
    assert (answer.is_success, answer.content) == (True, expected)
    server.get("/log/errors?after-the-validator")
    server.wait_for_log("after-the-validator", start=start)
    assert not re.search("AssertionError|WSGIWarning|Traceback", server.error_log()[start:])
