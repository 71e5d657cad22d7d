"""Sends the cases to one server and notes what came back: answers as exact bytes, and what was logged meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import access_places
import proxy_cases
from cases import CONFIGURATION, MARK, Case
from machine import libexec
from private_apache import Apache, make_public

HERE = Path(__file__).resolve().parent
PATIENCE = 5  # seconds without a byte after which an answer counts as not coming
SHORT_PATIENCE = 1  # the same in the middle of an answer
MODULES = ("authn_file", "authz_host", "authz_user", "auth_basic", "auth_digest", "access_compat", "ssl", "headers", "rewrite", "setenvif")
LEVELS = ("crit", "error", "warn")


@dataclass
class Answer:
    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    end: str = "whole"  # or how it broke off: closed, reset, silent

    @property
    def interim(self) -> bool:
        return bool(re.match(r"HTTP/1\.1 1\d\d", self.status)) and not self.status.startswith("HTTP/1.1 101")


@dataclass
class Record:
    """What one case led to."""

    answers: list[Answer]
    rest: bytes  # what came after the last answer
    says: list[str]  # lines of the application in the log, with their level
    worst: str  # the worst level in the log
    tracebacks: int


class Server:
    """An Apache with this module at a given place, so that every server has the same paths and port."""

    def __init__(self, folder: Path, port: int, module: Path, venv: Path, groups: str, places: dict[str, str]):
        shutil.rmtree(folder, ignore_errors=True)
        values = {"MORE": access_places.CONFIGURATION + proxy_cases.CONFIGURATION, **places, "ROOT": folder, "PORT": port, "MODULE": module, "PYTHON": venv, "GROUPS": groups}
        text = "".join(f"<IfModule !{m}_module>\nLoadModule {m}_module {libexec()}/mod_{m}.so\n</IfModule>\n" for m in MODULES)
        text += CONFIGURATION
        for word, value in values.items():
            text = text.replace(f"@{word}@", str(value).replace("@ROOT@", str(folder)))
        self.port = port
        self.apache = Apache(folder, text)
        shutil.copytree(HERE.parent / "live/apps", folder / "apps", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(HERE / "apps", folder / "apps", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "apps/file.txt").write_bytes(b"".join(b"line %d of a file\n" % number for number in range(2000)))
        (folder / "htdocs").mkdir()
        (folder / "htdocs/static.txt").write_text("a file of httpd's own\n")
        (folder / "htdocs/page.odd").write_text("a file with a handler\n")
        os.utime(folder / "htdocs/static.txt", (1_600_000_000, 1_600_000_000))
        (folder / "users").write_text("ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # the password is: test
        make_public(folder)

    def __enter__(self) -> Server:
        self.apache.start(self.port)
        self.logged(0, 0)  # a process may be loading scripts until then
        return self

    def __exit__(self, *_) -> None:
        left = self.apache.stop()
        assert not left, f"processes left: {left}"
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.apache.folder, ignore_errors=True)

    def record(self, number: int, case: Case) -> Record:
        start = self.log_size()
        answers, rest = exchange(self.port, case)
        lines = self.logged(start, number)
        levels = {match[1] for line in lines if (match := re.match(r"\[[^:\]]*:(\w+)\]", line))}
        says = [f"{match[1]}: {match[2]}" for line in lines if (match := re.match(r"\[\w+:(\w+)\].*?(says:.*)", line))]
        worst = next((level for level in LEVELS if level in levels), "-")
        return Record(answers, rest, says, worst, "\n".join(lines).count("Traceback (most"))

    def log_size(self) -> int:
        return self.apache.log.stat().st_size

    def logged(self, start: int, number: int) -> list[str]:
        """The lines since this position: a request that writes a mark comes after all that the case has written."""
        exchange(self.port, Case("mark", MARK.replace(b"@", b"%d" % number)))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with open(self.apache.log, "rb") as log:
                log.seek(start)
                lines = log.read().decode("utf-8", "replace").splitlines()
            if any(line.endswith(f"mark {number}") for line in lines):
                return [line for line in lines if not re.search(r"\bmark \d+$", line)]
            time.sleep(0.01)
        raise AssertionError(f"no mark {number} in the log:\n{self.apache.last_words()}")


class Stream:
    """The bytes of a connection, and why there are no more."""

    def __init__(self, connection: socket.socket):
        self.connection, self.data, self.end = connection, b"", ""

    def more(self) -> bool:
        try:
            piece = self.connection.recv(65536)
            self.end = "" if piece else "closed"
        except TimeoutError:
            piece, self.end = b"", "silent"
        except ConnectionError:
            piece, self.end = b"", "reset"
        self.data += piece
        self.connection.settimeout(SHORT_PATIENCE)
        return bool(piece)

    def until(self, mark: bytes) -> bytes | None:
        while mark not in self.data:
            if not self.more():
                return None
        found, _, self.data = self.data.partition(mark)
        return found

    def take(self, size: float) -> bytes:
        """So many bytes, or fewer when there are no more."""
        while len(self.data) < size and self.more():
            pass
        size = min(len(self.data), size)
        taken, self.data = self.data[:size], self.data[size:]
        return taken


def exchange(port: int, case: Case) -> tuple[list[Answer], bytes]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        stream, answers = Stream(connection), []
        later = case.after_100
        with contextlib.suppress(ConnectionError):
            connection.sendall(case.send)
        for method in case.methods:
            while True:
                answers.append(read_answer(stream, method))
                if later and answers[-1].status.startswith("HTTP/1.1 100"):
                    connection.sendall(later)
                    later = b""
                if not answers[-1].interim:
                    break
            if answers[-1].end != "whole":
                return answers, stream.data
            if case.then and len(answers) == 1:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(case.then(answers[0]))
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return answers, stream.take(1_000_000)


def read_answer(stream: Stream, method: str) -> Answer:
    head = stream.until(b"\r\n\r\n")
    if head is None:
        answer = Answer("", [], stream.data, stream.end)
        stream.data = b""
        return answer
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(":") for line in lines)]
    answer = Answer(status, headers)
    known = {name.lower(): value.strip() for name, value in headers}
    code = status.split(" ")[1] if " " in status else ""
    if method == "HEAD" or code in ("204", "304") or answer.interim:
        return answer
    if known.get("transfer-encoding") == "chunked":
        answer.body, whole = _chunks(stream)
    elif known.get("content-length", "").isdigit():
        answer.body = stream.take(int(known["content-length"]))
        whole = len(answer.body) == int(known["content-length"])
    else:
        answer.body = stream.take(float("inf"))
        whole = stream.end == "closed"
    answer.end = "whole" if whole else stream.end or "malformed"
    return answer


def _chunks(stream: Stream) -> tuple[bytes, bool]:
    body = b""
    while (line := stream.until(b"\r\n")) is not None:
        try:
            size = int(line, 16)
        except ValueError:
            return body + line, False
        if not size:
            return body, stream.until(b"\r\n") == b""
        body += stream.take(size)
        stream.take(2)
    return body, False
