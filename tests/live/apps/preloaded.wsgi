"""Says what its process has from its template: what was imported when, and how much memory is its own."""

import contextlib
import json
import os
import re

import mod_wsgi

FOLDER = os.environ["FOLDER"]
LARGE = os.urandom(50 << 20)
IMPORTED_BY = os.getpid()
forked = []
with open(f"{FOLDER}/imports", "a") as file:
    file.write(f"{IMPORTED_BY}\n")
if os.path.exists(f"{FOLDER}/broken"):
    raise RuntimeError("as the test asked for")


@mod_wsgi.subscribe_fork
def after_fork(name, **event):
    forked.append((name, os.getpid()))


def descriptors():
    """What they lead to; sockets left out, since each request may come on one of its own."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{number}")))
    return sorted(name for name in found if not name.startswith(("socket:", "/proc/")))


def application(environ, start_response):
    rollup = open("/proc/self/smaps_rollup").read()
    own = sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+)", rollup, re.M))
    status = open("/proc/self/status").read()
    facts = [os.getpid(), os.getppid(), IMPORTED_BY, own, forked == [("process_forked", os.getpid())]]
    facts += [os.getresuid(), os.getresgid(), os.getgroups(), re.search(r"NoNewPrivs:\s+(\d)", status)[1]]
    facts += [descriptors(), len(LARGE)]
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
