"""Requests whose every text is new: header names, ports, host names, paths, queries, cookies. Nothing of it may be kept.

The short test is tests/live/hostile/test_cardinality.py. As a program (`python tests/hostile/cardinality.py` in the
environment of the live tests) it goes on for HOSTILE_SECONDS with HOSTILE_SEED, in both modes, on each Python.
"""

from __future__ import annotations

import http.client
import os
import random
import string
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from httpd import Httpd  # noqa: E402
from processes import Process  # noqa: E402

APPLICATION = """
import os
def application(environ, start_response):
    body = f"{os.getpid()} {environ['mod_wsgi.application_group']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """
MaxKeepAliveRequests 0
WSGIDaemonProcess site python-home=@HOME@ threads=2 maximum-interpreters=8
WSGIPythonHome @HOME@
WSGIScriptAlias /one @ROOT@/one.wsgi process-group=site
WSGIScriptAlias /two @ROOT@/one.wsgi process-group=site
WSGIScriptAliasMatch ^/any/[^/]+ @ROOT@/one.wsgi process-group=site
"""

HEADERS = 90  # LimitRequestFields is 100
KINDS = ("names", "ports", "hosts", "paths", "queries", "cookies")


def prepare(servers, home: Path) -> Httpd:
    """A server that is not started, made by `serve.prepare` of the live tests or the like."""
    server = servers(CONFIGURATION.replace("@HOME@", str(home)))
    (server.root / "one.wsgi").write_text(APPLICATION)
    return server


class Client:
    """Sends requests on one connection, and remembers who answered."""

    def __init__(self, server: Httpd, seed: int):
        self.port, self.random = server.ports["PORT"], random.Random(seed)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.pids: set[int] = set()
        self.groups: set[str] = set()

    def word(self, length: int) -> str:
        return "".join(self.random.choices(string.ascii_lowercase, k=length))

    def send(self, kind: str) -> None:
        path, headers = "/one", {"Host": f"localhost:{self.port}"}
        if kind == "names":
            headers |= {f"X-{self.word(300)}": "x" for _ in range(HEADERS)}
        elif kind == "ports":
            headers["Host"] = f"localhost:{self.random.randrange(1, 65536)}"
        elif kind == "hosts":
            headers["Host"] = f"{self.word(60)}.example"
        elif kind == "paths":
            path = f"/any/{self.word(60)}/{self.word(1000)}"
        elif kind == "queries":
            path += f"?{self.word(2000)}={self.word(2000)}"
        else:
            headers["Cookie"] = "; ".join(f"{self.word(200)}={self.word(200)}" for _ in range(15))
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, (kind, answer.status, body)
        pid, group = body.split(" ", 1)
        self.pids.add(int(pid))
        self.groups.add(group)

    def memory(self) -> int:
        """KiB of the one process that has answered."""
        (pid,) = self.pids
        return Process.of(pid).resident


def main() -> int:
    import pythons

    seconds = float(os.environ.get("HOSTILE_SECONDS", "60"))
    seed = int(os.environ.get("HOSTILE_SEED", str(random.randrange(1 << 32))))
    print(f"cardinality: HOSTILE_SEED={seed}", flush=True)
    places = [(version, mode) for version in pythons.VERSIONS for mode in ("daemon", "embedded")]
    failed = False
    for version, mode in places:
        home = pythons.environment(version).home
        server = prepare(lambda text: Httpd(text, mode=mode), home)
        try:
            client = Client(server.start(), seed)
            for _ in range(60):
                for kind in KINDS:
                    client.send(kind)
            before, count, end = client.memory(), 0, time.monotonic() + seconds / len(places)
            while time.monotonic() < end:
                client.send(client.random.choice(KINDS))
                count += 1
            grown = client.memory() - before
        finally:
            server.close()
        wrong = grown > 4096 or len(client.groups) > 3
        failed |= wrong
        print(f"{version} {mode}: {count} requests, {grown:+} KiB, interpreters {sorted(client.groups)}", "WRONG" if wrong else "")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
