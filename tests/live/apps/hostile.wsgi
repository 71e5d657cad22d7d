"""Applications that break every rule, put together as the query says: JSON made by test_hostile.py.

`extra` is mischief on the side, `start` and `where` are how and when start_response is called, `written` is
given to write(), `pieces` is what the body is made of and `returns` what of. /closed counts iterables.
"""

import array
import collections
import gc
import io
import json
import os
import sys
import tempfile
import threading
import time
from urllib.parse import unquote

counts = {"made": 0, "closed": 0}
later = []  # what is to be done when the request is over: by the next one
TEXT = [("Content-Type", "text/plain"), ("X-Hostile", "yes")]


class Evil:
    """Whatever is asked of it, it raises."""

    def refuse(self, *_, **__):
        raise RuntimeError("evil")

    __repr__ = __str__ = __len__ = __bool__ = __hash__ = __eq__ = __getattr__ = __index__ = __fspath__ = refuse
    __class__ = property(refuse)


class EvilBytes(bytes):
    __len__ = __getitem__ = __iter__ = __repr__ = __str__ = __eq__ = __hash__ = Evil.refuse


class EvilStr(str):
    __len__ = __getitem__ = __iter__ = __repr__ = __str__ = __eq__ = __hash__ = encode = Evil.refuse


class EvilError(Exception):
    __repr__ = __str__ = Evil.refuse
    __traceback__ = property(Evil.refuse)


class EvilMeta(type):
    __name__ = property(Evil.refuse)
    __repr__ = Evil.refuse


class EvilClass(metaclass=EvilMeta):
    pass


class EvilList(list):
    __len__ = __getitem__ = Evil.refuse


class Reentrant(list):
    """Headers that answer the request while they are looked at."""

    def __init__(self, start_response):
        super().__init__(TEXT)
        self.start_response = start_response

    def __getitem__(self, index):
        try:
            self.start_response("200 Inner", TEXT)(b"inner ")
        except AssertionError:
            pass
        return super().__getitem__(index)


class Counted:
    def __init__(self, pieces, close=lambda: None):
        counts["made"] += 1
        self.pieces, self.then = iter(pieces), close

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        counts["closed"] += 1
        self.then()


class Sequence:
    def __init__(self, pieces):
        self.pieces = list(pieces)

    def __getitem__(self, index):
        return self.pieces[index]


def error(kind):
    made = kind("reason")
    made.__cause__ = made
    raise made


def recurse():
    return recurse()


PIECES = {
    "empty": lambda: b"",
    "text": lambda: b"some text ",
    "large": lambda: b"x" * 70_000,
    "bytes subclass": lambda: EvilBytes(b"subclass "),
    "str": lambda: "text",
    "evil str": lambda: EvilStr("text"),
    "int": lambda: 5,
    "none": lambda: None,
    "bytearray": lambda: bytearray(b"x"),
    "memoryview": lambda: memoryview(b"x"),
    "list": lambda: [b"x"],
    "generator": lambda: (piece for piece in [b"x"]),
    "evil": Evil,
    "evil class": EvilClass,
    "ValueError": lambda: error(ValueError),
    "OSError": lambda: error(OSError),
    "SystemExit": lambda: error(SystemExit),
    "KeyboardInterrupt": lambda: error(KeyboardInterrupt),
    "GeneratorExit": lambda: error(GeneratorExit),
    "StopIteration": lambda: error(StopIteration),
    "MemoryError": lambda: error(MemoryError),
    "BaseException": lambda: error(BaseException),
    "EvilError": lambda: error(EvilError),
    "UnicodeError": lambda: "\ud800".encode(),
    "recursion": recurse,
    "ExceptionGroup": lambda: error(lambda text: ExceptionGroup(text, [ValueError("\0\n\ud800" * 1000)])),
    "real MemoryError": lambda: bytes(1 << 60),
}

