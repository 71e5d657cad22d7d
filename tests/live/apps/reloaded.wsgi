"""Answers its generation, which the tests change by writing the file anew; /slow?FILE makes
FILE.started and waits for FILE first."""

import os
import time

GENERATION = 1


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open(environ["QUERY_STRING"] + ".started", "w").close()
        end = time.monotonic() + 20
        while not os.path.exists(environ["QUERY_STRING"]) and time.monotonic() < end:
            time.sleep(0.02)
    body = f"{GENERATION} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
