"""Answers for httpd's filters, conditions and error documents; the path names one, the query says what it should say."""

import json
import urllib.parse
import zlib

TEXT = [("Content-Type", "text/plain")]
LONG = b"".join(b"line %d\n" % number for number in range(5000))


def query(environ):
    return dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))


def fixed(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", str(len(LONG)))])
    return [LONG]


def one_item(environ, start_response):
    start_response("200 OK", TEXT)
    return [LONG]


def short(environ, start_response):
    """As much as httpd gets in one piece, with its end."""
    start_response("200 OK", TEXT)
    return [LONG[:5000]]


def in_pieces(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", str(len(LONG)))])
    return iter([LONG[start : start + 1000] for start in range(0, len(LONG), 1000)])


def generated(environ, start_response):
    start_response("200 OK", TEXT)
    for start in range(0, len(LONG), 1000):
        yield LONG[start : start + 1000]


def file(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open(query(environ)["path"], "rb"))


def own_range(environ, start_response):
    """An application that serves ranges by itself."""
    headers = TEXT + [("Content-Range", f"bytes 2-4/{len(LONG)}"), ("Accept-Ranges", "bytes")]
    start_response("206 Partial Content", headers)
    return [LONG[2:5]]


def own_encoding(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Encoding", "deflate")])
    return [zlib.compress(LONG)]


def cut(environ, start_response):
    start_response("200 OK", TEXT)
    yield LONG
    raise RuntimeError("reason: cut on purpose")


def tagged(environ, start_response):
    """Has validators, and says in a header which conditions it was asked with."""
    asked = ",".join(sorted(name for name in environ if name.startswith("HTTP_IF_")))
    validators = [("ETag", '"one"'), ("Last-Modified", "Sat, 01 Aug 2026 10:00:00 GMT"), ("X-Asked", asked)]
    if query(environ).get("itself") and environ.get("HTTP_IF_NONE_MATCH") == '"one"':
        start_response("304 Not Modified", validators)
        return []
    start_response("200 OK", TEXT + validators)
    return [b"tagged"]


count = 0


def cacheable(environ, start_response):
    global count
    count += 1
    headers = TEXT + [("Cache-Control", "max-age=100"), ("ETag", f'"{count}"')]
    start_response("200 OK", headers)
    yield b"cacheable "
    yield str(count).encode()
    if query(environ).get("breaks"):
        raise RuntimeError("reason: cut on purpose")


def body(environ, start_response):
    data = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [data]


def status(environ, start_response):
    headers = TEXT + [("X-Own", "yes"), ("Set-Cookie", "a=1"), ("WWW-Authenticate", "Basic realm=own")]
    start_response(query(environ)["line"], headers)
    return [b"the application's page"]


def untyped(environ, start_response):
    start_response("200 OK", [])
    return [b"untyped"]


def typed(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/x-own; charset=koi8-r"), ("Content-Language", "el")])
    return [b"typed"]


def page(environ, start_response):
    """The error document: says what happened, keeps the status, and reads the body that is not there."""
    names = ("REQUEST_METHOD", "PATH_INFO", "REDIRECT_STATUS", "REDIRECT_URL", "CONTENT_LENGTH", "mod_wsgi.callable_object")
    seen = {name: environ.get(name) for name in names}
    seen["body"] = environ["wsgi.input"].read().decode()
    text = json.dumps(seen).encode()
    headers = [("Content-Type", "application/json"), ("X-Page", "yes"), ("Content-Length", str(len(text)))]
    start_response(f"{environ['REDIRECT_STATUS']} By The Page", headers)
    return [text]


def looks(environ, start_response):
    names = ("wsgi.url_scheme", "HTTPS", "HTTP_AUTHORIZATION", "mod_wsgi.process_group", "mod_wsgi.application_group")
    names += ("mod_wsgi.callable_object", "SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "QUERY_STRING")
    text = json.dumps({name: environ.get(name) for name in names}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [text]


fallback = looks


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/").partition("/")[0]](environ, start_response)
