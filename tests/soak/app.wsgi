"""What tests/soak/soak.py asks for. As a request begins, one write to records/begun notes time, pid and id."""

import errno
import faulthandler
import os
import resource
import time
from pathlib import Path

import held
import ordinary

RECORDS = Path(__file__).parent / "records/begun"
DESCRIPTOR = os.open(RECORDS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)


def application(environ, start_response):
    name = environ.get("HTTP_X_REQUEST", "probe")
    os.write(DESCRIPTOR, f"{time.monotonic():.6f} {os.getpid()} {name}\n".encode())
    return PATHS[environ["PATH_INFO"]](environ, start_response, name)


# The load


def short(environ, start_response, name):
    return answer(start_response, name)


def post(environ, start_response, name):
    length = len(environ["wsgi.input"].read())
    return answer(start_response, f"{name} {length}")


def stream(environ, start_response, name):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (f"{name} {number}\n".encode() for number in range(20))


def slow(environ, start_response, name):
    time.sleep(0.3)
    return answer(start_response, name)


def answer(start_response, text):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]


def version(environ, start_response, name):
    return answer(start_response, VERSION)


def holds(environ, start_response, name):
    """Whether what this site has to itself is in this process."""
    holder = held.by()
    return answer(start_response, f"{name} held" if holder == os.getpid() else f"{name} is in {holder}")


def view(does):
    return lambda environ, start_response, name: answer(start_response, f"{name} {does()}")


# Faults


def leave(*_):
    os._exit(3)


def abort(*_):
    os.abort()


def overflow(*_):
    """The C stack of this thread."""
    faulthandler._stack_overflow()


def recurse(environ, start_response, name):
    """Python's own limit: an exception like others."""
    try:
        return recurse(environ, start_response, name)
    except RecursionError:
        return answer(start_response, "recursion ended")


def exhaust_memory(environ, start_response, name):
    """Up to virtual-memory-limit, for long enough that other requests meet it."""
    held = []
    try:
        for size in (1 << 26, 1 << 20, 1 << 12):
            fill(held, size)
        time.sleep(0.05)
        text = f"exhausted after {len(held)} pieces"
    finally:
        del held
    return answer(start_response, text)


def fill(held, size):
    try:
        while len(held) < 1 << 16:
            held.append(bytes(size))
    except MemoryError:
        pass


def exhaust_descriptors(environ, start_response, name):
    """No further file can be opened in this process for 0.3 s."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
        time.sleep(0.3)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return answer(start_response, f"exhausted after {len(held)} files")


PATHS = {
    "/short": short, "/post": post, "/stream": stream, "/slow": slow, "/version": version, "/holds": holds,
    "/exit": leave, "/abort": abort, "/overflow": overflow, "/recurse": recurse,
    "/memory": exhaust_memory, "/descriptors": exhaust_descriptors,
    **{path: view(does) for path, does in ordinary.VIEWS.items()},
}  # fmt: skip
