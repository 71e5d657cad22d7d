"""Events and metrics for the comparison: /do?KIND is a request that is observed, /seen?[KIND, ASPECT] tells of it."""

import json
import sys
import threading
from urllib.parse import unquote

import mod_wsgi

TEXT = (("Content-Type", "text/plain"),)
events = {}
finished = {}


@mod_wsgi.subscribe_events
def note(name, **event):
    if name == "request_started" and event["request_environ"]["PATH_INFO"] == "/do":
        kind = json.loads(unquote(event["request_environ"]["QUERY_STRING"]))
        event["request_data"]["kind"] = kind
        events[kind], finished[kind] = [], threading.Event()
    kind = event.get("request_data", {}).get("kind")
    if kind is None:
        return None
    events[kind].append((name, event))
    if name == "request_finished":
        finished[kind].set()
    return SUBSCRIBERS.get(kind, lambda name, event: None)(name, event)


def replace(name, event):
    application = event.get("application_object")

    def instead(environ, start_response):
        environ["QUERY_STRING"] = '"replaced"'
        return application(environ, start_response)

    return {"application_object": instead, "added": 1} if name == "request_started" else None


def change(name, event):
    if name == "request_started":
        event["request_environ"]["added"] = "by a subscriber"


def complain(name, event):
    raise RuntimeError("in a subscriber")


def leave(name, event):
    sys.exit("in a subscriber")


def add_a_header(name, event):
    if name == "response_started":
        event["response_headers"].append(("X-Added", "by a subscriber"))


SUBSCRIBERS = {
    "changed headers": add_a_header,
    "replaced application": replace,
    "no application": lambda name, event: {"application_object": None} if name == "request_started" else None,
    "changed environ": change,
    "replaced environ": lambda name, event: {"request_environ": {}} if name == "request_started" else None,
    "replaced status": lambda name, event: {"response_status": "404 No", "response_headers": []} if name == "response_started" else None,
    "subscriber raises": complain,
    "subscriber exits": leave,
    "returns a list": lambda name, event: [("added", 1)],
    "returns a name": lambda name, event: {"name": "other"},
}


@mod_wsgi.event_callbacks.append
def later(name, **event):
    kind = event.get("request_data", {}).get("kind")
    if kind is not None:
        events[kind].append(("later", event))


class Closing(list):
    def close(self):
        raise ValueError("in close")


def do(environ, start_response, kind):
    if kind == "raises":
        raise ValueError("in the application")
    if kind == "no start":
        return [b"hello"]
    if kind == "exc_info":
        try:
            raise ValueError("handled")
        except ValueError:
            start_response("500 Sorry", list(TEXT), sys.exc_info())
        return [b"so", b"rry"]
    if kind == "refused":
        start_response("200 OK", [("X-A", 5)])
    write = start_response("201 Created" if kind == "created" else "200 OK", list(TEXT))
    if kind == "raises later":
        return raising()
    if kind == "text":
        return ["text"]
    if kind == "close raises":
        return Closing([b"hel", b"lo"])
    if kind == "write":
        write(b"one ")
        write(b"two ")
        return [b"three ", b"", b"four"]
    if kind == "file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if kind == "reads":
        stream = environ["wsgi.input"]
        return [stream.read(3), stream.readline(), stream.read()]
    if kind == "data":
        data = mod_wsgi.request_data()
        known = mod_wsgi.active_requests[environ["mod_wsgi.request_id"]]
        return [json.dumps([data is known, sorted(data), len(mod_wsgi.active_requests)]).encode(), b"\n"]
    return [json.dumps([kind, environ["QUERY_STRING"], environ.get("added")]).encode(), b"\n"]


def raising():
    yield b"hello"
    raise ValueError("in an iterable")


def types(values, left_out):
    return {key: type(value).__name__ for key, value in sorted(values.items()) if key not in left_out}


def of(event, *keys):
    return {key: event.get(key) for key in keys}


