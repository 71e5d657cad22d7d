"""`200 OK` with a path as its `Location`: httpd answers with that page, as for CGI scripts and in mod_wsgi's daemon mode.

So an application lets httpd send files that clients cannot ask for by themselves (django-sendfile2 has a back end for it).
"""

from __future__ import annotations

import json

import pytest

import raw_http
from httpd import Httpd

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIChunkedRequest On
WSGIScriptAlias /app @APPS@/passed_on.wsgi
WSGIScriptAlias /page @APPS@/passed_on.wsgi
AddType text/special .special
Alias /protected @ROOT@/protected
<Location /protected>
    Require env REDIRECT_STATUS
</Location>
<Location /denied>
    Require all denied
</Location>
LimitInternalRecursion 5
"""

FILE = "the file\n"
TYPE = ("Content-Type", "text/x-mine")


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    folder = server.root / "protected"
    folder.mkdir()
    for name in ("f", "f.special"):
        (folder / name).write_text(FILE)
    return server.start()


def ask(server: Httpd, location: str, *headers: tuple[str, str], method: str = "GET", sent: dict | None = None, content=None, **answer):
    answer["headers"] = [("Location", location), *headers]
    with server.client() as client:
        return client.request(method, "/app/x?q=1", headers={"X-Answer": json.dumps(answer), **(sent or {})}, content=content)


def test_the_file_is_the_answer(server: Httpd):
    assert server.get("/protected/f").status_code == 403
    answer = ask(server, "/protected/f", TYPE)
    assert (answer.status_code, answer.text, answer.headers["Content-Length"]) == (200, FILE, str(len(FILE)))
    assert "Location" not in answer.headers
    assert answer.headers["Content-Type"] == "text/x-mine"


def test_httpd_knows_the_type_of_its_files_best(server: Httpd):
    answer = ask(server, "/protected/f.special", TYPE)
    assert (answer.text, answer.headers.get_list("Content-Type")) == (FILE, ["text/special"])


def test_other_headers_are_those_of_the_page(server: Httpd):
    answer = ask(server, "/protected/f", TYPE, ("ETag", '"mine"'), ("Content-Encoding", "gzip"), ("X-A", "b"), status="200 Fine")
    assert (answer.reason_phrase, answer.text) == ("OK", FILE)
    assert (answer.headers["ETag"] != '"mine"', "X-A" in answer.headers) == (True, False)


@pytest.mark.parametrize("how", ["list", "write", "iterator"])
def test_what_the_application_says_besides_is_dropped(server: Httpd, how: str):
    answer = ask(server, "/protected/f", TYPE, body=["hello", "x" * 500], how=how)
    assert (answer.text, answer.headers["Content-Length"]) == (FILE, str(len(FILE)))


@pytest.mark.parametrize("length", [0, 9, 500])
def test_the_length_of_the_file_may_be_announced(server: Httpd, length: int):
    """As django-sendfile2 does."""
    start = len(server.error_log())
    answer = ask(server, "/protected/f", TYPE, ("Content-Length", str(length)))
    assert (answer.status_code, answer.text, answer.headers["Content-Length"]) == (200, FILE, str(len(FILE)))
    assert "WSGI407" not in server.error_log()[start:]


def test_conditions_and_ranges_are_those_of_the_page(server: Httpd):
    answer = ask(server, "/protected/f", TYPE, sent={"Range": "bytes=4-7"})
    assert (answer.status_code, answer.text) == (206, FILE[4:8])
    etag = ask(server, "/protected/f", TYPE).headers["ETag"]
    assert ask(server, "/protected/f", TYPE, sent={"If-None-Match": etag}).status_code == 304


def test_head_has_the_head_of_the_page(server: Httpd):
    answer = ask(server, "/protected/f", TYPE, method="HEAD")
    assert (answer.status_code, answer.text, answer.headers["Content-Length"]) == (200, "", str(len(FILE)))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_the_page_is_asked_for_with_get(server: Httpd, method: str):
    content = b"z" * 1000 if method in ("POST", "PUT") else None
    answer = ask(server, "/page/y?zz=1", TYPE, method=method, content=content)
    seen = answer.json()
    assert seen == {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/y", "QUERY_STRING": "zz=1", "REDIRECT_URL": "/app/x", "body": "",
        **({"CONTENT_LENGTH": ""} if "CONTENT_LENGTH" in seen else {}),
    }  # fmt: skip
    assert (answer.headers["Content-Type"], answer.headers["X-Page"]) == ("application/json", "yes")
    assert ask(server, "/protected/f", TYPE, method=method, content=content).text == FILE


@pytest.mark.parametrize("read", [0, 10, 10**6])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_left_of_a_body_does_not_become_the_next_request(server: Httpd, read: int, chunked: bool):
    body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" * 10_000
    answer = json.dumps({"headers": [("Location", "/page/y"), TYPE], "read": read})
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = f"POST /app HTTP/1.1\r\nHost: a\r\nX-Answer: {answer}\r\n{framing}\r\n\r\n".encode()
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head + body)
        first = connection.answer("POST")
        connection.send(b"GET /app/next HTTP/1.1\r\nHost: a\r\n\r\n")
        second = connection.answer()
    assert (first.status, json.loads(first.body)["PATH_INFO"]) == (200, "/y")
    assert (second.status, json.loads(second.body)["PATH_INFO"]) == (200, "/next")


def test_a_body_that_waits_to_be_asked_for_is_not(server: Httpd):
    answer = json.dumps({"headers": [("Location", "/protected/f"), TYPE]})
    head = f"POST /app HTTP/1.1\r\nHost: a\r\nX-Answer: {answer}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head.encode())
        answer = connection.answer("POST")
    assert (answer.status, answer.body, answer.closed) == (200, FILE.encode(), True)


@pytest.mark.parametrize("location, status", [("/denied/f", 403), ("/protected/none", 404), ("/protected/../denied/f", 403)])
def test_what_is_configured_for_the_page_applies(server: Httpd, location: str, status: int):
    assert ask(server, location, TYPE).status_code == status


def test_a_page_that_leads_to_itself_ends(server: Httpd):
    assert ask(server, "/app/x", TYPE).status_code == 500
    server.wait_for_log("AH00124")
    assert ask(server, "/protected/f", TYPE).text == FILE


@pytest.mark.parametrize("status", ["201 Created", "206 Partial Content", "302 Found", "404 Not Found"])
def test_with_another_status_the_location_is_for_the_client(server: Httpd, status: str):
    answer = ask(server, "/protected/f", TYPE, status=status, body=["mine"])
    assert (answer.status_code, answer.headers["Location"], answer.text) == (int(status[:3]), "/protected/f", "mine")


@pytest.mark.parametrize("location", ["http://localhost/protected/f", "protected/f", "?x", ""])
def test_what_is_no_path_is_for_the_client(server: Httpd, location: str):
    answer = ask(server, location, TYPE, body=["mine"])
    assert (answer.status_code, answer.headers["Location"], answer.text) == (200, location, "mine")


def test_an_application_that_fails_gets_no_page(server: Httpd):
    assert ask(server, "/protected/f", TYPE, fail=True).status_code == 500


def test_over_http2(server: Httpd):
    answer = json.dumps({"headers": [("Location", "/protected/f"), TYPE]})
    with server.client(http1=False, http2=True) as client:
        got = client.request("POST", "/app", headers={"X-Answer": answer}, content=b"z" * 100_000)
        assert (got.http_version, got.status_code, got.text, got.headers["Content-Type"]) == ("HTTP/2", 200, FILE, "text/x-mine")
