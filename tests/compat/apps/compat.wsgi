"""Answers for the comparison, good and bad; the path names one, the query holds its argument as JSON."""

import io
import json
import sys
from pathlib import Path
from urllib.parse import unquote

TEXT = [("Content-Type", "text/plain")]
FILE = Path(__file__).with_name("file.txt")


def text(start_response, *pieces):
    start_response("200 OK", TEXT)
    return list(pieces)


# The answer's head, given by the request


def status(environ, start_response, line):
    start_response(line, TEXT)
    return [b"hello"]


def headers(environ, start_response, pairs):
    start_response("200 OK", [tuple(pair) for pair in pairs])
    return [b"hello"]


def head(environ, start_response, given):
    start_response(given[0], [tuple(pair) for pair in given[1]])
    return [b"hello"]


# What is returned


class WithoutClose:
    def __init__(self, *pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self.pieces


class BadClose(WithoutClose):
    close = "not callable"


class ListOfOne(list):
    pass


class WithLength(WithoutClose):
    def __len__(self):
        return 1


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("no text")


def generator(*pieces):
    yield from pieces


RETURNED = {
    "str": lambda: "text",
    "bytes": lambda: b"bytes",
    "list of int": lambda: [1, 2],
    "list of None": lambda: [None],
    "bytes, then str": lambda: [b"bytes", "text"],
    "bytearray": lambda: [bytearray(b"bytes")],
    "memoryview": lambda: [memoryview(b"bytes")],
    "int": lambda: 5,
    "dict": lambda: {b"key": 1},
    "set": lambda: {b"one"},
    "deque": lambda: __import__("collections").deque([b"one ", b"two"]),
    "empty tuple": lambda: (),
    "empty bytes": lambda: [b""],
    "empty pieces": lambda: [b"", b"", b"one", b""],
    "empty generator": lambda: generator(),
    "tuple of one": lambda: (b"one",),
    "subclass of list": lambda: ListOfOne([b"one"]),
    "object with a length": lambda: WithLength(b"one"),
    "nested generator": lambda: generator(generator(b"one")),
    "BytesIO": lambda: io.BytesIO(b"line one\nline two\n"),
    "open file": lambda: FILE.open("rb"),
    "text file": lambda: FILE.open(),
    "map": lambda: map(bytes, ([65], [66])),
    "without close": lambda: WithoutClose(b"one ", b"two"),
    "close not callable": lambda: BadClose(b"one ", b"two"),
    "large pieces": lambda: [b"x" * 100_000, b"y" * 100_000],
    "many pieces": lambda: [b"%d " % number for number in range(1000)],
}


def returned(environ, start_response, name):
    start_response("200 OK", TEXT)
    return RETURNED[name]()


def lengths(environ, start_response, given):
    """A Content-Length and the sizes of the pieces."""
    start_response("200 OK", TEXT + [("Content-Length", given[0])])
    return [b"x" * size for size in given[1]]


# Exceptions: the query names one

EXCEPTIONS = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "BaseException": lambda: BaseException("reason"),
    "MemoryError": MemoryError,
    "StopIteration": StopIteration,
    "Unreadable": Unreadable,
    "OSError": lambda: OSError(5, "reason"),
    "Latin": lambda: ValueError("r\xe9ason \u20ac"),
    "lines": lambda: ValueError("reason\nin two lines"),
}


def raised(environ, start_response, name):
    raise EXCEPTIONS[name]()


def raised_later(environ, start_response, name):
    start_response("200 OK", TEXT)
    yield b"some output "
    raise EXCEPTIONS[name]()


def raised_in_close(environ, start_response, name):
    class Closing(WithoutClose):
        def close(self):
            raise EXCEPTIONS[name]()

    start_response("200 OK", TEXT)
    return Closing(b"one ", b"two")


def recursion(environ, start_response, _):
    return recursion(environ, start_response, _)


def finally_raises(environ, start_response, _):
    start_response("200 OK", TEXT)
    try:
        yield b"one "
        yield b"two"
    finally:
        raise ValueError("in finally")


# Uses of start_response


