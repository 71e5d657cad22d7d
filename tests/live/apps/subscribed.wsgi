"""Writes the events of its requests into the folder `told` beside it, a JSON line each; the path says what to do."""

import json
import os
import time
from pathlib import Path

import mod_wsgi

TOLD = Path(__file__).parent.parent / "told"
WHERE = mod_wsgi.application_group or "main"
TEXT = [("Content-Type", "text/plain")]


def write(file, *what):
    with open(TOLD / file, "a") as lines:
        lines.write(json.dumps(what, default=repr) + "\n")


def wait_for(mark):
    end = time.monotonic() + 20
    while not (TOLD / mark).exists() and time.monotonic() < end:
        time.sleep(0.005)


@mod_wsgi.subscribe_events
def first(name, **event):
    data = event.get("request_data", {})
    if name == "request_started":
        way = data["way"] = event["request_environ"]["PATH_INFO"].strip("/")
        event["request_environ"]["told"] = "by a subscriber"
        if way == "replaced":
            return {"application_object": replacement(event["application_object"]), "added": way}
        if way == "raises":
            raise ValueError("in a subscriber")
        if way == "exits":
            raise SystemExit("in a subscriber")
        if way == "late":
            raise mod_wsgi.RequestTimeout("in a subscriber")
    if name == "response_started" and data["way"] == "headers":
        event["response_headers"].append(("X-Added", "by a subscriber"))
    if name == "request_finished" and data["way"] == "slow":
        wait_for("go on")


@mod_wsgi.event_callbacks.append
def second(name, **event):
    way = event.get("request_data", {}).get("way", "process")
    if "request_data" in event:
        assert mod_wsgi.request_data() is event["request_data"]
    exception = event.get("exception_info")
    if exception:
        event["exception_info"] = [exception[0].__name__, str(exception[1]), type(exception[2]).__name__]
    write(f"{WHERE} {way}", name, event)


def replacement(application):
    def replaced(environ, start_response):
        environ["told"] += ", and replaced"
        return application(environ, start_response)

    return replaced


def iterable(data):
    yield b"begun"
    data["seen"] = sorted(mod_wsgi.active_requests)
    raise KeyError("in the iterable")


def application(environ, start_response):
    data, way = mod_wsgi.request_data(), environ["PATH_INFO"].strip("/")
    if way == "fails":
        raise KeyError("in the application")
    if way == "together":
        data["mine"] = environ["QUERY_STRING"]
        (TOLD / f"here {data['mine']}").touch()
        wait_for("go on")
        together = sorted(known.get("mine", "") for known in mod_wsgi.active_requests.values())
        body = json.dumps([data["mine"], together, os.getpid()])
    elif way == "echo":
        body = environ["wsgi.input"].read().decode()
    elif way == "spins":
        (TOLD / "here").touch()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
        body = ""
    else:
        body = environ["told"]
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))] if way != "breaks" else list(TEXT))
    return iterable(data) if way == "breaks" else [body.encode()]
