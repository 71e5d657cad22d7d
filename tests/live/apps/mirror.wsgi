"""Answers as JSON what it has seen of a request; the path says how the body is read.

/state says how much the process holds, after a collection: for tests that look for leaks.
"""

import ctypes
import gc
import hashlib
import json
import sys
import threading


def read_all(stream):
    return stream.read()


def read_pieces(stream):
    return b"".join(iter(lambda: stream.read(7), b""))


def read_lines(stream):
    return b"".join(stream)


def read_nothing(stream):
    return b""


READ = {"all": read_all, "pieces": read_pieces, "lines": read_lines, "nothing": read_nothing}


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks used free keep".split()]


def state():
    """Python's blocks of memory, bytes that malloc() has given out, and threads."""
    for _ in range(3):
        gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    info = libc.mallinfo2()
    return {"blocks": sys.getallocatedblocks(), "malloc": info.used + info.hblkhd, "threads": threading.active_count()}


def mirror(environ):
    how = environ["PATH_INFO"].split("/")[1]
    body = READ.get(how, read_all)(environ["wsgi.input"])
    return {
        "method": environ["REQUEST_METHOD"],
        "target": environ["REQUEST_URI"],
        "headers": {key: value for key, value in environ.items() if key.startswith("HTTP_X")},
        "body": hashlib.sha256(body).hexdigest(),
    }


def application(environ, start_response):
    seen = state() if environ["PATH_INFO"] == "/state" else mirror(environ)
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