JUNK_STARTS = {
    "status int": (200, TEXT),
    "status bytes": (b"200 OK", TEXT),
    "status None": (None, TEXT),
    "status empty": ("", TEXT),
    "status word": ("OK", TEXT),
    "status 99": ("99 X", TEXT),
    "status 100": ("100 Continue", TEXT),
    "status 600": ("600 X", TEXT),
    "status glued": ("200OK", TEXT),
    "status lines": ("200 a\r\nX-Injected: b", TEXT),
    "status euro": ("200 \u20ac", TEXT),
    "status wide": ("\uff12\uff10\uff10 OK", TEXT),
    "status surrogate": ("200 \ud800", TEXT),
    "status evil": (Evil(), TEXT),
    "headers None": ("200 OK", None),
    "headers tuple": ("200 OK", ()),
    "headers dict": ("200 OK", {}),
    "headers generator": ("200 OK", iter(TEXT)),
    "headers evil": ("200 OK", Evil()),
    "headers evil list": ("200 OK", EvilList(TEXT)),
    "header None": ("200 OK", [None]),
    "header short": ("200 OK", [("a",)]),
    "header long": ("200 OK", [("a", "b", "c")]),
    "header list": ("200 OK", [["a", "b"]]),
    "header str": ("200 OK", ["ab"]),
    "header evil": ("200 OK", [Evil()]),
    "name bytes": ("200 OK", [(b"a", "b")]),
    "name empty": ("200 OK", [("", "b")]),
    "name blank": ("200 OK", [("a b", "c")]),
    "name colon": ("200 OK", [("a:", "c")]),
    "name lines": ("200 OK", [("a\r\nb", "c")]),
    "name latin": ("200 OK", [("\xe9", "c")]),
    "value int": ("200 OK", [("a", 1)]),
    "value bytes": ("200 OK", [("a", b"1")]),
    "value lines": ("200 OK", [("a", "b\r\nX-Injected: c")]),
    "value cr": ("200 OK", [("a", "b\rX-Injected: c")]),
    "value nul": ("200 OK", [("a", "\0")]),
    "value euro": ("200 OK", [("a", "\u20ac")]),
    "value evil": ("200 OK", [("a", Evil())]),
    "value evil euro": ("200 OK", [("a", EvilStr("\u20ac"))]),
    "length word": ("200 OK", [("Content-Length", "x")]),
    "length negative": ("200 OK", [("Content-Length", "-1")]),
    "length huge": ("200 OK", [("Content-Length", "9" * 30)]),
    "length float": ("200 OK", [("Content-Length", "1.0")]),
    "length wide": ("200 OK", [("Content-Length", "\xb2")]),
    "length twice": ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")]),
    "exc_info str": ("200 OK", TEXT, "junk"),
    "exc_info junk": ("200 OK", TEXT, (1, 2, 3)),
    "exc_info short": ("200 OK", TEXT, (1,)),
    "exc_info evil": ("200 OK", TEXT, (Evil(), Evil(), Evil())),
    "too many": ("200 OK", TEXT, None, None),
    "too few": ("200 OK",),
    "none": (),
}


def begin(spec, start_response, headers):
    """Calls start_response; gives its write()."""
    kind = spec["start"]
    if kind == "good":
        return start_response("200 OK", headers)
    if kind == "subclasses":
        return start_response(EvilStr("200 OK"), [(EvilStr(name), EvilStr(value)) for name, value in headers])
    if kind == "huge":
        return start_response("200 OK", headers + [(f"X-{number}", "v" * 10_000) for number in range(60)])
    if kind == "many":
        return start_response("200 OK", headers + [("Set-Cookie", f"a{number}=\xe9") for number in range(90)])
    if kind == "again with exc_info":
        start_response("500 First", [("X-First", "yes")])
        try:
            raise ValueError
        except ValueError:
            return start_response("200 OK", headers, sys.exc_info())
    if kind == "hop by hop":
        return start_response("200 OK", headers + [("Transfer-Encoding", "chunked"), ("Connection", "close")])
    if kind == "after junk":
        for arguments in JUNK_STARTS.values():
            try:
                start_response(*arguments)
            except Exception:
                continue
        return start_response("200 OK", headers)
    if kind == "twice":
        start_response("200 OK", headers)
        return start_response("200 OK", headers)
    if kind == "reentrant":
        return start_response("200 OK", Reentrant(start_response))
    if kind == "never":
        return lambda data: None
    return start_response(*JUNK_STARTS[kind])


