"""A site that is somebody else's: it writes what it likes to all that it shares with its supervisor."""

import ctypes
import os
import random
import socket
import subprocess
import sys
import time
from urllib.parse import parse_qs

REPORTS = 7
FLOOD = """
import os, sys, time
line = b'x' * int(sys.argv[1]) + b'\\n'
while not os.path.exists(sys.argv[2]):
    time.sleep(0.001)
for stream in (1, 2) * 16:
    os.write(stream, line * (65536 // len(line)))
"""
kept = []


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def text(value):
    value = value.encode()
    return varint(len(value)) + value


def loaded(script):
    """`Report::Loaded`, as postcard writes it."""
    return b"\x01" + text(script) + text("") + b"\x01"


def words(chance, number):
    """At random, and at the edges, where sums are."""
    edges = [0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 2**64 - 2]
    return b"".join(
        (chance.choice(edges) if chance.random() < 0.5 else chance.getrandbits(64)).to_bytes(8, "little") for _ in range(number)
    )


def scribble(chance, name, seconds):
    """Over the memory of this name, for so long that the supervisor looks at it meanwhile."""
    with open("/proc/self/maps") as maps:
        place = next(line.split()[0] for line in maps if f"/memfd:mod_wsgi_rs-{name} " in line)
    start, end = (int(number, 16) for number in place.split("-"))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ctypes.memmove(start, words(chance, (end - start) // 8), end - start)
        time.sleep(0.001)


def reports(chance, rounds):
    for _ in range(rounds):
        kind = chance.randrange(14)
        body = chance.choice([b"", b"\xff" * 9, words(chance, 3), text("/a") + words(chance, 2), b"\xff\xff\xff\xff\x0f" * 3])
        os.write(REPORTS, (bytes([kind]) + body)[:4000])


def flood(times, length, begins):
    """Two megabytes each, as soon as this file is there."""
    kept.extend(subprocess.Popen([sys.executable, "-S", "-c", FLOOD, length, begins]) for _ in range(times))


def linger():
    """A descriptor that takes long to close, through every socket that would take it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs = listener.accept()[0]
    kept.extend([theirs, listener])
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (30).to_bytes(4, "little") * 2)
    ours.setblocking(False)
    try:
        while True:
            ours.send(b"x" * 65536)
    except BlockingIOError:
        pass
    sent = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            other = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        try:
            if other.family == socket.AF_UNIX and other.type == socket.SOCK_SEQPACKET:
                socket.send_fds(other, [b"n"], [ours.fileno()])
                sent += 1
        except OSError:
            pass
        other.close()
    if not sent:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
    ours.close()
    return sent


def application(environ, start_response):
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    chance, said = random.Random(int(asked.get("seed", 0))), os.getpid()
    what = asked.get("do")
    if what == "activity":
        scribble(chance, "activity", float(asked.get("seconds", 0.1)))
    elif what == "page":
        scribble(chance, "group", float(asked.get("seconds", 0.1)))
    elif what == "reports":
        reports(chance, int(asked.get("times", 50)))
    elif what == "loaded":
        os.write(REPORTS, loaded(asked["path"]))
    elif what == "flood":
        flood(int(asked.get("times", 1)), asked.get("length", "1"), asked.get("begins", "/"))
    elif what == "linger":
        said = linger()
    elif what == "quiet":
        while kept:
            process = kept.pop()
            process.kill()
            process.wait()
    body = str(said).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