ASPECTS = {
    "order": lambda found: [name for name, _ in found if name != "later"],
    "later": lambda found: [sorted({*event} & {"added", "name"}) for name, event in found if name == "later"],
    "types": lambda found: {name: types(event, ["application_start"] * (name == "request_finished")) for name, event in found if name != "later"},
    "status": lambda found: [event["status"] for name, event in found if name == "request_finished"],
    "exception": lambda found: [
        [event["exception_info"][0].__name__, event["exception_info"][2] is not None]
        for name, event in found
        if name == "request_exception"
    ],
    "response": lambda found: [
        [event["response_status"], event["response_headers"], event["exception_info"] is None]
        for name, event in found
        if name == "response_started"
    ],
    "started": lambda found: [
        [of(event, "callable_object", "daemon_connects", "daemon_restarts"), event["queue_start"] > 0]
        for name, event in found
        if name == "request_started"
    ],
    "input": lambda found: [of(event, "input_reads", "input_length") for name, event in found if name == "request_finished"],
    "output": lambda found: [of(event, "output_writes", "output_length") for name, event in found if name == "request_finished"],
    "times": lambda found: [
        0 < begun["request_start"] <= begun["application_start"] <= event["application_finish"]
        for (_, begun), (name, event) in ((found[0], last) for last in found)
        if name == "request_finished"
    ],
    "application_start": lambda found: ["application_start" in event for name, event in found if name == "request_finished"],
}


def seen(environ, start_response, given):
    kind, aspect = given
    assert finished[kind].wait(5), "it has not finished"
    return tell(start_response, ASPECTS[aspect](events[kind]))


def elsewhere(function):
    """On a thread that is at no request."""
    found = []

    def look():
        try:
            found.append(function())
        except Exception as error:
            found.append(type(error).__name__)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def kinds(values):
    return {key: f"list of {len(value)}" if isinstance(value, list) and "bucket" in key else type(value).__name__ for key, value in values.items()}


METRICS = {
    "before": lambda: [mod_wsgi.request_metrics(), mod_wsgi.process_metrics()],
    "start": lambda: [mod_wsgi.start_recording_metrics(), mod_wsgi.start_recording_metrics()],
    "first": lambda: elsewhere(mod_wsgi.request_metrics)["request_count"],
    "again": lambda: sorted(kinds(elsewhere(mod_wsgi.request_metrics)).items()),
    "counts": lambda: {
        key: value
        for key, value in sorted(elsewhere(mod_wsgi.request_metrics).items())
        if key.startswith("status_") or key in ("request_count", "input_bytes", "input_reads", "request_threads_maximum")
    },
    "sums": lambda: (lambda m: [sum(m["request_threads_completed"]), sum(m["application_time_buckets"]), m["request_threads_buckets"] == m["request_threads_completed"]])(
        elsewhere(mod_wsgi.request_metrics)
    ),
    "process": lambda: sorted(kinds(mod_wsgi.process_metrics()).items()),
    "process now": lambda: mod_wsgi.process_metrics()["active_requests"],
    "process threads": lambda: sorted({key for row in mod_wsgi.process_metrics()["threads"] for key in row}),
    "request_data elsewhere": lambda: elsewhere(mod_wsgi.request_data),
    "registries": lambda: [len(callbacks) for callbacks in (mod_wsgi.event_callbacks, mod_wsgi.shutdown_callbacks, mod_wsgi.signal_callbacks)],
    "apache": lambda: (lambda apache: [apache.version, apache.mpm_name, apache.build_date, apache.maximum_processes, apache.threads_per_process])(__import__("apache")),
    "apache description": lambda: __import__("apache").description,
    "module": lambda: [mod_wsgi.process_group, mod_wsgi.maximum_processes, mod_wsgi.threads_per_process, mod_wsgi.version],
    "subscribe returns": lambda: [subscribe(len) is len for subscribe in (mod_wsgi.subscribe_shutdown, mod_wsgi.subscribe_signals)],
    # The last one: mod_wsgi calls it at every event from then on.
    "subscribe, not callable": lambda: elsewhere(lambda: mod_wsgi.subscribe_events(3)),
}


def metrics(environ, start_response, name):
    return tell(start_response, METRICS[name]())


def tell(start_response, value):
    body = json.dumps(value).encode()
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def application(environ, start_response):
    kind = globals()[environ["PATH_INFO"].strip("/")]
    return kind(environ, start_response, json.loads(unquote(environ["QUERY_STRING"])))
