"""What passes between a daemon and httpd's children, as src/wire has it: for a site that speaks it itself (apps/wire.wsgi).

A plan is a list of steps; the frames here are steps of it.
"""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import zlib

import http.client

import raw_http
from httpd import Httpd
from waiting import wait_for

KINDS = {
    "Request": 1, "Body": 2, "BodyEnd": 3, "BodyFailed": 4, "Secret": 5, "Hello": 16, "Head": 17, "Data": 18, "Log": 19, "Want": 20,
    "End": 21, "File": 22, "GiveBack": 23, "Verdict": 24,
}  # fmt: skip
HELLO = b"Hello, world!"  # what apps/hello.wsgi answers

# The site may pass descriptors.
CONFIGURATION = """
WSGIDaemonProcess good python-home=@PYTHON@ threads=5
WSGIDaemonProcess evil python-home=@PYTHON@ threads=2 socket-timeout=5
<IfModule !mpm_prefork_module>
    MaxRequestWorkers 25
    MinSpareThreads 1
    MaxSpareThreads 25
</IfModule>
<VirtualHost *:@PORT@>
    ServerName good.example
    WSGIScriptAlias / @APPS@/hello.wsgi process-group=good application-group=%{GLOBAL}
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName evil.example
    WSGIEnableSendfile On
    WSGIScriptAlias / @APPS@/wire.wsgi process-group=evil application-group=%{GLOBAL}
</VirtualHost>
"""


def send(data: bytes) -> list:
    return ["send", base64.b64encode(data).decode()]


def raw(kind: str | int, payload: bytes = b"", length: int | None = None) -> bytes:
    number = KINDS.get(kind, kind)
    return struct.pack("<II", len(payload) if length is None else length, number) + payload


def frame(kind: str | int, payload: bytes = b"") -> list:
    return send(raw(kind, payload))


def string(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


def head(status: bytes = b"200 OK", *headers: tuple[bytes, bytes]) -> list:
    pairs = b"".join(string(name) + string(value) for name, value in headers)
    return frame("Head", string(status) + struct.pack("<I", len(headers)) + pairs)


def length(number: int) -> tuple[bytes, bytes]:
    return b"Content-Length", str(number).encode()


def data(content: bytes) -> list:
    return frame("Data", content)


def log(line: bytes, level: int = 1) -> list:
    return frame("Log", bytes([level]) + line)


def want(most: int) -> list:
    return frame("Want", struct.pack("<I", most))


def end(status: int = 0) -> list:
    return frame("End", struct.pack("<IQQ", status, 0, 0))


def file(size: int, *descriptors: str, offset: int = 0) -> list:
    frame = raw("File", struct.pack("<QQ", offset, size))
    return ["pass", base64.b64encode(frame).decode(), list(descriptors)] if descriptors else send(frame)


def passing(step: list, *descriptors: str) -> list:
    """The bytes of another step, with descriptors."""
    return ["pass", step[1], list(descriptors)]


def fill(kind: str | int, size: int, prefix: bytes = b"", announced: int | None = None) -> list:
    """A frame of so many x."""
    whole = len(prefix) + size if announced is None else announced
    return ["fill", base64.b64encode(raw(kind, prefix, whole)).decode(), size]


def repeat(times: int, *steps: list) -> list:
    return ["repeat", times, list(steps)]


def header(plan: list) -> str:
    return "X-Plan: " + base64.urlsafe_b64encode(zlib.compress(json.dumps(plan).encode(), 9)).decode()


def take_over(server: Httpd) -> Httpd:
    """Returns when the site answers by itself."""

    def answers() -> bool:
        return ask(server, "/take-over").body == b"wire"

    wait_for(answers, "the site speaks the wire itself")
    return server


def ask(server: Httpd, path: str = "/", plan: list | None = None, method: str = "GET") -> raw_http.Answer:
    extra = [header(plan)] if plan is not None else []
    return raw_http.get(server.ports["PORT"], path, *extra, "Connection: close", host="evil.example", method=method)


def pipelined(server: Httpd, plan: list, canaries: int = 2, method: str = "GET", port: str = "PORT") -> Stream:
    """The plan's answer, and those of another virtual host to requests behind it on the same connection."""
    request = f"{method} / HTTP/1.1\r\nHost: evil.example\r\n{header(plan)}\r\n\r\n"
    for number in range(canaries):
        last = "Connection: close\r\n" if number == canaries - 1 else ""
        request += f"GET /{number} HTTP/1.1\r\nHost: good.example\r\n{last}\r\n"
    received = b""
    with raw_http.Connection(server.ports[port]) as connection:
        connection.send(request.encode())
        try:
            while piece := connection.socket.recv(1 << 20):
                received += piece
        except ConnectionError:
            pass
    return Stream(received, method)


class Stream:
    """All that came on a connection, read as a client reads it."""

    def __init__(self, received: bytes, method: str) -> None:
        self.file = io.BytesIO(received)
        self.first = self._next(method)
        self.canaries = []
        while self.first and self.first[2] and self.file.tell() < len(received):
            self.canaries.append(self._next("GET"))

    def makefile(self, _mode: str) -> Stream:
        return self

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def close(self) -> None:
        pass

    def _next(self, method: str) -> tuple[int, bytes, bool] | None:
        """Status, body, and whether that was whole."""
        answer = http.client.HTTPResponse(self, method=method)
        try:
            answer.begin()
        except (http.client.HTTPException, ConnectionError):
            return None
        try:
            return answer.status, answer.read(), answer.length in (None, 0)
        except http.client.IncompleteRead as cut:
            return answer.status, cut.partial, False

    def check(self) -> None:
        """No answer of the other host's was changed; where it got none, the connection was cut before."""
        assert all(answer == (200, HELLO, True) for answer in self.canaries), self.file.getvalue()[:1000]


def refusals(log: str) -> list[str]:
    return re.findall(r"WSGI234.*", log)