def body(spec, start_response, headers):
    """A generator of the pieces; calls start_response where that is wanted inside."""
    if spec["where"] != "outside":
        yield {"after data": b"too early", "after empty": b""}.get(spec["where"], b"")
        written(spec, begin(spec, start_response, headers))
    for name in spec["pieces"]:
        yield PIECES[name]()


def written(spec, write):
    for name in spec["written"]:
        write(PIECES[name]())


def stubborn(pieces):
    """A generator that does not let itself be closed."""
    for piece in pieces:
        try:
            yield piece
        except GeneratorExit:
            yield b"never sent"
    yield b""
    try:
        yield b""
    finally:
        yield b""


def endless(pieces):
    yield from pieces
    while True:
        yield b"y" * 8192


def with_close(pieces, value):
    class Closing(list):
        close = value

    return Closing(pieces)


def file_of(pieces):
    file = tempfile.TemporaryFile()
    file.write(b"".join(pieces))
    file.seek(0)
    return file


class EvilFile:
    """Claims to be a file."""

    def __init__(self, number, read=Evil.refuse):
        self.number, self.given = number, read

    def fileno(self):
        return self.number

    def tell(self):
        return -5

    def read(self, *size):
        return self.given(*size)


async def coroutine():
    return [b""]


async def async_generator():
    yield b"x"


def closed_file():
    file = tempfile.TemporaryFile()
    file.close()
    return file


RETURNS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda pieces: pieces,
    "counted": Counted,
    "sequence": Sequence,
    "deque": collections.deque,
    "evil list": EvilList,
    "stubborn": stubborn,
    "raises in close": lambda pieces: Counted(pieces, Evil().refuse),
    "exits in close": lambda pieces: Counted(pieces, sys.exit),
    "close is None": lambda pieces: with_close(pieces, None),
    "close is no function": lambda pieces: with_close(pieces, 5),
    "close is evil": lambda pieces: with_close(pieces, property(Evil.refuse)),
    "wrapped": lambda pieces: FileWrapper(io.BytesIO(b"".join(pieces)), 5),
    "wrapped file": lambda pieces: FileWrapper(file_of(pieces)),
    "endless": lambda pieces: Counted(endless(pieces)),
    "nothing": lambda pieces: None,
    "int": lambda pieces: 5,
    "str": lambda pieces: "text",
    "bytes": lambda pieces: b"bytes",
    "evil": lambda pieces: Evil(),
    "evil class": lambda pieces: EvilClass,
    "object": lambda pieces: object(),
    "type": lambda pieces: Counted,
    "nested": lambda pieces: [pieces],
    "dict": lambda pieces: {"a": b"b"},
    "coroutine": lambda pieces: closed_at_once(coroutine()),
    "async generator": lambda pieces: async_generator(),
    "array": lambda pieces: array.array("i", [1]),
    "wrapped None": lambda pieces: FileWrapper(None),
    "wrapped evil": lambda pieces: FileWrapper(Evil()),
    "wrapped closed": lambda pieces: FileWrapper(closed_file()),
    "wrapped junk": lambda pieces: FileWrapper(EvilFile(10**30)),
    "wrapped minus one": lambda pieces: FileWrapper(EvilFile(-1)),
    "wrapped word": lambda pieces: FileWrapper(EvilFile("x", lambda *size: "text")),
}