def exc_info():
    try:
        raise ValueError("reason")
    except ValueError:
        return sys.exc_info()


STARTS = {
    "no arguments": lambda start: start(),
    "one argument": lambda start: start("200 OK"),
    "four arguments": lambda start: start("200 OK", TEXT, None, None),
    "keywords": lambda start: start(status="200 OK", headers=TEXT),
    "names of PEP 3333": lambda start: start(status="200 OK", response_headers=TEXT),
    "exc_info None": lambda start: start("200 OK", TEXT, None),
    "exc_info first": lambda start: start("200 OK", TEXT, exc_info()),
    "exc_info a str": lambda start: start("200 OK", TEXT, "exc_info"),
    "exc_info of None": lambda start: start("200 OK", TEXT, (None, None, None)),
    "exc_info a pair": lambda start: start("200 OK", TEXT, (ValueError, ValueError("x"))),
    "headers None": lambda start: start("200 OK", None),
    "headers a generator": lambda start: start("200 OK", (pair for pair in TEXT)),
    "headers a dict": lambda start: start("200 OK", dict(TEXT)),
    "header a list": lambda start: start("200 OK", [["Content-Type", "text/plain"]]),
    "header of three": lambda start: start("200 OK", [("X-A", "b", "c")]),
    "header of one": lambda start: start("200 OK", [("X-A",)]),
    "header of bytes": lambda start: start("200 OK", [(b"X-A", b"b")]),
    "header None": lambda start: start("200 OK", [("X-A", None)]),
    "header a str": lambda start: start("200 OK", ["XA"]),
    "status None": lambda start: start(None, TEXT),
    "status bytes": lambda start: start(b"200 OK", TEXT),
    "status int": lambda start: start(200, TEXT),
    "subclass of str": lambda start: start(type("S", (str,), {})("200 OK"), TEXT),
    "subclass of list": lambda start: start("200 OK", ListOfOne(TEXT)),
    "subclass of tuple": lambda start: start("200 OK", [type("T", (tuple,), {})(TEXT[0])]),
    "twice": lambda start: (start("200 OK", TEXT), start("201 Created", TEXT)),
    "twice, exc_info": lambda start: (start("200 OK", TEXT), start("500 Oops", TEXT, exc_info())),
    "write str": lambda start: start("200 OK", TEXT)("text"),
    "write None": lambda start: start("200 OK", TEXT)(None),
    "write bytearray": lambda start: start("200 OK", TEXT)(bytearray(b"bytes")),
    "write empty": lambda start: start("200 OK", TEXT)(b""),
    "write": lambda start: start("200 OK", TEXT)(b"written "),
    "write, no arguments": lambda start: start("200 OK", TEXT)(),
    "write, then start": lambda start: (start("200 OK", TEXT)(b"written "), start("200 OK", TEXT)),
    "write, then exc_info": lambda start: (start("200 OK", TEXT)(b"written "), start("500 No", TEXT, exc_info())),
    "write empty, then start": lambda start: (start("200 OK", TEXT)(b""), start("201 Created", TEXT)),
    "write too much": lambda start: start("200 OK", TEXT + [("Content-Length", "3")])(b"written"),
    "list changed later": lambda start: changed(start),
}


def changed(start):
    pairs = list(TEXT)
    start("200 OK", pairs)
    pairs.append(("X-Late", "yes"))


def started(environ, start_response, name):
    STARTS[name](start_response)
    return [b"returned"]


def started_in_generator(environ, start_response, name):
    STARTS[name](start_response)
    yield b"yielded"


def start_refused(environ, start_response, name):
    """As careful applications do: an answer of its own where the first one was refused."""
    try:
        STARTS[name](start_response)
    except Exception as error:
        start_response("200 OK", TEXT, sys.exc_info())
        return [type(error).__name__.encode()]
    return [b"accepted"]


# wsgi.file_wrapper


