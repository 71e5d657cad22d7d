"""What the tests of PEP 3333 ask of a server: the path names a check, the query (a Python literal) its arguments.

A check answers as JSON what it saw. An application that is itself what is tested answers on its own.
"""

import ast
import functools
import gc
import io
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
import weakref

TEXT = [("Content-Type", "text/plain")]
closed = {}


def answer(start_response, value):
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def arguments_of(environ):
    return ast.literal_eval(urllib.parse.unquote_plus(environ["QUERY_STRING"]))


def outcome_of(call, *arguments, **named):
    """What a call gives: its value, or the class and text of what it raises."""
    try:
        value = call(*arguments, **named)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["", repr(value)]


def wait_for_file(path):
    end = time.monotonic() + 15
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)


# Application objects; the tests mount each of these by its name


def a_function(environ, start_response):
    return answer(start_response, "a_function")


def any_arguments(*arguments, **named):
    return answer(arguments[1], [len(arguments), sorted(named), type(arguments[0]).__name__])


class Instance:
    def __call__(self, environ, start_response):
        return answer(start_response, "Instance")

    def method(self, environ, start_response):
        return answer(start_response, "method")


an_instance = Instance()
a_method = Instance().method
a_partial = functools.partial(lambda name, environ, start_response: answer(start_response, name), "a_partial")


class AClass:
    """The class of PEP 3333's example: start_response is called when the iteration begins."""

    def __init__(self, environ, start_response):
        self.environ, self.start = environ, start_response

    def __iter__(self):
        yield answer(self.start, "AClass")[0]


def a_generator(environ, start_response):
    yield answer(start_response, "a_generator")[0]


# environ


def environ_type(environ, start_response):
    return answer(start_response, [type(environ) is dict, {type(key).__name__ for key in environ} == {"str"}])


def environ_changes(environ, start_response):
    before = "test.mark" in environ
    environ["test.mark"] = object()
    environ["SCRIPT_NAME"] += "/" + environ["PATH_INFO"].strip("/")
    environ["PATH_INFO"] = ""
    del environ["wsgi.version"]
    environ.clear()
    return answer(start_response, before)


def environ_keys(environ, start_response):
    return answer(start_response, {key: value if type(value) is str else None for key, value in environ.items()})


def environ_code_points(environ, start_response):
    texts = [value for key, value in environ.items() if key.isupper() or key == "wsgi.url_scheme"]
    return answer(start_response, [all(type(text) is str for text in texts), max(ord(c) for text in texts for c in text)])


def reconstructed_url(environ, start_response):
    """The algorithm of PEP 3333, section "URL Reconstruction"."""
    url = environ["wsgi.url_scheme"] + "://"
    if environ.get("HTTP_HOST"):
        url += environ["HTTP_HOST"]
    else:
        url += environ["SERVER_NAME"]
        if environ["SERVER_PORT"] != {"https": "443", "http": "80"}[environ["wsgi.url_scheme"]]:
            url += ":" + environ["SERVER_PORT"]
    url += urllib.parse.quote(environ["SCRIPT_NAME"], encoding="latin-1")
    url += urllib.parse.quote(environ["PATH_INFO"], encoding="latin-1")
    if environ.get("QUERY_STRING"):
        url += "?" + environ["QUERY_STRING"]
    return answer(start_response, url)


# start_response()


def start(environ, start_response):
    """Calls start_response with the arguments of the query, and reports what it does."""
    arguments, named = arguments_of(environ)
    outcome = outcome_of(start_response, *arguments, **named)
    if not outcome[0]:
        return [b"accepted"]
    return answer(start_response, outcome)


def start_with_text_of_its_own_class(environ, start_response):
    class Text(str):
        pass

    start_response(Text("200 OK"), [(Text("X-Text"), Text("of its own"))])
    return [b"accepted"]


def write_is_returned(environ, start_response):
    write = start_response("200 OK", TEXT, None)
    wrong = [outcome_of(write)[0], outcome_of(write, b"a", b"b")[0], outcome_of(write, "text")[0]]
    write(json.dumps([callable(write), wrong, repr(write(b""))]).encode())
    return []


def second_call(environ, start_response):
    start_response("200 OK", TEXT)
    outcome = outcome_of(start_response, "200 OK", TEXT)
    yield json.dumps(outcome).encode()


def failing():
    raise LookupError("the one that was given")


