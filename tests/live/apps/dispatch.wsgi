"""Functions for WSGIDispatchScript: the headers X-Process, X-Application and X-Callable say what they return."""

VALUES = {"None": None, "number": 7, "list": ["site"], "bytes": b"other", "nul": "a\0b", "global": "%{GLOBAL}", "empty": ""}


def process_group(environ):
    return said(environ, "HTTP_X_PROCESS")


def application_group(environ):
    return said(environ, "HTTP_X_APPLICATION")


def callable_object(environ):
    return said(environ, "HTTP_X_CALLABLE")


def said(environ, name):
    word = environ.get(name, "None")
    if word == "raise":
        raise RuntimeError("no such place")
    if word == "environ":
        keys = ["SCRIPT_NAME", "PATH_INFO", "SCRIPT_FILENAME", "mod_wsgi.process_group", "mod_wsgi.application_group"]
        print("told:", *[environ[key] for key in keys], "HTTP_AUTHORIZATION" in environ, file=environ["wsgi.errors"])
        return None
    return VALUES.get(word, word)
