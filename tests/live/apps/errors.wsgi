"""Writes the query string to wsgi.errors, sys.stderr or through print, as the path says."""

import logging
import sys
import threading

import mod_wsgi


def application(environ, start_response):
    way, words = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    if way == "errors":
        environ["wsgi.errors"].write(f"{words} first\n{words} second\n")
        environ["wsgi.errors"].flush()
    elif way == "errors-in-parts":
        environ["wsgi.errors"].write(f"{words} one")
        environ["wsgi.errors"].write(" line\n")
    elif way == "errors-writelines":
        environ["wsgi.errors"].writelines([f"{words} a\n", f"{words} b\n"])
    elif way == "errors-long":
        environ["wsgi.errors"].write(f"{words} " + "x" * 20000 + f" {words}-end\n")
    elif way == "errors-unicode":
        environ["wsgi.errors"].write(f"{words} \N{GREEK SMALL LETTER ALPHA}\N{SNOWMAN}\n")
    elif way == "print":
        print(words, "printed")
    elif way == "stderr":
        print(words, "on stderr", file=sys.stderr)
    elif way == "logging":
        logging.getLogger().warning("%s by logging", words)
    elif way == "levels":
        handler = mod_wsgi.LogHandler()
        for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
            handler.emit(logging.LogRecord("site", level, "", 0, "%s at %d", (words, level), None))
    elif way == "buffer":
        environ["wsgi.errors"].buffer.write(f"{words} through the buffer\n".encode())
    elif way == "thread":
        errors = environ["wsgi.errors"]

        def after():
            errors.write(f"{words} errors after the request\n")
            print(words, "print after the request")

        threading.Timer(0.2, after).start()
    elif way == "format":
        environ["wsgi.errors"].write(f"{words} %s %n %d 100%\n")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