def closed_at_once(what):
    what.close()
    return what


def in_thread(environ, start_response):
    """A thread that uses the request after its end."""
    over = threading.Event()
    later.append(over.set)

    def late():
        over.wait(1)
        use(environ, start_response)

    threading.Thread(target=late, daemon=True).start()


def use(environ, start_response):
    """Calls all that a request gave its application, and is not surprised by any exception."""
    for call in (
        lambda: environ["wsgi.errors"].write("late\n"),
        lambda: environ["wsgi.errors"].flush(),
        lambda: environ["wsgi.input"].read(10),
        lambda: environ["wsgi.input"].readline(),
        lambda: environ["late write"](b"late data"),
        lambda: start_response("200 Late", TEXT),
    ):
        try:
            call()
        except Exception:
            continue


def keep(environ, start_response):
    """The next request uses this one."""
    later.append(lambda: use(environ, start_response))


def fork(in_child):
    pid = os.fork()
    if not pid:
        in_child()
        return
    end = time.monotonic() + 5
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            print("HUNG: a forked copy did not end", file=sys.stderr)
            break
        time.sleep(0.001)


def junk_input(environ, start_response):
    stream = environ["wsgi.input"]
    for call in (
        lambda: stream.read("x"),
        lambda: stream.read(Evil()),
        lambda: stream.read(2**70),
        lambda: stream.readline(-(2**70)),
        lambda: stream.readlines(Evil()),
        lambda: stream.readinto(b"read-only"),
        lambda: stream.readinto(Evil()),
        lambda: stream.readinto(array.array("d", [0.0])),
        lambda: stream.read(1, 2, 3),
        lambda: type(stream)(),
        lambda: type(stream).read(5),
        lambda: type(stream).__new__(type(stream)).read(),
        lambda: object.__new__(type(start_response))("200 OK", []),
        lambda: stream.__init__(),
        lambda: stream.__reduce_ex__(4),
        lambda: start_response(status="200 OK", headers=5),
        lambda: start_response(**{"\ud800": 1}),
    ):
        try:
            call()
        except Exception:
            continue


def junk_output(environ, start_response):
    for stream in (environ["wsgi.errors"], sys.stdout, sys.stderr):
        for text in ("\0\x1b[31m\ud800\n", "%n%s\n", b"bytes", None, Evil(), EvilStr("evil"), "y" * 20_000 + "\n", "no end"):
            try:
                stream.write(text)
            except Exception:
                continue
        stream.flush()


EXTRA = {
    "thread": in_thread,
    "keep": keep,
    "fork and exit": lambda *_: fork(lambda: os._exit(0)),
    "fork and return": lambda *_: fork(lambda: None),
    "fork and raise": lambda *_: fork(lambda: error(ValueError)),
    "fork and sys.exit": lambda *_: fork(sys.exit),
    "junk input": junk_input,
    "junk output": junk_output,
    "clear environ": lambda environ, _: environ.clear(),
    "cycle": lambda environ, start_response: environ.update(cycle=[environ, start_response]),
    "collect": lambda *_: gc.collect(0),
}


def application(environ, start_response):
    global FileWrapper
    if environ["PATH_INFO"] == "/closed":
        counted = json.dumps(counts).encode()
        start_response("200 OK", TEXT)
        return [counted]
    while later:
        later.pop()()
    FileWrapper = environ["wsgi.file_wrapper"]
    spec = json.loads(unquote(environ["QUERY_STRING"]))
    headers = TEXT + [("Content-Length", str(spec["length"]))] * (spec["length"] is not None)
    for name in sorted(spec["extra"], key="clear environ".__eq__):  # that one last
        EXTRA[name](environ, start_response)
    if spec["where"] == "outside":
        write = begin(spec, start_response, headers)
        environ["late write"] = write
        written(spec, write)
    return RETURNS[spec["returns"]](body(spec, start_response, headers))
