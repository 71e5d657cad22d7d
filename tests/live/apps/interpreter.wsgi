"""Says what its interpreter shares with others, and leaves a file at its end.

The query is a folder: what the interpreter's exit functions and threads do is written there, in files named by the path.
"""

import atexit
import builtins
import json
import os
import sys
import threading
import time


def leave(folder, name, text):
    with open(os.path.join(folder, name), "a") as file:
        file.write(text)


def leaves_at_exit(environ):
    """An exit function that still can import and log."""
    group = environ["mod_wsgi.application_group"]

    def at_exit():
        import colorsys

        print(f"exit function of {environ['SCRIPT_NAME']}", file=sys.stderr)
        text = f"{os.getpid()} {colorsys.__name__} {group}\n"
        leave(environ["QUERY_STRING"], environ["SCRIPT_NAME"].strip("/"), text)

    atexit.register(at_exit)


def starts_daemon_thread(environ):
    """It runs Python code and system calls until the very end."""

    def work():
        number = 0
        while True:
            number += sum(range(1000))
            time.sleep(0.0001)
            os.stat("/")
            print(end="", file=sys.stderr)

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()


def starts_thread(environ):
    """Python waits for it. It would be a daemon thread by itself where the worker's own thread is none of Python's."""

    def work():
        threading.main_thread().join()
        leave(environ["QUERY_STRING"], environ["SCRIPT_NAME"].strip("/") + "-thread", f"{os.getpid()}\n")

    threading.Thread(target=work, daemon=False).start()


def sets(environ):
    """Changes everything that interpreters could have in common by mistake."""
    os.environ["INTERPRETER_MARK"] = environ["SCRIPT_NAME"]
    sys.modules["interpreter_mark"] = sys
    sys.path.append(environ["SCRIPT_NAME"])
    builtins.interpreter_mark = environ["SCRIPT_NAME"]
    json.interpreter_mark = environ["SCRIPT_NAME"]


def looks(environ):
    return {
        "pid": os.getpid(),
        "group": environ["mod_wsgi.application_group"],
        "environment": os.environ.get("INTERPRETER_MARK"),
        "modules": "interpreter_mark" in sys.modules,
        "path": [entry for entry in sys.path if entry.startswith("/own")],
        "builtins": getattr(builtins, "interpreter_mark", None),
        "json": getattr(json, "interpreter_mark", None),
    }


def application(environ, start_response):
    way = environ["PATH_INFO"].strip("/")
    seen = looks(environ) if way == "looks" else globals()[way](environ)
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
