"""Answers with what the request's X-Answer says (JSON: status, headers, body as a list of pieces), as a proxy passes on what it got.

Without it: method, path and what else a page sees of its request."""

import json

SEEN = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "REDIRECT_URL")


def application(environ, start_response):
    if environ["SCRIPT_NAME"] == "/page" or "HTTP_X_ANSWER" not in environ:
        seen = {name: environ[name] for name in SEEN if name in environ}
        seen["body"] = environ["wsgi.input"].read().decode()
        start_response("200 OK", [("Content-Type", "application/json"), ("X-Page", "yes")])
        return [json.dumps(seen).encode()]
    answer = json.loads(environ["HTTP_X_ANSWER"])
    if answer.get("read"):
        environ["wsgi.input"].read(answer["read"])
    write = start_response(answer.get("status", "200 OK"), [tuple(header) for header in answer["headers"]])
    pieces = [piece.encode("latin-1") for piece in answer.get("body", [])]
    if answer.get("fail"):
        raise RuntimeError("after start_response")
    if answer.get("how") == "write":
        for piece in pieces:
            write(piece)
        return []
    return pieces if answer.get("how") == "list" else iter(pieces)
