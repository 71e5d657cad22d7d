"""A site that speaks the wire itself: after /take-over its own code accepts the connections of httpd's children.

It answers each with the steps of the request's header X-Plan, which tests/harness/wire.py makes: base64 of a deflated
JSON list. A request without a plan gets an ordinary answer in the same way.
"""

import base64
import json
import os
import re
import select
import socket
import struct
import tempfile
import threading
import time
import zlib

HELLO, HEAD, DATA, END = 16, 17, 18, 21
kept = []  # what must stay open
always = []  # steps for each connection, in place of those of its requests, which are left unread
lock = threading.Lock()


def frame(kind, payload=b""):
    return struct.pack("<II", len(payload), kind) + payload


def string(text):
    return struct.pack("<I", len(text)) + text


ORDINARY = [
    ["send", base64.b64encode(data).decode()]
    for data in (
        frame(HEAD, string(b"200 OK") + struct.pack("<I", 1) + string(b"Content-Length") + string(b"4")),
        frame(DATA, b"wire"),
        frame(END, struct.pack("<IQQ", 0, 0, 0)),
    )
]


def unix_sockets(listening):
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        of_unix = found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM
        if of_unix and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == listening and found.getsockname():
            yield int(name), found


def take_over():
    """From now on the daemon's own threads hear of no connection."""
    for number, listener in list(unix_sockets(listening=True)):
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{name}") != "anon_inode:[eventpoll]":
                    continue
                events = select.epoll.fromfd(int(name))
                kept.append(events)
                events.unregister(number)
            except OSError:
                continue
        threading.Thread(target=accept, args=[listener], daemon=True).start()
    threading.Thread(target=end_connections, daemon=True).start()


def end_connections():
    """Those that the daemon had before; the answer that tells of the take-over has left by then."""
    time.sleep(0.2)
    for _, connection in list(unix_sockets(listening=False)):
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def accept(listener):
    while True:
        select.select([listener], [], [])
        try:
            connection, _ = listener.accept()
        except OSError:
            continue
        connection.setblocking(True)
        threading.Thread(target=serve, args=[connection], daemon=True).start()


def serve(connection):
    greet = True
    try:
        receive(connection)  # the socket's secret
        for step in always:
            do(connection, *step)
        while not always and (request := receive(connection)) is not None:
            found = re.search(rb"HTTP_X_PLAN([A-Za-z0-9_-]+=*)", request)
            steps = json.loads(zlib.decompress(base64.urlsafe_b64decode(found[1]))) if found else ORDINARY
            if greet and ["no greeting"] not in steps:
                connection.sendall(frame(HELLO, struct.pack("<III", 0, 0, os.getpid())))
            greet = False
            # Descriptors take time to make: what is passed at the end of a plan follows at once.
            steps = [made(*step) if step[0] == "pass" else step for step in steps]
            for step in steps:
                do(connection, *step)
    except OSError:
        pass
    connection.close()


def receive(connection):
    """The payload of the next frame; None at the end."""
    header = exactly(connection, 8)
    return exactly(connection, struct.unpack("<I", header[:4])[0]) if header else None


def exactly(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            return None
        data += piece
    return data


def made(_name, data, names):
    return ["pass made", data, [made_of(name) for name in names]]


def made_of(name):
    """`file PATH` for a file that is there."""
    return os.open(name[5:], os.O_RDONLY) if name.startswith("file ") else DESCRIPTORS[name]()


def do(connection, name, *arguments):
    if name == "send":
        connection.sendall(base64.b64decode(arguments[0]))
    elif name == "pass":
        do(connection, *made(name, *arguments))
    elif name == "pass made":
        data, numbers = arguments
        socket.send_fds(connection, [base64.b64decode(data)], numbers)
        for number in numbers:
            os.close(number)
    elif name == "fill":
        header, size = base64.b64decode(arguments[0]), arguments[1]
        connection.sendall(header)
        while size > 0:
            size -= connection.send(b"x" * min(size, 1 << 20))
    elif name == "repeat":
        for _ in range(arguments[0]):
            for step in arguments[1]:
                do(connection, *step)
    elif name == "receive":
        receive(connection)
    elif name == "pause":
        time.sleep(arguments[0])
    elif name == "note":
        with open(arguments[0], "a") as notes:
            notes.write(f"{time.time()}\n")
    elif name == "always":
        always.extend(arguments[0])
    elif name == "close":
        connection.shutdown(socket.SHUT_RDWR)


def lingering():
    """A socket that takes a minute to close: its peer does not read what was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.connect(listener.getsockname())
        kept.append(listener.accept()[0])
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    ours.settimeout(0.1)
    try:
        while True:
            ours.send(b"x" * 65536)
    except TimeoutError:
        return ours.detach()


def fifo():
    path = tempfile.mktemp()
    os.mkfifo(path)
    try:
        return os.open(path, os.O_RDWR)
    finally:
        os.unlink(path)


def pipe():
    reader, writer = os.pipe()
    kept.append(writer)
    return reader


def regular(flags=os.O_RDONLY, size=100_000):
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"f" * size)
        file.flush()
        return os.open(file.name, flags)


def memory():
    number = os.memfd_create("memory")
    os.write(number, b"f" * 100_000)
    return number


def pair():
    one, other = socket.socketpair()
    kept.append(other)
    return one.detach()


def epoll():
    with select.epoll() as events:
        return os.dup(events.fileno())


DESCRIPTORS = {
    "regular": regular,
    "short": lambda: regular(size=10),
    "write only": lambda: regular(os.O_WRONLY),
    "O_PATH": lambda: regular(os.O_PATH),
    "memory": memory,
    "lingering": lingering,
    "fifo": fifo,
    "pipe": pipe,
    "pair": pair,
    "event": lambda: os.eventfd(0) if hasattr(os, "eventfd") else pipe(),
    "epoll": epoll,
    "zero": lambda: os.open("/dev/zero", os.O_RDONLY),
    "null": lambda: os.open("/dev/null", os.O_RDONLY),
    "terminal": lambda: os.openpty()[1],
    "directory": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
    "proc": lambda: os.open("/proc/self/maps", os.O_RDONLY),
    "listener": lambda: next(unix_sockets(listening=True))[1].detach(),
}


def application(environ, start_response):
    with lock:
        if environ["PATH_INFO"] == "/take-over" and not kept:
            take_over()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"not taken over"]
