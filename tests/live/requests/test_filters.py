"""httpd's own features around an application: filters, ranges, conditions, error documents, variables.

What works with every other handler of httpd works here: compression in both directions, headers, rate limits, caches.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib

import httpx
import pytest

import raw_http
from httpd import Httpd
from machine import libexec

MODULES = "".join(
    f"<IfModule !{name}_module>\nLoadModule {name}_module {libexec()}/mod_{name}.so\n</IfModule>\n"
    for name in ("deflate", "ratelimit", "buffer", "cache", "cache_disk", "substitute", "expires")
)

pytestmark = pytest.mark.both_modes

CONFIGURATION = f"""
{MODULES}
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{{GROUP}}
WSGIDaemonProcess other python-home=@PYTHON@ threads=2 display-name=%{{GROUP}}
WSGIProcessGroup site
WSGIChunkedRequest On
WSGIScriptAlias /plain @APPS@/filtered.wsgi
WSGIScriptAlias /deflated @APPS@/filtered.wsgi
WSGIScriptAlias /by-type @APPS@/filtered.wsgi
WSGIScriptAlias /inflating @APPS@/filtered.wsgi
WSGIScriptAlias /headed @APPS@/filtered.wsgi
WSGIScriptAlias /slow @APPS@/filtered.wsgi
WSGIScriptAlias /buffered @APPS@/filtered.wsgi
WSGIScriptAlias /substituted @APPS@/filtered.wsgi
WSGIScriptAlias /cached @APPS@/filtered.wsgi
WSGIScriptAlias /overridden @APPS@/filtered.wsgi
WSGIScriptAlias /own-pages @APPS@/filtered.wsgi
WSGIScriptAlias /small @APPS@/filtered.wsgi
WSGIScriptAlias /passing @APPS@/filtered.wsgi
WSGIScriptAlias /page @APPS@/filtered.wsgi callable-object=page
WSGIScriptAlias /fallback @APPS@/filtered.wsgi process-group=other application-group=mine callable-object=fallback
WSGIScriptAlias /named.py @ROOT@/exchange/named.py
WSGIScriptAlias /named.html.el.gz @ROOT@/exchange/named.html.el.gz

AddType text/x-python .py
AddType text/html .html
AddLanguage el .el
AddCharset iso-8859-7 .el
AddEncoding x-gzip .gz
SetEnvIf X-Forwarded-Proto ^https$ HTTPS=on
CacheRoot @ROOT@/cache
CacheEnable disk /cached
CacheHeader On

<Location /deflated>
    SetOutputFilter DEFLATE
</Location>
<Location /by-type>
    AddOutputFilterByType DEFLATE text/plain
</Location>
<Location /inflating>
    SetInputFilter DEFLATE
</Location>
<Location /headed>
    Header set X-Set "by httpd"
    Header append X-Own "and httpd"
    Header unset Last-Modified
    Header edit ETag one two
    RequestHeader set If-Match by-httpd
    ExpiresActive On
    ExpiresByType text/plain "access plus 1 hour"
</Location>
<Location /slow>
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 100
</Location>
<Location /buffered>
    SetOutputFilter BUFFER
    SetInputFilter BUFFER
</Location>
<Location /substituted>
    AddOutputFilterByType SUBSTITUTE text/plain
    Substitute s/line/LINE/
</Location>
<Location /overridden>
    WSGIErrorOverride On
    ErrorDocument 404 "httpd's text"
    ErrorDocument 503 /page/unavailable
</Location>
<Location /own-pages>
    ErrorDocument 404 "httpd's text"
    ErrorDocument 500 /page/broken
</Location>
<Location /missing>
    ErrorDocument 404 /page/missing
</Location>
<Location /small>
    LimitRequestBody 100
    ErrorDocument 413 /page/too-large
</Location>
<Location /passing>
    CGIPassAuth On
</Location>
<Directory @ROOT@/htdocs/anything>
    FallbackResource /fallback