def wrapped(environ, start_response, name):
    wrapper = environ["wsgi.file_wrapper"]
    size = FILE.stat().st_size
    file = FILE.open("rb")

    def start(*pairs):
        return start_response("200 OK", TEXT + list(pairs))

    if name == "part":
        file.seek(1000)
    elif name == "end":
        file.seek(0, 2)
    if name == "written before":
        start()(b"written ")
    elif name in ("length", "part with length"):
        if name == "part with length":
            file.seek(size - 7)
        start(("Content-Length", "7"))
    elif name == "too long":
        start(("Content-Length", str(size + 10)))
    else:
        start()
    if name == "block size":
        return wrapper(file, 100)
    if name == "BytesIO":
        return wrapper(io.BytesIO(b"x" * 20000), 4096)
    if name == "text":
        return wrapper(FILE.open())
    if name == "no arguments":
        return wrapper()
    if name == "no read":
        return wrapper(object())
    if name == "only read":
        pieces = [b"two", b"one"]
        return wrapper(type("R", (), {"read": lambda self, size: pieces.pop() if pieces else b""})())
    if name == "iterated":
        return list(wrapper(file, 1000))
    if name == "in a generator":
        return generator(*wrapper(file))
    if name == "closed":
        file.close()
    return wrapper(file)


# wsgi.input and wsgi.errors

READS = {
    "read(-5)": lambda stream: stream.read(-5),
    "read(3)": lambda stream: stream.read(3),
    "read('x')": lambda stream: stream.read("x"),
    "read(1.5)": lambda stream: stream.read(1.5),
    "read(1, 2)": lambda stream: stream.read(1, 2),
    "read(size=3)": lambda stream: stream.read(size=3),
    "read(10**9)": lambda stream: stream.read(10**9),
    "readline()": lambda stream: stream.readline(),
    "readline(0)": lambda stream: stream.readline(0),
    "readline(-1)": lambda stream: stream.readline(-1),
    "readline(3)": lambda stream: stream.readline(3),
    "readline(None)": lambda stream: stream.readline(None),
    "readlines()": lambda stream: stream.readlines(),
    "readlines(0)": lambda stream: stream.readlines(0),
    "readlines(-1)": lambda stream: stream.readlines(-1),
    "readlines(1)": lambda stream: stream.readlines(1),
    "readlines(None)": lambda stream: stream.readlines(None),
    "read, close, read": lambda stream: [stream.read(2), stream.close(), stream.read()],
    "iter is itself": lambda stream: iter(stream) is stream,
    "next": lambda stream: [next(stream), next(stream)],
    "next at the end": lambda stream: [stream.read(), next(stream)],
    "type": lambda stream: str(type(stream)),
    "fileno": lambda stream: stream.fileno(),
    "seek": lambda stream: stream.seek(0),
    "readinto": lambda stream: stream.readinto(bytearray(3)),
    "read1": lambda stream: stream.read1(3),
    "attributes": lambda stream: [name for name in dir(stream) if not name.startswith("_")],
}


def outcome(function, argument):
    try:
        return repr(function(argument))
    except Exception as error:
        return type(error).__name__


def read(environ, start_response, name):
    result = outcome(READS[name], environ["wsgi.input"])
    return text(start_response, result.encode())


def read_while_answering(environ, start_response, _):
    start_response("200 OK", TEXT)
    yield b"got: "
    yield from iter(lambda: environ["wsgi.input"].read(4), b"")


def read_after_answer(environ, start_response, _):
    class Closing(WithoutClose):
        def close(self):
            print("says:", outcome(READS["read(3)"], environ["wsgi.input"]), file=environ["wsgi.errors"])

    start_response("200 OK", TEXT)
    return Closing(b"one ", b"two")


