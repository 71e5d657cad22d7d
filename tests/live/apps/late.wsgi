"""Reads its body late, or in two parts with a pause between: PATH_INFO says how, the query names a folder for marks.

`?FOLDER&SECONDS`: the pause is what an application computes, or waits for a database.
"""

import hashlib
import json
import os
import time


def application(environ, start_response):
    folder, _, seconds = environ["QUERY_STRING"].partition("&")
    stream = environ["wsgi.input"]
    body = b""
    open(os.path.join(folder, "called"), "w").close()
    if environ["PATH_INFO"] == "/parts":
        body = stream.read(10)
        open(os.path.join(folder, "read"), "w").close()
    time.sleep(float(seconds or 0))
    if environ["PATH_INFO"] != "/never":
        body += stream.read()
    answer = {
        "size": len(body),
        "digest": hashlib.sha256(body).hexdigest(),
        "length": environ.get("CONTENT_LENGTH"),
        "coding": environ.get("HTTP_TRANSFER_ENCODING"),
        "terminated": environ.get("wsgi.input_terminated"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
