"""Answers of every kind, good and bad; the path names one. /closed says how often each was closed."""

import json
import sys
import time

closed = {}
TEXT = [("Content-Type", "text/plain")]


class Counting:
    """An iterable that counts the calls of its close()."""

    def __init__(self, name, pieces):
        self.name, self.pieces = name, iter(pieces)
        closed.setdefault(name, 0)

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self):
        closed[self.name] += 1


class Sequence:
    """Neither list nor iterator: only __getitem__."""

    def __getitem__(self, index):
        return [b"one ", b"two ", b"three"][index]


class Class:
    """A class as application: the instance is the iterable."""

    def __init__(self, environ, start_response):
        self.start_response = start_response

    def __iter__(self):
        self.start_response("200 OK", TEXT)
        yield b"from a class"


def a_list(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"one ", b"two ", b"three"]


def a_tuple(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"one ", b"two ", b"three")


def a_generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"one "
    yield b""
    yield b"two "
    yield b"three"


def an_iterator(environ, start_response):
    start_response("200 OK", TEXT)
    return Counting("an_iterator", [b"one ", b"two ", b"three"])


def a_sequence(environ, start_response):
    start_response("200 OK", TEXT)
    return Sequence()


def a_class(environ, start_response):
    return Class(environ, start_response)


def late_start(environ, start_response):
    """start_response is called when the iteration begins."""
    start_response("200 OK", TEXT)
    yield b"one two three"


def start_after_empty(environ, start_response):
    """An empty piece may come before start_response."""
    yield b""
    start_response("200 OK", TEXT)
    yield b"one two three"


def single(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"x" * 1234]


def empty_list(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def two_pieces_with_length(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "6")])
    return [b"abc", b"def"]


def written(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def written_only(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"one two three")
    return []


def too_much(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "5")])
    return [b"12345", b"excess"]


def too_little(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "100")])
    return [b"12345"]


def exc_info_before(environ, start_response):
    start_response("200 OK", TEXT + [("X-First", "yes")])
    try:
        raise ValueError("before output")
    except ValueError:
        start_response("500 Sorry", TEXT + [("X-Second", "yes")], sys.exc_info())
    return [b"replaced"]


def exc_info_after(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"some output "
    try:
        raise ValueError("reason: after output")
    except ValueError:
        start_response("500 Sorry", TEXT, sys.exc_info())
    yield b"never sent"


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"some output "
    start_response("200 OK", TEXT)
    yield b"never sent"


def raises(environ, start_response):
    raise RuntimeError("reason: raised before start_response")


def raises_in_first(environ, start_response):
    start_response("200 OK", TEXT)
    return Counting("raises_in_first", [RuntimeError("reason: raised in the first step")])


def raises_in_middle(environ, start_response):
    start_response("200 OK", TEXT)
    return Counting("raises_in_middle", [b"some output ", RuntimeError("reason: raised in the middle")])


def raises_in_close(environ, start_response):
    class Closing(Counting):
        def close(self):
            super().close()
            raise RuntimeError("reason: raised in close")

    start_response("200 OK", TEXT + [("Content-Length", "4")])
    return Closing("raises_in_close", [b"done"])


def no_start(environ, start_response):
    return [b"without start_response"]


def none(environ, start_response):
    start_response("200 OK", TEXT)


def a_string_item(environ, start_response):
    start_response("200 OK", TEXT)
    return ["text, not bytes"]


def bad_status(environ, start_response):
    start_response("OK", TEXT)
    return [b"x"]


def status_not_str(environ, start_response):
    start_response(200, TEXT)
    return [b"x"]


def headers_not_list(environ, start_response):
    start_response("200 OK", tuple(TEXT))
    return [b"x"]


def header_with_newline(environ, start_response):
    start_response("200 OK", TEXT + [("X-Bad", "a\r\nX-Injected: b")])
    return [b"x"]


def header_value_not_str(environ, start_response):
    start_response("200 OK", TEXT + [("X-Bad", 5)])
    return [b"x"]


def hop_by_hop(environ, start_response):
    start_response("200 OK", TEXT + [("Connection", "close")])
    return [b"x"]


def many_headers(environ, start_response):
    headers = [("X-One", "1"), ("X-Same", "a"), ("X-Two", "2"), ("X-Same", "b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    start_response("201 Made It So", TEXT + headers)
    return [b"x"]


def latin1_header(environ, start_response):
    start_response("200 OK", TEXT + [("X-Name", "Jos\xe9")])
    return [b"x"]


def location(environ, start_response):
    start_response("200 OK", TEXT + [("Location", "/elsewhere")])
    return [b"stayed here"]


def redirect(environ, start_response):
    start_response("302 Found", TEXT + [("Location", "/elsewhere")])
    return [b"moved"]


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"one"')])
    return []


def not_found(environ, start_response):
    start_response("404 Not Here", TEXT)
    return [b"the application says no"]


def marks(environ, start_response):
    """A reason that an older implementation used as a mark of its own."""
    start_response("200 Error", TEXT)
    return [b"all is well"]


def endless(environ, start_response):
    """Sends until the client has gone."""
    start_response("200 OK", TEXT)

    def pieces():
        for _ in range(5000):
            yield b"x" * 65536
            time.sleep(0.002)

    return Counting("endless", pieces())


def slow(environ, start_response):
    """The first piece at once, the rest when the file named by the query is there."""
    import os

    start_response("200 OK", TEXT)

    def pieces():
        yield b"first "
        end = time.monotonic() + 20
        while not os.path.exists(environ["QUERY_STRING"]) and time.monotonic() < end:
            time.sleep(0.02)
        yield b"last"

    return Counting("slow", pieces())


def method(environ, start_response):
    body = environ["REQUEST_METHOD"].encode()
    start_response("200 OK", TEXT + [("Content-Length", str(len(body)))])
    return [body]


def report(environ, start_response):
    body = json.dumps(closed).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    kind = report if name == "closed" else globals()[name]
    return kind(environ, start_response)
