"""Answers while a thread of its own waits for the request's body. `/seen` says what such threads got."""

import threading

seen = []


def read(stream, begun):
    begun.set()
    for _ in range(2):
        try:
            seen.append(f"{len(stream.read())}")
        except Exception as error:
            seen.append(type(error).__name__)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/seen":
        return [" ".join(seen).encode()]
    begun = threading.Event()
    threading.Thread(target=read, args=(environ["wsgi.input"], begun), daemon=True).start()
    begun.wait()
    # It waits for the client before this request comes to its end.
    threading.Event().wait(0.2)
    return [b"answered"]
