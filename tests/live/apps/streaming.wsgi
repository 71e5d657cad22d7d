"""Applications that answer bit by bit, or before they have read; the path names one, the query a folder for its marks.

A mark is an empty file: `mark(name)` tells the test something, `wait_for_mark(name)` waits for the test.
"""

import hashlib
import os
import time

TEXT = [("Content-Type", "text/plain")]


def marks(environ):
    folder = environ["QUERY_STRING"]

    def mark(name):
        open(os.path.join(folder, name), "w").close()

    def wait_for_mark(name):
        end = time.monotonic() + 15
        while not os.path.exists(os.path.join(folder, name)) and time.monotonic() < end:
            time.sleep(0.005)

    return mark, wait_for_mark


def events(environ, start_response):
    """Server-sent events, 40 ms apart, each with the time at which it was yielded."""
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
    for number in range(5):
        if number:
            time.sleep(0.04)
        yield f"id: {number}\ndata: {time.time():.6f}\n\n".encode()


def events_written(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/event-stream")])
    for piece in events(environ, lambda *_: None):
        write(piece)
    return []


def pieces(environ, start_response):
    """Many small ones, one right after the other."""
    start_response("200 OK", TEXT)
    for _ in range(64):
        yield b"a" * 1000


def held(environ, start_response):
    """As an event stream without events."""
    _, wait_for_mark = marks(environ)
    start_response("200 OK", TEXT)
    yield b"begun"
    wait_for_mark("go")


def short(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"short"]


def trickle(environ, start_response):
    """Small pieces until the client is gone."""
    start_response("200 OK", TEXT)
    while True:
        yield b"a" * 1000
        time.sleep(0.0005)


def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    stream = environ["wsgi.input"]
    return iter(lambda: stream.read(60_000), b"")


def echo_lines(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(environ["wsgi.input"].readline, b"")


def answer_first(environ, start_response):
    """A large answer, then the digest of the body, which is read only now."""
    start_response("200 OK", TEXT)
    for _ in range(200):
        yield b"a" * 50_000
    digest = hashlib.sha256()
    while piece := environ["wsgi.input"].read(50_000):
        digest.update(piece)
    yield digest.hexdigest().encode()


def prompt(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"prompt")
    write(b"got " + environ["wsgi.input"].read(5))
    write(b"; more?")
    return [environ["wsgi.input"].read()]


def paused(environ, start_response):
    mark, wait_for_mark = marks(environ)
    start_response("200 OK", TEXT)
    yield b"first"
    wait_for_mark("go-on")
    yield b" last"
    mark("iterated")


def refuse(environ, start_response):
    mark, _ = marks(environ)
    mark("called")
    body = b"not without a password"
    headers = TEXT + [("Content-Length", str(len(body))), ("WWW-Authenticate", 'Basic realm="upload"')]
    start_response("401 Unauthorized", headers)
    return [body]


def accept_later(environ, start_response):
    """Reads the body when the test says so."""
    mark, wait_for_mark = marks(environ)
    mark("called")
    wait_for_mark("go-on")
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [b"got ", body]


def called(environ, start_response):
    mark, _ = marks(environ)
    mark("called")
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [b"got ", str(len(body)).encode()]


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