</Directory>
"""

LONG = b"".join(b"line %d\n" % number for number in range(5000))
ANSWERS = ["fixed", "one_item", "in_pieces", "generated", "file"]


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    for name in ("exchange", "cache", "htdocs/anything"):
        server.writable_folder(name)
    (server.root / "exchange" / "long").write_bytes(LONG)
    (server.root / "exchange" / "short").write_bytes(LONG[:5000])
    for name in ("named.py", "named.html.el.gz"):
        (server.root / "exchange" / name).write_bytes((server.root / "apps" / "filtered.wsgi").read_bytes())
    return server.start()


def ask(server: Httpd, path: str, **headers: str) -> httpx.Response:
    """A request with these headers only; names in Python's spelling."""
    given = {"Accept-Encoding": "identity", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return server.get(path, headers=given)


def long_answer(server: Httpd, place: str, name: str, **headers: str) -> httpx.Response:
    return ask(server, f"/{place}/{name}?path={server.root}/exchange/long", **headers)


# Output filters


@pytest.mark.parametrize("place", ["deflated", "by-type"])
@pytest.mark.parametrize("name", ANSWERS)
def test_deflate(server: Httpd, place: str, name: str):
    answer = long_answer(server, place, name, Accept_Encoding="gzip")
    assert (answer.status_code, answer.headers.get("Content-Encoding")) == (200, "gzip")
    assert answer.content == LONG
    assert int(answer.headers.get("Content-Length", 0)) < len(LONG) / 2
    assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize("name", ANSWERS)
def test_deflate_for_a_client_that_cannot(server: Httpd, name: str):
    answer = long_answer(server, "deflated", name)
    assert (answer.headers.get("Content-Encoding"), answer.content) == (None, LONG)


def test_deflate_leaves_what_the_application_has_encoded(server: Httpd):
    answer = long_answer(server, "deflated", "own_encoding", Accept_Encoding="gzip, deflate")
    assert (answer.headers["Content-Encoding"], answer.content) == ("deflate", LONG)


@pytest.mark.parametrize("name", ANSWERS)
def test_deflate_of_head_requests(server: Httpd, name: str):
    """HEAD becomes GET for the application, so that the headers are those of GET."""
    path = f"/deflated/{name}?path={server.root}/exchange/long"
    answer = server.request("HEAD", path, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers.get("Content-Length") != str(len(LONG))


@pytest.mark.ours
@pytest.mark.parametrize("place", ["deflated", "by-type", "substituted", "buffered"])
def test_filters_do_not_hide_that_an_answer_was_cut(server: Httpd, place: str):
    with pytest.raises(httpx.RemoteProtocolError):
        ask(server, f"/{place}/cut", Accept_Encoding="gzip")


def test_headers(server: Httpd):
    answer = ask(server, "/headed/tagged")
    assert (answer.headers["X-Set"], answer.headers["ETag"]) == ("by httpd", '"two"')
    assert "Last-Modified" not in answer.headers
    assert answer.headers["X-Asked"] == "HTTP_IF_MATCH"
    assert "max-age=3600" in answer.headers["Cache-Control"]
    assert "and httpd" in ask(server, "/headed/status?line=200+OK").headers.get_list("X-Own")[-1]


@pytest.mark.parametrize("name", ANSWERS)
def test_substitute(server: Httpd, name: str):
    assert long_answer(server, "substituted", name).content == LONG.replace(b"line", b"LINE")


@pytest.mark.parametrize("name", ANSWERS)
def test_buffer(server: Httpd, name: str):
    assert long_answer(server, "buffered", name).content == LONG
    assert server.post("/buffered/body", content=LONG).content == LONG


def test_rate_limit(server: Httpd):
    """49 KB at 100 KB/s."""
    started = time.monotonic()
    assert long_answer(server, "slow", "fixed").content == LONG
    assert 0.2 < time.monotonic() - started < 5


def test_cache(server: Httpd):
    first, second = ask(server, "/cached/cacheable"), ask(server, "/cached/cacheable")
    assert first.content == second.content
    assert (first.headers["X-Cache"].split()[0], second.headers["X-Cache"].split()[0]) == ("MISS", "HIT")


@pytest.mark.ours
def test_cache_does_not_keep_an_answer_that_was_cut(server: Httpd):
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            ask(server, "/cached/cacheable?breaks=yes")


# Ranges and conditions


RANGES = {"bytes=2-4": LONG[2:5], "bytes=4990-": LONG[4990:5000], "bytes=-10": LONG[4990:5000]}


@pytest.mark.ours
@pytest.mark.parametrize("wanted", RANGES)
@pytest.mark.parametrize("name", ["short", "file"])
def test_range_where_httpd_has_the_whole_answer(server: Httpd, name: str, wanted: str):
    answer = ask(server, f"/plain/{name}?path={server.root}/exchange/short", Range=wanted)
    assert (answer.status_code, answer.content) == (206, RANGES[wanted])
    assert answer.headers["Content-Range"].endswith("/5000")


@pytest.mark.ours
def test_range_that_cannot_be_satisfied(server: Httpd):
    assert ask(server, "/plain/short", Range="bytes=90000-").status_code == 416


@pytest.mark.parametrize("name", ["fixed", "in_pieces", "generated"])
def test_range_of_an_answer_that_comes_in_pieces_is_correct_at_least(server: Httpd, name: str):
    answer = long_answer(server, "plain", name, Range="bytes=2-4")
    assert (answer.status_code, answer.content) in ((200, LONG), (206, LONG[2:5]))


def test_range_that_the_application_serves_itself(server: Httpd):
    answer = ask(server, "/plain/own_range", Range="bytes=2-4")
    assert (answer.status_code, answer.content) == (206, LONG[2:5])
    assert answer.headers.get_list("Content-Range") == [f"bytes 2-4/{len(LONG)}"]


@pytest.mark.parametrize("condition", [{"If_None_Match": '"one"'}, {"If_Modified_Since": "Sat, 01 Aug 2026 10:00:00 GMT"}])
def test_conditions_are_the_applications(server: Httpd, condition: dict):
    """httpd leaves them to the handler, and the handler to the application."""
    answer = ask(server, "/plain/tagged", **condition)
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"tagged", '"one"')
    assert answer.headers["X-Asked"] == "HTTP_" + next(iter(condition)).upper()


def test_condition_that_the_application_meets(server: Httpd):
    answer = ask(server, "/plain/tagged?itself=yes", If_None_Match='"one"')
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"one"')
    assert answer.headers.get("Content-Type") is None


def test_condition_that_a_cache_meets(server: Httpd):
    tag = ask(server, "/cached/cacheable?conditional").headers["ETag"]
    assert ask(server, "/cached/cacheable?conditional", If_None_Match=tag).status_code == 304


# Input filters


def test_compressed_body_is_read_whole(server: Httpd):
    packed = gzip.compress(LONG)
    answer = server.post("/inflating/body", content=packed, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.content == LONG) == (200, True)
    for size in (1000, len(packed)):
        pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
        request = b"POST /inflating/body HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        request += b"Transfer-Encoding: chunked\r\n\r\n" + raw_http.chunked(*pieces)
        assert raw_http.exchange(server.ports["PORT"], request).body == LONG


def test_body_that_needs_no_inflating(server: Httpd):
    assert server.post("/inflating/body", content=LONG).content == LONG


@pytest.mark.ours
def test_compressed_body_that_is_damaged_is_an_error(server: Httpd):
    packed = bytearray(gzip.compress(LONG))
    packed[200:300] = bytes(100)
    answer = server.post("/inflating/body", content=bytes(packed), headers={"Content-Encoding": "gzip"})
    assert answer.status_code in (400, 500)
    assert zlib.crc32(answer.content) != zlib.crc32(LONG)


# Error documents


def page(answer: httpx.Response) -> dict:
    assert answer.headers["X-Page"] == "yes"
    return json.loads(answer.content)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_error_document_of_a_404(server: Httpd, method: str):
    answer = server.request(method, "/missing/thing", content=b"a body" if method == "POST" else None)
    seen = page(answer)
    assert answer.status_code == 404
    assert (seen["REQUEST_METHOD"], seen["PATH_INFO"], seen["body"]) == ("GET", "/missing", "")
    assert (seen["REDIRECT_STATUS"], seen["REDIRECT_URL"]) == ("404", "/missing/thing")
    assert seen["mod_wsgi.callable_object"] == "page"


@pytest.mark.ours
@pytest.mark.parametrize("waits", [False, True])
def test_error_document_of_a_413(server: Httpd, waits: bool):
    headers = {"Expect": "100-continue"} if waits else {}
    answer = server.post("/small/body", content=b"x" * 101, headers=headers)
    seen = page(answer)
    assert (answer.status_code, seen["REDIRECT_STATUS"], seen["body"]) == (413, "413", "")
    assert not seen["CONTENT_LENGTH"]


def test_error_document_of_an_exception(server: Httpd):
    answer = server.post("/own-pages/no_such_name", content=b"a body")
    seen = page(answer)
    assert (answer.status_code, seen["PATH_INFO"], seen["body"]) == (500, "/broken", "")


def test_error_pages_of_the_application_are_kept(server: Httpd):
    answer = ask(server, "/own-pages/status?line=404+Not+Here")
    assert (answer.status_code, answer.reason_phrase, answer.text) == (404, "Not Here", "the application's page")


@pytest.mark.ours
def test_error_override_with_a_text(server: Httpd):
    answer = ask(server, "/overridden/status?line=404+Not+Here")
    assert (answer.status_code, answer.text) == (404, "httpd's text")
    assert (answer.headers["X-Own"], answer.headers["Set-Cookie"]) == ("yes", "a=1")


def test_error_override_with_a_script(server: Httpd):
    answer = ask(server, "/overridden/status?line=503+Gone+Fishing")
    assert (answer.status_code, page(answer)["PATH_INFO"]) == (503, "/unavailable")


def test_error_override_with_httpds_own_page(server: Httpd):
    answer = ask(server, "/overridden/status?line=401+Who")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Basic realm=own"
    assert "the application's page" not in answer.text and "<html>" in answer.text.lower()


@pytest.mark.parametrize("line", ["200 OK", "302 Found", "304 Same", "399 Odd"])
def test_error_override_leaves_other_answers(server: Httpd, line: str):
    answer = ask(server, "/overridden/status?line=" + line.replace(" ", "+"))
    assert (answer.status_code, answer.reason_phrase) == (int(line[:3]), line[4:])
    assert answer.text == ("" if line.startswith("304") else "the application's page")


# Mapping, types and variables


def test_fallback_resource_keeps_the_options_of_its_alias(server: Httpd):
    seen = ask(server, "/anything/at/all?a=b").json()
    group = "other" if server.mode == "daemon" else ""
    assert (seen["mod_wsgi.process_group"], seen["mod_wsgi.application_group"]) == (group, "mine")
    assert seen["mod_wsgi.callable_object"] == "fallback"
    assert (seen["REQUEST_URI"], seen["QUERY_STRING"]) == ("/anything/at/all?a=b", "a=b")


@pytest.mark.ours
@pytest.mark.parametrize("script", ["named.py", "named.html.el.gz"])
def test_answer_without_a_type_gets_none_from_the_scripts_name(server: Httpd, script: str):
    answer = ask(server, f"/{script}/untyped")
    assert answer.content == b"untyped"
    for name in ("Content-Type", "Content-Encoding", "Content-Language"):
        assert name not in answer.headers, answer.headers[name]


@pytest.mark.ours
@pytest.mark.parametrize("script", ["named.py", "named.html.el.gz"])
def test_type_and_language_are_the_applications(server: Httpd, script: str):
    answer = ask(server, f"/{script}/typed")
    assert answer.headers.get_list("Content-Type") == ["application/x-own; charset=koi8-r"]
    assert answer.headers.get_list("Content-Language") == ["el"]
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("value, scheme", [("https", "https"), ("http", "http"), ("ftp", "http")])
def test_https_by_a_variable(server: Httpd, value: str, scheme: str):
    seen = ask(server, "/plain/looks", X_Forwarded_Proto=value).json()
    assert (seen["wsgi.url_scheme"], seen["HTTPS"]) == (scheme, None)


def test_cgi_pass_auth(server: Httpd):
    assert ask(server, "/passing/looks", Authorization="Bearer x").json()["HTTP_AUTHORIZATION"] == "Bearer x"
    assert ask(server, "/plain/looks", Authorization="Bearer x").json()["HTTP_AUTHORIZATION"] is None
