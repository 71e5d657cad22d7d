"""Says how its interpreter was made, and computes for a while at /spin?SECONDS (CPU seconds of this thread)."""

import json
import signal
import sys
import time


def uses(stream):
    try:
        stream.fileno()
    except OSError as error:
        return str(error)
    except Exception as error:
        return type(error).__name__
    return "works"


def handler():
    before = signal.getsignal(signal.SIGUSR2)
    try:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    except ValueError as error:
        return str(error)  # not the main thread: the real function
    return "ignored" if signal.getsignal(signal.SIGUSR2) == before else "set"


def spin(seconds):
    end, rounds = time.thread_time() + seconds, 0
    while time.thread_time() < end:
        rounds += sum(range(1000))
    return rounds


def application(environ, start_response):
    if environ["PATH_INFO"] == "/spin":
        start = time.monotonic()
        spin(float(environ["QUERY_STRING"]))
        seen = {"from": start, "to": time.monotonic()}
    else:
        seen = {
            "group": environ["mod_wsgi.application_group"],
            "version": sys.version.split()[0],
            "switch interval": sys.getswitchinterval(),
            "stdin": uses(sys.stdin),
            "stdout": uses(sys.stdout),
            "signal": handler(),
            "path": [entry for entry in sys.path if entry.startswith("/added")],
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        }
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
