"""Ends its own process when asked to: /exit with os._exit, /kill with SIGKILL; otherwise answers its pid."""

import os
import signal


def application(environ, start_response):
    if environ["PATH_INFO"] == "/exit":
        os._exit(3)
    if environ["PATH_INFO"] == "/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if environ["PATH_INFO"] == "/exit-in-middle":
        return crash_after_output(start_response)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def crash_after_output(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"some output"
    os._exit(3)
