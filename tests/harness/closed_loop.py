"""A closed loop of keep-alive clients: each sends its next request as soon as the answer before has come.

Run as a process of its own by tests/bench/faults.py and tests/soak/soak.py, so that it disturbs nobody's clock and
costs little: raw sockets on one epoll set, and no more of HTTP than httpd's answers need. `Load` starts it with a
description (JSON) and collects the report: how each request ended that did not end well, and how long they took.

A description: port, clients, seconds (or until told to end), timeout, retry, and requests: a list of
{name, weight, method, path, size, expect}. `{id}` in an expected body stands for the request's id, which goes out as
X-Request. With `retry`, a request on a used keep-alive connection that is closed before any byte of the answer is sent
once more on a fresh one, as browsers do (HTTP allows a server to close an idle connection at any time); these are
counted apart. Times are those of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import signal
import socket
import subprocess
import sys
import time

SLOWEST = 20  # so many of the slowest requests are reported


class Load:
    """The other side: a load that runs beside the caller until `report()`."""

    def __init__(self, **description):
        self.child = subprocess.Popen(
            [sys.executable, __file__, json.dumps(description)],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.began = float(self.child.stdout.readline())

    def running(self):
        return self.child.poll() is None

    def end(self):
        """No further requests; the report comes when those that run have been answered."""
        if self.running():
            self.child.terminate()

    def report(self):
        text = self.child.stdout.read()
        self.child.wait()
        return json.loads(text)

    def abandon(self):
        """For a caller that fails itself."""
        if self.running():
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()


class Request:
    """What a client does from one answer to the next."""

    def __init__(self, kind, identity):
        self.kind = kind
        self.identity = identity
        self.attempt = 1
        self.began = self.sent = 0.0
        self.fresh = False

    @property
    def name(self):
        return f"{self.identity}.{self.attempt}"

    def head_and_body(self):
        lines = f"{self.kind['method']} {self.kind['path']} HTTP/1.1\r\nHost: localhost\r\nX-Request: {self.name}\r\n"
        size = self.kind["size"]
        if self.kind["method"] == "POST":
            lines += f"Content-Length: {size}\r\n"
        return f"{lines}\r\n".encode() + b"x" * size

    def expected(self):
        text = self.kind["expect"]
        return None if text is None else text.replace("{id}", self.name).encode()


class Answer:
    """Bytes of one answer, until it is whole."""

    def __init__(self):
        self.received = b""
        self.status = 0
        self.start = None
        self.length = None
        self.chunked = False
        self.closing = False
        self.body = None

    def feed(self, data):
        """Whether the answer is whole now."""
        self.received += data
        if self.start is None and not self._head():
            return False
        if self.chunked:
            self.body = unchunked(self.received, self.start) if self.received.endswith(b"0\r\n\r\n") else None
        elif self.length is not None and len(self.received) - self.start >= self.length:
            self.body = self.received[self.start :]
        return self.body is not None

    def ends_here(self):
        """Whether the end of the connection is the end of the answer."""
        if self.start is None or self.chunked or self.length is not None:
            return False
        self.body = self.received[self.start :]
        return True

    def _head(self):
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.start = end + 4
        head = self.received[:end].lower()
        self.status = int(head[9:12])
        self.chunked = b"\r\ntransfer-encoding: chunked" in head
        self.closing = b"\r\nconnection: close" in head
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            self.length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return True


def unchunked(text, position):
    """The body, or None while it is not whole."""
    pieces = []
    while (end := text.find(b"\r\n", position)) >= 0:
        size = int(text[position:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(text[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
    return None


class Client:
    """One connection after the other, one request after the other."""

    def __init__(self, loop):
        self.loop = loop
        self.socket = None
        self.request = None

    def next(self):
        self.request = self.loop.new_request()
        if self.request:
            self.request.began = time.monotonic()
            self._send()
        else:
            self._close()

    def _send(self):
        self.request.sent = time.monotonic()
        self.request.fresh = self.socket is None
        self.answer = Answer()
        self.unsent = self.request.head_and_body()
        try:
            if self.socket is None:
                self._connect()
        except OSError as error:
            self.loop.failed(self, f"{type(error).__name__} at connect")
            self.loop.later.append(self)
            return
        try:
            self.write()
        except OSError as error:
            self._broken(type(error).__name__)

    def _connect(self):
        fresh = socket.create_connection(("127.0.0.1", self.loop.port), 10)
        fresh.setblocking(False)
        fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = fresh
        self.port = self.socket.getsockname()[1]
        self.loop.watch(self)

    def _close(self):
        if self.socket is not None:
            self.loop.forget(self)
            self.socket.close()
            self.socket = None

    def write(self):
        with contextlib.suppress(BlockingIOError):
            sent = self.socket.send(self.unsent)
            self.unsent = self.unsent[sent:]
        self.loop.watch_for_room(self, bool(self.unsent))

    def happened(self, events):
        try:
            # What the server has said counts for more than that it takes no more.
            data = self.socket.recv(262144) if events & ~select.EPOLLOUT else None
            if data:
                if self.answer.feed(data):
                    self._answered()
            elif data == b"":
                self._answered() if self.answer.ends_here() else self._broken("closed")
            elif self.unsent:
                self.write()
        except BlockingIOError:
            pass
        except OSError as error:
            self._broken(type(error).__name__)

    def _answered(self):
        answer, expected = self.answer, self.request.expected()
        if answer.status != 200:
            self.loop.failed(self, f"status {answer.status}")
        elif expected is not None and answer.body != expected:
            self.loop.failed(self, "wrong body", f"{len(answer.body)} bytes: {answer.body[:60]!r}")
        else:
            self.loop.succeeded(self)
        if answer.closing or answer.length is None and not answer.chunked or self.unsent:
            self._close()
        self.next()

    def _broken(self, how):
        request, received = self.request, len(self.answer.received)
        self._close()
        if self.loop.retry and not received and not request.fresh and request.attempt == 1:
            self.loop.retried(self)
            request.attempt = 2
            self._send()
            return
        # A head without a body is not yet an answer to its reader, but the status is known.
        what = f"{how} before any answer" if not received else f"cut ({self.answer.status})"
        self.loop.failed(self, what, f"{how} after {received} bytes")
        self.next()

    def gave_up(self):
        received = len(self.answer.received)
        self._close()
        self.loop.failed(self, "timeout", f"{received} bytes received")
        self.next()


class Loop:
    def __init__(self, description):
        self.port = description["port"]
        self.retry = description.get("retry", False)
        self.timeout = description.get("timeout", 30)
        self.kinds = [{"weight": 1, "method": "GET", "size": 0, "expect": None} | k for k in description["requests"]]
        self.weights = [kind["weight"] for kind in self.kinds]
        self.random = random.Random(description.get("seed"))
        self.poll = select.epoll()
        self.by_descriptor = {}
        self.waiting_for_room = set()
        self.later = []  # clients whom nobody let in
        self.counts = {kind["name"]: 0 for kind in self.kinds}
        self.number = 0
        self.failures, self.retries, self.slow = [], [], []
        self.bound = 0.0
        self.clients = [Client(self) for _ in range(description.get("clients", 8))]
        self.seconds = description.get("seconds") or 1e9

    def run(self):
        began = time.monotonic()
        print(began, flush=True)
        self.deadline = began + self.seconds
        signal.signal(signal.SIGTERM, self._told_to_end)
        for client in self.clients:
            client.next()
        while self.by_descriptor or self.later:
            for descriptor, events in self.poll.poll(0.05 if self.later else 1):
                if client := self.by_descriptor.get(descriptor):
                    client.happened(events)
            self._give_up_on_late_ones()
            again, self.later = self.later, []
            for client in again:
                client.next()
        return self._report(time.monotonic() - began)

    def _told_to_end(self, *_):
        self.deadline = 0

    def _give_up_on_late_ones(self):
        limit = time.monotonic() - self.timeout
        for client in [client for client in self.clients if client.socket and client.request.sent < limit]:
            client.gave_up()

    def _report(self, seconds):
        return {
            "seconds": seconds,
            "requests": sum(self.counts.values()),
            "counts": self.counts,
            "failures": self.failures,
            "retries": self.retries,
            "slowest": sorted(self.slow, key=lambda record: -record["ms"])[:SLOWEST],
        }

    # For the clients

    def new_request(self):
        if time.monotonic() >= self.deadline:
            return None
        self.number += 1
        kind = self.kinds[0] if len(self.kinds) == 1 else self.random.choices(self.kinds, self.weights)[0]
        return Request(kind, self.number)

    def watch(self, client):
        self.by_descriptor[client.socket.fileno()] = client
        self.poll.register(client.socket, select.EPOLLIN)

    def forget(self, client):
        self.waiting_for_room.discard(client)
        self.by_descriptor.pop(client.socket.fileno(), None)
        self.poll.unregister(client.socket)

    def watch_for_room(self, client, wanted):
        if wanted != (client in self.waiting_for_room):
            self.poll.modify(client.socket, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))
            (self.waiting_for_room.add if wanted else self.waiting_for_room.discard)(client)

    def succeeded(self, client):
        self.counts[client.request.kind["name"]] += 1
        taken = time.monotonic() - client.request.began
        if taken > self.bound:
            self.slow.append(self._record(client))
            if len(self.slow) >= 10 * SLOWEST:
                self.slow = sorted(self.slow, key=lambda record: -record["ms"])[:SLOWEST]
                self.bound = self.slow[-1]["ms"] / 1000

    def failed(self, client, what, detail=""):
        self.counts[client.request.kind["name"]] += 1
        self.failures.append(self._record(client) | {"what": what, "detail": detail})
        self.slow.append(self._record(client))

    def retried(self, client):
        self.retries.append(self._record(client))

    def _record(self, client):
        request, now = client.request, time.monotonic()
        return {
            "id": request.name, "kind": request.kind["name"], "port": getattr(client, "port", 0),
            "began": request.sent, "ended": now, "ms": (now - request.began) * 1000,
        }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(Loop(json.loads(sys.argv[1])).run()))
