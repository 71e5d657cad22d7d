"""Answers the environ as JSON: {name: [type, value]}; what JSON cannot say appears as its repr."""

import json


def application(environ, start_response):
    dump = {key: [type(value).__name__, plain(value)] for key, value in environ.items()}
    body = json.dumps(dump).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def plain(value):
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return repr(value)


def wsgi_callable(environ, start_response):
    """For the tests of WSGICallableObject."""
    environ["test.callable"] = "wsgi_callable"
    return application(environ, start_response)
