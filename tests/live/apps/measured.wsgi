"""Records metrics and shows them; the path says what to do, the query how long or how much."""

import json
import os
import threading
import time
from pathlib import Path

import mod_wsgi

TOLD = Path(__file__).parent.parent / "told"
BEFORE = [mod_wsgi.request_metrics(), mod_wsgi.process_metrics()]
mod_wsgi.start_recording_metrics()
AT_FIRST = mod_wsgi.process_metrics()["request_count"]


def elsewhere(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def in_a_fork():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps([mod_wsgi.request_metrics(), mod_wsgi.process_metrics()]).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    return json.loads(os.read(reader, 1000))


def application(environ, start_response):
    way, word = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    status = "200 OK"
    if way == "metrics":
        body = json.dumps(elsewhere(mod_wsgi.request_metrics))
    elif way == "process":
        body = json.dumps(mod_wsgi.process_metrics())
    elif way == "before":
        body = json.dumps([*BEFORE, AT_FIRST])
    elif way == "fork":
        body = json.dumps(in_a_fork())
    elif way == "status":
        status, body = f"{word} Status", ""
    elif way == "sleep":
        (TOLD / f"here {word}").touch()
        end = time.monotonic() + 15
        while not (TOLD / f"go on {word}").exists() and time.monotonic() < end:
            time.sleep(0.005)
        body = ""
    elif way == "work":
        end = time.thread_time() + float(word)
        while time.thread_time() < end:
            pass
        body = ""
    elif way == "raise":
        raise ValueError("in the application")
    elif way == "echo":
        body = environ["wsgi.input"].read().decode()
    else:
        body = way
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body.encode()]
