"""HTTP by hand: exact bytes out, and an answer that also says whether it arrived whole.

Used where a proper client would tidy up what is to be tested: odd header names, chunked bodies,
answers that are cut short, connections that must stay open or be closed.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool
    closed: bool

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Connection:
    """One connection to a port of the loopback interface; answers are read one after the other."""

    def __init__(self, port: int, timeout: float = 20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; to be called when the one before has been read."""
        response = http.client.HTTPResponse(self.socket, method=method)
        try:
            response.begin()
            body, complete = _body(response)
            return Answer(
                response.status, response.reason, response.getheaders(), body, complete, self._ended(response)
            )
        finally:
            response.close()

    def _ended(self, response: http.client.HTTPResponse) -> bool:
        return response.will_close or not response.isclosed()

    def closed_by_server(self, within: float = 5) -> bool:
        """Whether the server closes the connection within this time."""
        self.socket.settimeout(within)
        with contextlib.suppress(TimeoutError):
            try:
                return self.socket.recv(1) == b""
            except ConnectionError:
                return True
        return False


def exchange(port: int, request: bytes, timeout: float = 20) -> Answer:
    """Send these bytes on a new connection and read one answer."""
    with Connection(port, timeout) as connection:
        connection.send(request)
        return connection.answer(request.split(b" ", 1)[0].decode())


def get(port: int, path: str, *headers: str, method: str = "GET", host: str = "localhost") -> Answer:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return exchange(port, "\r\n".join(lines).encode("latin-1"))


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _body(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    pieces = []
    try:
        while piece := response.read1(65536) if not response.chunked else response.read(65536):
            pieces.append(piece)
    except http.client.IncompleteRead as cut:
        return b"".join([*pieces, cut.partial]), False
    except (ConnectionError, ValueError):
        return b"".join(pieces), False
    whole = response.length in (None, 0)
    return b"".join(pieces), whole
