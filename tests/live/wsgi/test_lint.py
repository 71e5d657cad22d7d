"""The test applications inside three linters of WSGI, which watch both sides: none has anything to say."""

from __future__ import annotations

import pytest

from httpd import Httpd

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3 display-name=%{GROUP}
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIChunkedRequest On
WSGIScriptAlias /linted @APPS@/linted.wsgi
"""

ANSWERS = [
    "a_list", "a_tuple", "a_generator", "an_iterator", "a_class", "late_start", "single", "empty_list",
    "two_pieces_with_length", "written", "written_only", "exc_info_before", "many_headers", "no_content", "not_modified",
    "not_found", "method",
]  # fmt: skip
REQUESTS = [
    ("GET", "hello/", b"", 200),
    ("HEAD", "hello/", b"", 200),
    ("GET", "environ/some%20path?query=1", b"", 200),
    ("POST", "echo/stream", b"a body\n" * 3000, 200),
    ("GET", "echo/stream", b"", 200),
    ("POST", "body/read_parts", b"first\nsecond\n", 200),
    ("POST", "body/readline", b"first\nsecond\n", 200),
    ("POST", "body/readlines", b"first\nsecond\n", 200),
    ("POST", "body/iterate", b"first\nsecond\n", 200),
    ("GET", "errors/errors?words", b"", 200),
    ("GET", "errors/errors-writelines?words", b"", 200),
    ("GET", "flask_site/", b"", 200),
    ("GET", "flask_site/stream", b"", 200),
    ("GET", "flask_site/teapot", b"", 418),
    *(("GET", f"answers/{name}", b"", None) for name in ANSWERS),
]

# What werkzeug's linter does not know: readlines() of a body, and that 204 needs no Content-Length of 0.
BEYOND_WERKZEUG = {"body/readline", "body/readlines", "answers/no_content"}


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method, path, body, status", REQUESTS)
@pytest.mark.parametrize("linter", ["wsgiref", "webtest", "werkzeug"])
def test_linters_are_silent(
    server: Httpd, linter: str, method: str, path: str, body: bytes, status: int | None, chunked: bool
):
    if linter == "werkzeug" and path in BEYOND_WERKZEUG:
        pytest.skip("not understood by this linter")
    start = len(server.error_log())
    content = iter([body]) if chunked else body
    answer = server.request(method, f"/linted/{linter}/{path}", content=content)
    assert "Traceback" not in (log := server.error_log()[start:]) and "Warning" not in log, log
    if status:
        assert answer.status_code == status
