"""Reads the request body in the way that the path names and answers, as JSON, the pieces it got (in Latin-1)."""

import json


def read(stream):
    return [stream.read()]


def read_parts(stream):
    return list(iter(lambda: stream.read(5), b""))


def read_minus_one(stream):
    return [stream.read(-1)]


def read_nothing_first(stream):
    return [stream.read(0), stream.read()]


def read_past_the_end(stream):
    return [stream.read(), stream.read(), stream.read(10), stream.readline()]


def readline(stream):
    return list(iter(stream.readline, b""))


def readline_limited(stream):
    return list(iter(lambda: stream.readline(4), b""))


def readlines(stream):
    return stream.readlines()


def readlines_hint(stream):
    return stream.readlines(6)


def iterate(stream):
    return list(stream)


def mixed(stream):
    return [stream.read(2), stream.readline(), stream.read(1), next(stream), stream.read()]


def read_none(stream):
    return [stream.read(None)]


def unread(stream):
    return []


def application(environ, start_response):
    way = globals()[environ["PATH_INFO"].strip("/")]
    pieces = [piece.decode("latin-1") for piece in way(environ["wsgi.input"])]
    body = json.dumps({"pieces": pieces, "length": environ.get("CONTENT_LENGTH")}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
