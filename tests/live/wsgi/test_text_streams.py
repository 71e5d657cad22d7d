"""sys.stdout, sys.stderr and wsgi.errors are text streams: what works with Python's own works with these."""

from __future__ import annotations


import pytest

import pythons
from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@HOME@ threads=5
WSGIProcessGroup site
WSGIScriptAlias /main @APPS@/text_streams.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @APPS@/text_streams.wsgi application-group=other
WSGIScriptAlias /restricted @APPS@/text_streams.wsgi application-group=restricted
<WSGIInterpreterOptions application-group=restricted>
    WSGIRestrictStdout On
</WSGIInterpreterOptions>
"""

LOGGERS = ("structlog", "loguru", "rich")
STREAMS = ["stdout", "stderr", "errors"]


@pytest.fixture(scope="module", params=pythons.VERSIONS)
def server(request: pytest.FixtureRequest, serve, python) -> Httpd:
    return serve(CONFIGURATION.replace("@HOME@", str(python(request.param).home)))


@pytest.fixture(params=["main", "other"])
def place(request: pytest.FixtureRequest) -> str:
    return request.param


def seen(server: Httpd, place: str, way: str, name: str) -> object:
    answer = server.get(f"/{place}/{way}?{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("name", STREAMS)
def test_every_attribute_of_a_text_stream_is_there(server: Httpd, place: str, name: str):
    assert seen(server, place, "missing", name) == []


@pytest.mark.parametrize("name", STREAMS)
def test_it_behaves_like_a_text_stream(server: Httpd, place: str, name: str):
    assert seen(server, place, "behaviour", name) == {
        "is a text stream": True,
        "is a wrapper": name != "errors",
        "weak reference": True,
        "attribute of its own": "kept",
        "encoding": "utf-8",
        "errors": "backslashreplace",
        "closed": False,
        "flags": [True, False, False, False],
        "reconfigured": None,
        "in a with statement": True,
        "read": ["UnsupportedOperation"] * 4,
        "wrong": ["TypeError", "TypeError", "TypeError"],
        "descriptor": 2 if name == "stderr" else "UnsupportedOperation",
        "written": [4, 0],
    }


@pytest.mark.parametrize("name", STREAMS)
def test_bytes_of_every_kind_go_through_the_buffer(server: Httpd, place: str, name: str):
    mark = f"bytes-{place}-{name}"
    assert seen(server, place, f"bytes/{mark}", name) == [5, 8]
    server.wait_for_log(f"{mark} abc \N{SNOWMAN}$|{mark} abc " + r"\\xe2\\x98\\x83$")
    server.wait_for_log(f"{mark} wrapped$")


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("how", ["close", "with", "wrapper", "collected", "buffer"])
def test_it_goes_on_when_it_is_closed(server: Httpd, place: str, name: str, how: str):
    mark = f"closed-{place}-{name}-{how}"
    assert seen(server, place, f"{how}/{mark}", name) == "ok"
    server.wait_for_log(f"{mark} afterwards$")


@pytest.mark.parametrize("name", STREAMS)
def test_what_cannot_be_written_is_escaped_and_long_lines_are_whole(server: Httpd, place: str, name: str):
    mark = f"odd-{place}-{name}"
    assert seen(server, place, f"odd/{mark}", name) == "ok"
    assert "before" in server.wait_for_log(f"{mark} before.*after a NUL$")
    server.wait_for_log(f"{mark} " + r"surrogate \\+udc80$")
    server.wait_for_log(f"{mark}-end$")
    assert sum(line.count("x") for line in server.error_log().splitlines() if "xxxxx" in line) >= 300_000


@pytest.mark.parametrize("name", STREAMS)
def test_threads_do_not_mix_their_lines_and_an_unfinished_one_ends_with_the_request(
    server: Httpd, place: str, name: str
):
    mark = f"threads-{place}-{name}"
    assert seen(server, place, f"threads/{mark}", name) == "ok"
    server.wait_for_log(f"{mark} unfinished$")

    def of_threads() -> list[str]:
        return [line for line in server.error_log().splitlines() if f"{mark} thread" in line]

    lines = wait_for(lambda: len(lines := of_threads()) == 4 * 50 and lines, "the lines of all threads")
    assert all(line.endswith(" end") and line.count(mark) == 1 for line in lines)


@pytest.mark.parametrize("place", ["main", "other", "restricted"])
def test_types_are_found_in_their_module(server: Httpd, place: str):
    assert seen(server, place, "types", "errors") == []


@pytest.mark.parametrize("version", pythons.VERSIONS)
def test_logging_libraries(serve_once, version: str):
    environment = pythons.environment(version, LOGGERS)
    server = serve_once(CONFIGURATION.replace("@HOME@", str(environment.home)))
    for place in ("main", "other"):
        for way in LOGGERS:
            assert seen(server, place, f"{way}/{place}-{way}", "stderr") == "ok"
            server.wait_for_log(f"by {place}-{way}")