ERRORS = {
    "write": lambda stream: stream.write("says: a line\n"),
    "write without newline": lambda stream: stream.write("says: no newline"),
    "write in parts": lambda stream: [stream.write("says: one "), stream.write("line\n")],
    "write, flush": lambda stream: [stream.write("says: one "), stream.flush(), stream.write("says: line\n")],
    "two lines": lambda stream: stream.write("says: one\nsays: two\n"),
    "empty line": lambda stream: stream.write("says: one\n\nsays: two\n"),
    "writelines": lambda stream: stream.writelines(["says: one\n", "says: two\n"]),
    "bytes": lambda stream: stream.write(b"says: bytes\n"),
    "None": lambda stream: stream.write(None),
    "unicode": lambda stream: stream.write("says: \xe9 \u20ac \U0001f600\n"),
    "surrogate": lambda stream: stream.write("says: \udc80\n"),
    "tab": lambda stream: stream.write("says: a\tb\n"),
    "backslash": lambda stream: stream.write("says: a\\b\n"),
    "control": lambda stream: stream.write("says: a\x1b[1mb\n"),
    "nul": lambda stream: stream.write("says: a\0b\n"),
    "carriage return": lambda stream: stream.write("says: a\rsays: b\r\n"),
    "percent": lambda stream: stream.write("says: %s %n 100%\n"),
    "long": lambda stream: stream.write("says: " + "x" * 5000 + "\n"),
    "longer": lambda stream: stream.write("says: " + "x" * 20000 + "\n"),
    "print": lambda stream: print("says: printed", file=stream),
    "sys.stderr": lambda stream: print("says: on stderr", file=sys.stderr),
    "sys.stdout": lambda stream: print("says: on stdout"),
    "logging": lambda stream: __import__("logging").getLogger("x").warning("says: a warning"),
    "warnings": lambda stream: __import__("warnings").warn("says: warned", stacklevel=2),
    "close": lambda stream: [stream.write("says: one\n"), stream.close()],
    "encoding": lambda stream: [stream.encoding, stream.errors, stream.line_buffering, stream.newlines],
    "isatty": lambda stream: [stream.isatty(), stream.readable(), stream.writable(), stream.seekable()],
    "fileno": lambda stream: stream.fileno(),
    "read": lambda stream: stream.read(),
    "name": lambda stream: [getattr(stream, "name", None), getattr(stream, "mode", None)],
    "buffer": lambda stream: stream.buffer.write(b"says: bytes\n"),
    "type": lambda stream: str(type(stream)),
}


def errors(environ, start_response, name):
    result = outcome(ERRORS[name], environ["wsgi.errors"])
    return text(start_response, result.encode("utf-8", "replace"))


# Python around the application

PYTHON = {
    "name": lambda: __name__.rstrip("0123456789abcdef"),
    "file": lambda: __file__,
    "argv": lambda: sys.argv,
    "stdin": lambda: sys.stdin.read(),
    "main": lambda: sorted(vars(sys.modules["__main__"])),
    "globals": lambda: sorted(name for name in globals() if name.startswith("__")),
    "mtime": lambda: type(__mtime__).__name__,
    "mod_wsgi": lambda: sorted(name for name in dir(__import__("mod_wsgi")) if not name.startswith("_")),
    "apache": lambda: sorted(name for name in dir(__import__("apache")) if not name.startswith("_")),
    "thread": lambda: type(__import__("threading").current_thread()).__name__,
    "signal": lambda: type(__import__("signal").signal(15, lambda *_: None)).__name__,
    "cwd": lambda: __import__("os").getcwd(),
    "environment": lambda: [__import__("os").environ.get(name) for name in ("HOME", "USER", "LOGNAME", "USERNAME")],
    "encoding": lambda: [sys.getdefaultencoding(), sys.getfilesystemencoding(), __import__("locale").getpreferredencoding()],
    "flags": lambda: repr(sys.flags),
    "warnoptions": lambda: sys.warnoptions,
    "dont_write_bytecode": lambda: sys.dont_write_bytecode,
    "recursion limit": lambda: sys.getrecursionlimit(),
    "prefix": lambda: [sys.prefix, sys.base_prefix, sys.exec_prefix],
    "path": lambda: sys.path,
    "umask": lambda: __import__("os").umask(0o22),
}


def python(environ, start_response, name):
    return text(start_response, outcome(lambda function: function(), PYTHON[name]).encode())


def mark(environ, start_response, number):
    print("mark", number, file=environ["wsgi.errors"])
    return text(start_response)


def application(environ, start_response):
    kind = globals()[environ["PATH_INFO"].strip("/")]
    return kind(environ, start_response, json.loads(unquote(environ["QUERY_STRING"]) or "null"))
