"""Uses the stream that the query string names, in the way that the path says, and answers what it saw."""

import array
import gc
import io
import json
import pickle
import sys
import threading
import weakref

import mod_wsgi


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return type(error).__name__


def missing(stream, _mark):
    """A finalizer is no attribute to use."""
    return [name for name in dir(io.TextIOWrapper) if name != "__del__" and not hasattr(stream, name)]


def behaviour(stream, _mark):
    stream.note = "kept"
    with stream as same:
        pass
    return {
        "is a text stream": isinstance(stream, io.TextIOBase),
        "is a wrapper": isinstance(stream, io.TextIOWrapper),
        "weak reference": weakref.ref(stream)() is stream,
        "attribute of its own": vars(stream)["note"],
        "encoding": stream.encoding,
        "errors": stream.errors,
        "closed": stream.closed,
        "flags": [stream.writable(), stream.readable(), stream.seekable(), stream.isatty()],
        "reconfigured": stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True),
        "in a with statement": same is stream,
        "read": [outcome(call) for call in (stream.read, stream.readline, stream.tell, lambda: next(stream))],
        "wrong": [
            outcome(stream.write, b"bytes"),
            outcome(stream.writelines, [b"bytes"]),
            outcome(stream.buffer.write, "text"),
        ],
        "descriptor": outcome(stream.fileno),
        "written": [stream.write("abc\n"), stream.write("")],
    }


def of_bytes(stream, mark):
    buffer = stream.buffer
    buffer.write(mark.encode() + b" ")
    buffer.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
    snowman = "\N{SNOWMAN}\n".encode()
    # A character in two parts.
    counts = [buffer.write(b" ") + buffer.write(snowman[:2]) + buffer.write(memoryview(snowman[2:]))]
    buffer.flush()
    counts.append(buffer.write(array.array("Q", [0x0A20202020202020])))
    wrapper = io.TextIOWrapper(buffer, encoding="utf-8")
    wrapper.write(f"{mark} wrapped\n")
    wrapper.flush()
    return counts


def closing(close):
    def closed(stream, mark):
        close(stream)
        gc.collect()
        print(mark, "afterwards", file=stream)
        return "ok"

    return closed


def use_as_context(stream):
    with stream:
        stream.write("inside\n")


def odd(stream, mark):
    stream.write(f"{mark} before\0after a NUL\n")
    stream.write(f"{mark} surrogate \udc80\n")
    stream.write("x" * 300_000 + f" {mark}-end\n")
    return "ok"


def threads(stream, mark):
    def work(number):
        for _ in range(50):
            stream.write(f"{mark} thread {number} end\n")

    started = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    stream.write(f"{mark} unfinished")
    return "ok"


def types(stream, _mark):
    """Those that are not found where they say that they are."""
    seen = [type(stream), type(stream).__mro__[1], type(stream.buffer), type(environ_of["wsgi.input"])]
    seen += [mod_wsgi.FileWrapper, mod_wsgi.RequestTimeout, mod_wsgi.LogHandler, type(sys.stdout), type(start_of[0])]
    seen += [type(mod_wsgi.server_metrics)]
    return [
        repr(kind)
        for kind in seen
        if getattr(sys.modules[kind.__module__], kind.__name__, kind) is not kind or not found_by_pickle(kind)
    ]


def found_by_pickle(kind):
    return kind.__module__ == "builtins" or pickle.loads(pickle.dumps(kind)) is kind


def structlog(stream, mark):
    import structlog

    structlog.get_logger().info(f"by {mark}")
    structlog.wrap_logger(structlog.WriteLogger(stream)).info(f"by {mark}")
    return "ok"


def loguru(stream, mark):
    from loguru import logger

    logger.remove()
    logger.add(stream)
    logger.info(f"by {mark}")
    return "ok"


def rich(stream, mark):
    from rich.console import Console

    Console(file=stream).print(f"by {mark}")
    return "ok"


WAYS = {
    "missing": missing,
    "behaviour": behaviour,
    "bytes": of_bytes,
    "close": closing(lambda stream: stream.close()),
    "with": closing(use_as_context),
    "wrapper": closing(lambda stream: io.TextIOWrapper(stream.buffer).close()),
    "collected": closing(lambda stream: io.TextIOWrapper(stream.buffer, encoding="utf-8")),
    "buffer": closing(lambda stream: stream.buffer.close()),
    "odd": odd,
    "threads": threads,
    "types": types,
    "structlog": structlog,
    "loguru": loguru,
    "rich": rich,
}

environ_of, start_of = {}, [None]


def application(environ, start_response):
    environ_of.update(environ)
    start_of[0] = start_response
    name = environ["QUERY_STRING"]
    stream = environ["wsgi.errors"] if name == "errors" else getattr(sys, name)
    way, _, mark = environ["PATH_INFO"].strip("/").partition("/")
    body = json.dumps(WAYS[way](stream, mark)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
