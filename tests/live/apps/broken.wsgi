"""Applications that break, or whose requests do; the path names one, the query says how."""

import json
import os
import signal
import sys
import threading
import time

TEXT = [("Content-Type", "text/plain")]


def answer(start_response, value):
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def process(environ, start_response):
    return answer(start_response, os.getpid())


# Bodies


def read_unhandled(environ, start_response):
    data = environ["wsgi.input"].read()
    return answer(start_response, len(data))


def read_after_output(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun"
    yield environ["wsgi.input"].read()


def read_handled(environ, start_response):
    """Reads on after the error, in every way, and answers what became of it."""
    stream, outcomes = environ["wsgi.input"], []
    last = (lambda: next(stream), lambda: stream.read(1), lambda: stream.readinto(bytearray(9)))
    for read in (stream.read, stream.readline, stream.readlines, *last):
        try:
            read()
            outcomes.append("")
        except Exception as error:
            outcomes.append(type(error).__name__)
    return answer(start_response, outcomes)


def read_in_pieces(environ, start_response):
    """What came before the error is the application's."""
    data, outcome = b"", "end"
    try:
        while piece := environ["wsgi.input"].read(1):
            data += piece
    except OSError:
        outcome = "OSError"
    return answer(start_response, [data.decode(), outcome])


def read_converted(environ, start_response):
    """What frameworks do: an exception of their own in the place of ours."""
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        raise ValueError("reason: the framework's own") from error


def read_and_tell(environ, start_response):
    """Writes into the file of the query what became of the body."""
    path = environ["QUERY_STRING"]
    open(path + ".reading", "w").close()
    try:
        outcome = f"{len(environ['wsgi.input'].read())} bytes"
    except Exception as error:
        outcome = type(error).__name__
    with open(path + ".new", "w") as file:
        file.write(outcome)
    os.rename(path + ".new", path)
    return answer(start_response, outcome)


# Exceptions


class StrRaises(Exception):
    def __str__(self):
        raise RuntimeError("__str__ raised")

    __repr__ = __str__


class StrIsNoString(Exception):
    def __str__(self):
        return 5


class StrExits(Exception):
    def __str__(self):
        raise SystemExit("from __str__")


def recurse():
    return recurse() + 1


def recursion(_):
    recurse()


def own_cause(mark):
    error = RuntimeError(mark)
    error.__cause__ = error
    error.__context__ = error
    raise error


def chained(mark):
    try:
        raise KeyError("the first")
    except KeyError:
        raise RuntimeError(mark)


def raising(kind):
    def raise_it(mark):
        raise kind(mark)

    return raise_it


def not_an_exception(_):
    raise "text"


WAYS = {
    "plain": raising(RuntimeError),
    "system_exit": raising(SystemExit),
    "exit_zero": lambda _: sys.exit(0),
    "keyboard_interrupt": raising(KeyboardInterrupt),
    "generator_exit": raising(GeneratorExit),
    "stop_iteration": raising(StopIteration),
    "base_exception": raising(BaseException),
    "recursion": recursion,
    "memory": raising(MemoryError),
    "no_memory": lambda _: bytes(1 << 60),
    "str_raises": raising(StrRaises),
    "str_is_no_string": raising(StrIsNoString),
    "str_exits": raising(StrExits),
    "own_cause": own_cause,
    "chained": chained,
    "not_an_exception": not_an_exception,
    "long": lambda mark: raising(RuntimeError)(mark + "x" * 300_000),
    "lines": lambda mark: raising(RuntimeError)(f"{mark}\n\n  second line\r\nthird \0 line\n"),
    "surrogate": lambda mark: raising(RuntimeError)(mark + "\ud800\U0001f40d"),
    "syntax": lambda mark: compile("a b c", mark, "exec"),
    "unicode": lambda mark: b"\xff".decode("utf-8"),
    "os_error": raising(OSError),
}


def way_of(environ):
    way, _, mark = environ["QUERY_STRING"].partition("&")
    return WAYS[way], mark


def raises(environ, start_response):
    way, mark = way_of(environ)
    way(mark)


def lets_timeout_go(environ, start_response):
    import mod_wsgi

    raise mod_wsgi.RequestTimeout("too late")


def raises_after_start(environ, start_response):
    start_response("200 OK", TEXT)
    raises(environ, start_response)


def raises_in_first_step(environ, start_response):
    start_response("200 OK", TEXT)
    raises(environ, start_response)
    yield b"never"


class Iterator:
    """Leaves the exceptions of its steps as they are, where a generator turns StopIteration into RuntimeError."""

    def __init__(self, environ):
        self.environ, self.step = environ, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.step += 1
        if self.step == 1:
            return b"begun"
        raises(self.environ, None)


def raises_in_second_step(environ, start_response):
    start_response("200 OK", TEXT)
    return Iterator(environ)


def raises_after_length(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "100")])
    return Iterator(environ)


