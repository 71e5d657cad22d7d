"""Answers with the request body: read whole at /, piece by piece while it comes at /stream."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    stream = environ["wsgi.input"]
    if environ["PATH_INFO"] == "/stream":
        return iter(lambda: stream.read(8192), b"")
    return [stream.read()]
