"""Breaks its process in the ways that docs/architecture.md has in its table of faults; otherwise answers its pid."""

import atexit
import contextlib
import ctypes
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

FOLDER = os.environ["FOLDER"]
kept = []


def segmentation_fault():
    ctypes.string_at(0)


def overflow_in_c():
    comparison = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: comparison())
    sys.setrecursionlimit(1 << 30)
    comparison()


def recurse():
    return recurse()


def exhaust_memory():
    while True:
        kept.append(bytearray(1 << 24))


def exhaust_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = [os.open(f"{FOLDER}/exhausted", os.O_CREAT)]
    try:
        while True:
            held.append(os.dup(held[0]))
    except OSError:
        pass
    while not os.path.exists(f"{FOLDER}/go-on"):
        time.sleep(0.01)
    for descriptor in held:
        os.close(descriptor)


def never_end():
    threading.Thread(target=time.sleep, args=(60,)).start()
    atexit.register(time.sleep, 60)


def leave_a_stray():
    subprocess.Popen(["sleep", "60"], start_new_session=True)


def connections():
    """The process's own ends of its connections to httpd's children."""
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            peer = socket.socket(fileno=os.dup(number))
            if peer.family == socket.AF_UNIX and peer.type == socket.SOCK_STREAM:
                peer.getpeername()
                yield peer


def send_descriptors():
    """To httpd's child, in the middle of a frame that is announced as large."""
    held = os.open("/dev/null", os.O_RDONLY)
    for peer in connections():
        with contextlib.suppress(OSError):
            peer.settimeout(0.1)
            peer.sendall(struct.pack("<II", 60 << 20, 18))
            for _ in range(500):
                socket.send_fds(peer, [b"x"], [held])


WAYS = {
    "/stray": leave_a_stray,
    "/send-descriptors": send_descriptors,
    "/segv": segmentation_fault,
    "/overflow": overflow_in_c,
    "/kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "/exit": lambda: os._exit(3),
    "/abort": os.abort,
    "/sys-exit": sys.exit,
    "/recurse": recurse,
    "/memory": exhaust_memory,
    "/descriptors": exhaust_descriptors,
    "/never-end": never_end,
}


def application(environ, start_response):
    if environ["PATH_INFO"] in WAYS:
        try:
            WAYS[environ["PATH_INFO"]]()
        finally:
            kept.clear()
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
