"""What tests/bench/faults.py asks for while it does harm; it writes the first two values anew."""

import os
import signal
import time

IMPORT_SECONDS = 0
VERSION = 0

time.sleep(IMPORT_SECONDS)


def application(environ, start_response):
    return PATHS[environ["PATH_INFO"]](environ, start_response)


def hello(environ, start_response):
    """Takes a moment, as a real application does: so a process that is killed has requests inside."""
    time.sleep(0.003)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"Hello World!"]


def version(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(VERSION).encode()]


def version_and_pid(environ, start_response):
    """Takes long enough that requests at the same time need all threads."""
    time.sleep(0.2)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {os.getpid()}".encode()]


def broken_in_mid_body(environ, start_response):
    """QUERY_STRING: kill or raise, then length or chunked."""
    way, framing = environ["QUERY_STRING"].split("&")
    headers = [("Content-Type", "text/plain")]
    start_response("200 OK", headers + [("Content-Length", "200000")] * (framing == "length"))
    return first_half(way)


def first_half(way):
    yield b"x" * 100000
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("in mid-body")


PATHS = {"/": hello, "/version": version, "/pid": version_and_pid, "/mid-body": broken_in_mid_body}
