# Shows httpd's scoreboard as JSON: now, as many threads see it at once, and as it was when the script was loaded.

import json
import threading

import mod_wsgi

LOADED = mod_wsgi.server_metrics()


def in_threads(count):
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(mod_wsgi.server_metrics())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/loaded":
        shown = LOADED
    elif path == "/threads":
        shown = in_threads(20)
    elif path == "/wrong":
        try:
            mod_wsgi.server_metrics("everything")
        except TypeError as error:
            shown = str(error)
    else:
        shown = mod_wsgi.server_metrics()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]
