"""Applications inside wsgiref.validate.validator, which raises AssertionError at every breach of PEP 3333."""

import warnings
from wsgiref.validate import validator

warnings.simplefilter("error")
TEXT = [("Content-Type", "text/plain")]


def hello(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "5")])
    return [b"hello"]


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"one "
    yield b"two"


def written(environ, start_response):
    start_response("200 OK", TEXT)(b"written ")
    return [b"and returned"]


def body(environ, start_response):
    stream = environ["wsgi.input"]
    first = stream.read(3)
    rest = b"".join(stream.readlines())
    start_response("200 OK", TEXT)
    return [first, rest]


def lines(environ, start_response):
    start_response("200 OK", TEXT)
    return [line for line in environ["wsgi.input"]]


def errors(environ, start_response):
    environ["wsgi.errors"].write("validated line\n")
    environ["wsgi.errors"].writelines(["and another\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", TEXT)
    return [b"logged"]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


APPLICATIONS = {"/" + app.__name__: validator(app) for app in (hello, generator, written, body, lines, errors, nothing)}


def application(environ, start_response):
    return APPLICATIONS[environ["PATH_INFO"]](environ, start_response)
