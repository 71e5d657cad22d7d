"""Uses up what an administrator can limit: time, memory, processor, interpreter. Tells a file why its process ends."""

import atexit
import ctypes
import os
import time

import mod_wsgi

FOLDER = os.environ["FOLDER"]
kept = []


def tell(name, **event):
    note(f"{event['shutdown_reason']} {os.getpid()}")


def note(text, name="told"):
    with open(f"{FOLDER}/{name}", "a") as file:
        file.write(text + "\n")


def at_the_end():
    note(f"atexit {os.getpid()}")
    if os.path.exists(f"{FOLDER}/slow-exit"):
        time.sleep(30)


mod_wsgi.subscribe_shutdown(tell)
atexit.register(at_the_end)
if os.path.exists(f"{FOLDER}/slow-import"):
    time.sleep(2)
if os.path.exists(f"{FOLDER}/broken-import"):
    raise RuntimeError("as the test asked for")


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def spin_through_interruptions(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            spin(end - time.monotonic())
        except mod_wsgi.RequestTimeout:
            note("interrupted")


def burn(seconds):
    while time.process_time() < seconds:
        pass


def hold_the_gil(seconds):
    ctypes.PyDLL(None).sleep(int(seconds))  # PyDLL keeps the GIL


def take_memory(megabytes):
    kept.append(bytearray(os.urandom(1 << 20) * int(megabytes)))


def wait(_):
    """Until the test says so."""
    end = time.monotonic() + 30
    while not os.path.exists(f"{FOLDER}/go-on") and time.monotonic() < end:
        time.sleep(0.01)


WORK = {
    "/wait": wait,
    "/spin": spin,
    "/burn": burn,
    "/stubborn": spin_through_interruptions,
    "/sleep": time.sleep,
    "/gil": hold_the_gil,
    "/memory": take_memory,
}


def application(environ, start_response):
    work = WORK.get(environ["PATH_INFO"])
    if work:
        note(environ["PATH_INFO"], "begun")
        work(float(environ["QUERY_STRING"] or 0))
    body = b"%d %s" % (os.getpid(), str(environ["wsgi.run_once"]).encode())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
