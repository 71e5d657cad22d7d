"""A script for a handler of httpd: it answers the environ as JSON, as environ.wsgi does, and the file that was asked for."""

import json


def handle_request(environ, start_response):
    dump = {key: value for key, value in environ.items() if isinstance(value, (str, int, bool))}
    with open(environ["SCRIPT_FILENAME"], encoding="utf-8") as file:
        dump["file"] = file.read()
    dump["body"] = environ["wsgi.input"].read().decode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(dump).encode()]
