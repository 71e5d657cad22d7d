"""The first thing that must work: hello world from a daemon, over every protocol, and a clean end."""

from __future__ import annotations

import httpx
import pytest

from httpd import Httpd

CONFIGURATION = """
WSGIDaemonProcess hello python-home=@PYTHON@ processes=2 threads=3 display-name=%{GROUP}
WSGIProcessGroup hello
WSGIScriptAlias / @APPS@/hello.wsgi
@HTTPS@
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def test_hello(server: Httpd):
    answer = server.get("/")
    assert (answer.status_code, answer.text) == (200, "Hello, world!")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == "13"


def test_hello_many_times_on_one_connection(server: Httpd):
    with server.client() as client:
        assert {client.get("/").text for _ in range(200)} == {"Hello, world!"}


@pytest.mark.parametrize(
    "port, version, options",
    [
        ("PORT", "HTTP/1.1", {}),
        ("PORT", "HTTP/2", {"http1": False, "http2": True}),
        ("TLS", "HTTP/1.1", {}),
        ("TLS", "HTTP/2", {"http2": True}),
    ],
)
def test_hello_over_every_protocol(server: Httpd, port: str, version: str, options: dict):
    if version == "HTTP/2" and server.mpm == "prefork":
        pytest.skip("mod_http2 does not work with prefork")
    with server.client(port=port, **options) as client:
        answers: list[httpx.Response] = [client.get("/") for _ in range(5)]
    assert {(answer.status_code, answer.text, answer.http_version) for answer in answers} == {
        (200, "Hello, world!", version)
    }


@pytest.mark.ours
def test_the_expected_processes(server: Httpd):
    assert len(server.wait_for_daemons(2, "hello")) == 2
    assert len(server.supervisors()) == 1


@pytest.mark.ours
def test_no_python_outside_the_daemons(server: Httpd):
    server.get("/")
    everyone = server.note_processes()
    daemons = server.daemons()
    others = [process for process in everyone if process not in daemons]
    assert len(others) >= 3
    assert [process.title for process in others if "python" in process.maps.lower()] == []


def test_stop_leaves_nothing(serve_once):
    server = serve_once(CONFIGURATION)
    assert server.get("/").text == "Hello, world!"
    processes = server.note_processes()
    server.stop()
    assert [process for process in processes if process.alive] == []