def exc_info_after_head(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun;"
    try:
        failing()
    except LookupError as error:
        given, information = error, sys.exc_info()
    try:
        start_response("500 Sorry", TEXT, information)
        yield b"nothing raised"
    except LookupError as raised:
        names, traceback = [], raised.__traceback__
        while traceback:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        yield json.dumps([raised is given, "failing" in names]).encode()


def exc_info_before_head(environ, start_response):
    """Empty strings send nothing, so that the answer can still be replaced, more than once."""
    start_response("200 OK", TEXT + [("X-First", "yes")])(b"")
    yield b""
    for number in (2, 3):
        try:
            failing()
        except LookupError:
            start_response("503 Replaced", TEXT + [("X-Number", str(number))], sys.exc_info())
        yield b""
    yield b"replaced"


def exc_info_of_a_bad_head(environ, start_response):
    """A head that is refused leaves the one before it."""
    start_response("200 OK", TEXT + [("X-First", "yes")])
    try:
        failing()
    except LookupError:
        outcome = outcome_of(start_response, "no status", TEXT, sys.exc_info())
    yield json.dumps(outcome).encode()


leaving = []


def exc_info_is_not_kept(environ, start_response):
    """Neither the traceback nor the frame in it, which refers to the traceback, outlives the request."""

    class Local:
        pass

    local = Local()
    leaving.append(weakref.ref(local))
    try:
        failing()
    except LookupError:
        information = sys.exc_info()
        start_response("200 OK", TEXT, information)
    return [b"x"]


def what_was_kept(environ, start_response):
    gc.collect()
    return answer(start_response, [len(leaving), sum(reference() is not None for reference in leaving)])


def nothing_before_data(environ, start_response):
    """Empty strings until the file of the query is there."""
    start_response("200 OK", TEXT)(b"")
    yield b""
    open(environ["QUERY_STRING"] + ".waiting", "w").close()
    wait_for_file(environ["QUERY_STRING"])
    yield b""
    yield b"data"


def no_data_at_all(environ, start_response):
    start_response("202 Nothing", TEXT + [("X-Empty", "yes")])
    yield b""
    yield b""


def start_in_last_step(environ, start_response):
    """start_response may come as late as the end of an iteration without data."""
    yield b""
    start_response("202 Late", TEXT)


# Iterables


class ListWithItsOwnIter(list):
    def __iter__(self):
        return iter([b"own ", b"iter"])


class TupleWithItsOwnIter(tuple):
    def __iter__(self):
        return iter([b"own ", b"iter"])


class OnlyGetItem:
    def __getitem__(self, index):
        return [b"own ", b"iter"][index]


class LengthOne:
    def __len__(self):
        return 1

    def __iter__(self):
        yield b"own iter"


class LengthRaises:
    def __len__(self):
        raise RuntimeError("no length")

    def __iter__(self):
        yield b"own "
        yield b"iter"


class OnlyNext:
    def __init__(self):
        self.items = iter([b"own ", b"iter"])

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)


class FalseIterable(LengthRaises):
    def __bool__(self):
        return False

    def __len__(self):
        return 2


ITERABLES = {
    "list_with_its_own_iter": lambda: ListWithItsOwnIter([b"not this"]),
    "tuple_with_its_own_iter": lambda: TupleWithItsOwnIter([b"not this"]),
    "only_getitem": OnlyGetItem,
    "length_one": LengthOne,
    "length_raises": LengthRaises,
    "only_next": OnlyNext,
    "false_iterable": FalseIterable,
    "map": lambda: map(bytes, [b"own ", b"iter"]),
    "set": lambda: {b"own iter"},
    "dict_keys": lambda: {b"own ": 1, b"iter": 2},
    "bytes_io": lambda: io.BytesIO(b"own iter"),
    "one_tuple": lambda: (b"own iter",),
    "list_of_empties": lambda: [b"", b"own iter", b""],
    "subclass_of_bytes": lambda: [type("Bytes", (bytes,), {})(b"own iter")],
}


def iterable(environ, start_response):
    start_response("200 OK", TEXT)
    return ITERABLES[arguments_of(environ)]()


ITEMS = {
    "str": "text", "bytearray": bytearray(b"data"), "memoryview": memoryview(b"data"), "int": 5, "None": None,
    "float": 1.5, "list": [b"data"], "empty_str": "", "zero": 0,
}  # fmt: skip


