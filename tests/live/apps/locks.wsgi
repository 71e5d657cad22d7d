"""Locks the file that the query string names, for the life of the process."""

import fcntl

kept = []


def application(environ, start_response):
    file = open(environ["QUERY_STRING"], "w")
    fcntl.lockf(file, fcntl.LOCK_EX)
    kept.append(file)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"locked"]
