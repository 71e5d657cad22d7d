"""Sets handlers, arms timers and waits until they have run out."""

import json
import os
import signal
import subprocess
import sys
import time


def handler(number, frame):
    print("a handler was called", file=sys.stderr)


try:
    signal.signal(signal.SIGUSR2, handler)
    LOADED = "set" if signal.getsignal(signal.SIGUSR2) is handler else "refused"
except ValueError as error:
    LOADED = str(error)


def handle(name):
    try:
        number = getattr(signal, name, 0)
        return "the handler" if signal.signal(number, handler) is handler else "another"
    except Exception as error:
        return type(error).__name__


def timer(name):
    """This process, before and after. Those timers run that count the time which the process computes."""
    which = getattr(signal, name)
    before = os.getpid()
    if LOADED != "set":
        signal.signal({"ITIMER_REAL": signal.SIGALRM, "ITIMER_VIRTUAL": signal.SIGVTALRM}.get(name, signal.SIGPROF), handler)
    signal.setitimer(which, 0.05)
    latest = time.monotonic() + 20
    while signal.getitimer(which)[0] and time.monotonic() < latest:
        sum(range(1000))
    return [before, os.getpid() if time.monotonic() < latest else "late"]


def child(name):
    """How a program ends that sends itself the signal."""
    code = f"import os, signal; os.kill(os.getpid(), signal.{name}); os._exit(7)"
    status = subprocess.run([sys.executable, "-S", "-c", code]).returncode
    return f"-{signal.Signals(-status).name}" if status < 0 else str(status)


def application(environ, start_response):
    ways = {"handle": handle, "timer": timer, "child": child, "pid": lambda _: os.getpid(), "loaded": lambda _: LOADED}
    body = json.dumps(ways[environ["PATH_INFO"].strip("/")](environ["QUERY_STRING"])).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