def item(environ, start_response):
    start_response("200 OK", TEXT)
    return [ITEMS[arguments_of(environ)]]


def item_after_data(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"data"
    yield ITEMS[arguments_of(environ)]


def item_written(environ, start_response):
    outcome = outcome_of(start_response("200 OK", TEXT), ITEMS[arguments_of(environ)])
    return [json.dumps(outcome).encode()]


NO_ITERABLES = {"None": None, "int": 5, "function": len, "object": object(), "true": True, "bytes": b"data", "str": "text"}


def no_iterable(environ, start_response):
    start_response("200 OK", TEXT)
    return NO_ITERABLES[arguments_of(environ)]


# Content-Length


def length(environ, start_response):
    lengths, pieces = arguments_of(environ)
    start_response("200 OK", TEXT + [("Content-Length", length) for length in lengths])
    return iter(pieces)


class Endless:
    steps = 0

    def __iter__(self):
        return self

    def __next__(self):
        Endless.steps += 1
        if Endless.steps > 100_000:
            raise StopIteration
        return b"12345"


def more_than_the_length(environ, start_response):
    Endless.steps = 0
    start_response("200 OK", TEXT + [("Content-Length", "12")])
    return Endless()


def steps_taken(environ, start_response):
    return answer(start_response, Endless.steps)


def written_past_the_length(environ, start_response):
    write = start_response("200 OK", TEXT + [("Content-Length", "5")])
    write(b"12345")
    print("written past the length:", outcome_of(write, b"6789"), file=sys.stderr)
    return []


# close()


class Closing:
    """Counts its close() under the name in the query; `how` says what goes wrong before it."""

    def __init__(self, how):
        self.how = how
        closed.setdefault(how, 0)

    def __iter__(self):
        if self.how == "iter_raises":
            raise RuntimeError("reason: __iter__ raised")
        return self.steps()

    def steps(self):
        if self.how == "first_raises":
            raise RuntimeError("reason: the first step raised")
        yield "text" if self.how == "wrong_item" else b"data"
        if self.how == "system_exit":
            raise SystemExit(3)
        yield b"more"

    def close(self):
        closed[self.how] += 1
        if self.how.startswith("close_raises"):
            raise RuntimeError("reason: close() raised")


class ClosingSequence(list):
    def close(self):
        closed["sequence"] += 1


def closing(environ, start_response):
    how = arguments_of(environ)
    if how == "sequence":
        closed.setdefault(how, 0)
    if how != "start_missing":
        headers = TEXT + ([("Content-Length", "100")] if how == "too_little" else [])
        start_response("200 OK", headers)
    return ClosingSequence([b"data", b"more"]) if how == "sequence" else Closing(how)


def times_closed(environ, start_response):
    return answer(start_response, closed)


def close_comes_last(environ, start_response):
    """close() writes its file only after the last piece was asked for."""

    class Last(Closing):
        finished = False

        def steps(self):
            yield b"data"
            self.finished = True

        def close(self):
            with open(arguments_of(environ), "w") as file:
                file.write("after the last step" if self.finished else "too early")

    start_response("200 OK", TEXT)
    return Last("last")


# wsgi.input and wsgi.errors


def input_calls(environ, start_response):
    """Makes the calls of the query, one after the other: [(method, arguments), ...]."""
    stream = environ["wsgi.input"]
    return answer(start_response, [outcome_of(getattr(stream, name), *given) for name, given in arguments_of(environ)])


def input_buffered(environ, start_response):
    reader = io.BufferedReader(environ["wsgi.input"], 7)
    seen = [reader.peek(1)[:1], reader.read(3), reader.readline(), reader.read(0), reader.read()]
    return answer(start_response, [piece.decode() for piece in seen])


def input_as_text(environ, start_response):
    text = io.TextIOWrapper(io.BufferedReader(environ["wsgi.input"]), encoding="utf-8", newline="")
    return answer(start_response, list(text))


def input_readinto(environ, start_response):
    stream, room, seen = environ["wsgi.input"], bytearray(8), b""
    refused = [outcome_of(stream.readinto, wrong)[0] for wrong in (b"read only", "text", None)]
    nothing = stream.readinto(bytearray())
    while count := stream.readinto(memoryview(room)[2:]):
        seen += bytes(room[2 : 2 + count])
    return answer(start_response, [refused, nothing, seen.decode()])


def input_is_its_own_iterator(environ, start_response):
    stream = environ["wsgi.input"]
    same = iter(stream) is stream
    first = next(stream)
    stream.close()
    rest = [line for line in stream]
    return answer(start_response, [same, first.decode(), [line.decode() for line in rest], outcome_of(next, stream)[0]])


def errors(environ, start_response):
    stream, mark = environ["wsgi.errors"], arguments_of(environ)
    written = stream.write(f"{mark} written\n")
    stream.writelines(iter([f"{mark} line one\n", f"{mark} line two\n"]))
    stream.buffer.write(f"{mark} bytes\n".encode())
    print(mark, "printed", file=stream, flush=True)
    wrong = [(stream.write, b"bytes"), (stream.write, None), (stream.writelines, [b"bytes"])]
    refused = [outcome_of(call, given)[0] for call, given in wrong]
    return answer(start_response, [written == len(mark) + 9, stream.flush(), refused])


def errors_after_the_request(environ, start_response):
    stream, mark = environ["wsgi.errors"], arguments_of(environ)

    def later():
        wait_for_file(mark)
        kind, _ = outcome_of(stream.write, f"{mark} afterwards\n")
        print("outcome after the request:", kind or "no exception", file=sys.stderr)

    threading.Thread(target=later).start()
    return answer(start_response, "started")


def input_after_the_request(environ, start_response):
    stream, path = environ["wsgi.input"], arguments_of(environ)

    def later():
        wait_for_file(path)
        with open(path + ".seen", "w") as file:
            file.write(outcome_of(stream.read)[0])
        os.rename(path + ".seen", path + ".outcome")

    threading.Thread(target=later).start()
    return answer(start_response, "started")


# wsgi.file_wrapper


def watched(file, name):
    """The very file object, which counts how often it was closed."""
    closed.setdefault(name, 0)
    close = file.close

    def count():
        closed[name] += 1
        close()

    file.close = count
    return file


def file(environ, start_response):
    """{"path": ..., "skip": bytes read first, "length": Content-Length, "like": kind of file object}"""
    wanted = arguments_of(environ)
    kinds = {
        "raw": lambda path: open(path, "rb", buffering=0),
        "buffered": lambda path: open(path, "rb"),
        "memory": lambda path: io.BytesIO(open(path, "rb").read()),
        "pipe": lambda path: subprocess.Popen(["cat", path], stdout=subprocess.PIPE).stdout,
        "no_fileno": lambda path: NoFileno(open(path, "rb")),
        "only_read": lambda path: OnlyRead(open(path, "rb")),
        "unreadable": Unreadable,
    }
    source = watched(kinds[wanted["like"]](wanted["path"]), wanted.get("name", "file"))
    if wanted.get("skip"):
        source.read(wanted["skip"])
    length = [("Content-Length", str(wanted["length"]))] if "length" in wanted else []
    write = start_response(wanted.get("status", "200 OK"), TEXT + length)
    if "before" in wanted:
        write(wanted["before"])
    if "block" in wanted:
        return environ["wsgi.file_wrapper"](source, wanted["block"])
    return environ["wsgi.file_wrapper"](source)


class NoFileno:
    def __init__(self, file):
        self.read, self.file, self.tell = file.read, file, file.tell

    def fileno(self):
        raise io.UnsupportedOperation("fileno")

    def close(self):
        self.file.close()


class OnlyRead:
    def __init__(self, file):
        self.read, self.close = file.read, file.close


class Unreadable:
    """A regular file that is open, but not for reading."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_WRONLY)

    def fileno(self):
        return self.descriptor

    def tell(self):
        return 0

    def read(self, size):
        return os.read(self.descriptor, size)

    def close(self):
        os.close(self.descriptor)


def file_then_deleted(environ, start_response):
    path = arguments_of(environ)
    source = open(path, "rb")
    os.unlink(path)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](source, 1000)


def file_wrapper_used_directly(environ, start_response):
    """It is an iterable like any other, also for middleware that passes it on in its own way."""
    wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"one two"), 4)
    return answer(start_response, [[block.decode() for block in wrapper], callable(wrapper.close)])


# Threads

barrier = threading.Barrier(3)


def at_once(environ, start_response):
    """Three requests meet here, so they run at the same time in one process."""
    try:
        barrier.wait(10)
    except threading.BrokenBarrierError:
        return answer(start_response, "alone")
    return answer(start_response, [os.getpid(), threading.get_ident(), environ["wsgi.multithread"]])


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