class RaisesInClose(Iterator):
    def __next__(self):
        self.step += 1
        if self.step > 2:
            raise StopIteration
        return b"data"

    def close(self):
        raises(self.environ, None)


def raises_in_close(environ, start_response):
    start_response("200 OK", TEXT)
    return RaisesInClose(environ)


def raises_in_finally(environ, start_response):
    """The first exception is lost to the second, as Python has it."""
    start_response("200 OK", TEXT)
    try:
        yield b"begun"
        raise KeyError("lost")
    finally:
        raises(environ, start_response)


def raises_twice(environ, start_response):
    """In the iteration, and then in close()."""

    class Both(Iterator):
        def close(self):
            raise LookupError(f"{way_of(environ)[1]}-in-close")

    start_response("200 OK", TEXT)
    return Both(environ)


class RaisesInDel:
    def __del__(self):
        raise RuntimeError("in __del__")


def raises_in_del(environ, start_response):
    start_response("200 OK", TEXT)
    return [RaisesInDel() and b"data"]


def raises_in_thread(environ, start_response):
    way, mark = way_of(environ)
    thread = threading.Thread(target=way, args=(mark,))
    thread.start()
    thread.join()
    return answer(start_response, "done")


def exc_info(environ, start_response):
    """Gives start_response what is no exc_info."""
    junk = [
        ("a", "b", "c"), (1, 2), (), [], "junk", 5, object(), (ValueError, "no exception", None),
        (ValueError, ValueError, None), (type, type, type), ((), (), ()),
    ]  # fmt: skip
    outcomes = []
    for given in junk:
        try:
            start_response("200 OK", TEXT, given)
            outcomes.append("")
        except BaseException as error:
            outcomes.append(type(error).__name__)
    return answer(start_response, outcomes)


def empty_exc_info(environ, start_response):
    """What sys.exc_info() gives where nothing is being handled."""
    start_response("200 OK", TEXT, (None, None, None))
    return [b"accepted"]


def exc_info_with_junk_after_head(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun;"
    outcomes = []
    no_traceback = (ValueError, ValueError("x"), "no traceback")
    for given in (("a", "b", "c"), (ValueError, "no exception", None), no_traceback, (1, 2, 3, 4)):
        try:
            start_response("500 Sorry", TEXT, given)
            outcomes.append("")
        except BaseException as error:
            outcomes.append(type(error).__name__)
    yield json.dumps(outcomes).encode()


def own_types(environ, start_response):
    """Types of ours that nobody can make an instance of, nor break by calling their methods on something else."""
    write = start_response("200 OK", TEXT)
    outcomes = []
    for thing in (environ["wsgi.input"], environ["wsgi.errors"], start_response, write):
        kind = type(thing)
        for attempt in (
            lambda: kind(),
            lambda: kind(1, 2),
            lambda: kind.__new__(kind),
            lambda: object.__new__(kind),
            lambda: getattr(kind, "write", getattr(kind, "read", kind.__call__))(object()),
            lambda: type("Derived", (kind,), {})(),
        ):
            try:
                attempt()
                outcomes.append(f"{kind.__name__} made")
            except (TypeError, AttributeError):
                outcomes.append("TypeError")
    return [json.dumps(sorted(set(outcomes))).encode()]


# Processes


def killed_before_head(environ, start_response):
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


def killed_in_body(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun"
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


def forks(environ, start_response):
    """The child writes and ends after the parent has answered."""
    path, mark = environ["QUERY_STRING"].split("&")
    child = os.fork()
    if child == 0:
        print(mark, "from the child", file=sys.stderr, flush=True)
        environ["wsgi.errors"].write(f"{mark} by wsgi.errors of the child\n")
        end = time.monotonic() + 10
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.01)
        os.write(2, f"{mark} the child ends\n".encode())
        os._exit(0)
    threading.Thread(target=os.waitpid, args=(child, 0)).start()
    return answer(start_response, "from the parent")


def forks_and_returns(environ, start_response):
    """The child goes on as if it were the server's."""
    child = os.fork()
    if child == 0:
        start_response("500 From The Child", TEXT)
        return [b"from the child"]
    os.waitpid(child, 0)
    return answer(start_response, "from the parent")


def forks_and_reads(environ, start_response):
    child = os.fork()
    if child == 0:
        try:
            environ["wsgi.input"].read()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return answer(start_response, environ["wsgi.input"].read().decode())


def finally_after_disconnect(environ, start_response):
    """A generator whose client goes away is closed like every other."""
    start_response("200 OK", TEXT)
    try:
        for _ in range(5000):
            yield b"x" * 65536
            time.sleep(0.002)
    finally:
        open(environ["QUERY_STRING"], "w").close()


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
