"""A daemon that speaks the wire as chance has it, for HOSTILE_SECONDS (60), by the plans of HOSTILE_SEED (printed).

A plan begins as an answer that a daemon might give; then frames are left out, doubled, exchanged, cut, filled with
other bytes, or given descriptors of all kinds (tests/live/apps/wire.wsgi). Five clients each send such a plan to one
virtual host, and two requests for another behind it on the same connection, in half of the cases through a proxy
whose connections all of them share: the other host's answers must be its own, or the connection cut. All the while
another client asks the other host alone, and must never wait. The children of httpd stay the same, within the bounds
below. Exit status 1 if there is anything to complain of; KEEP=1 leaves the folder; MODULE_SO as for the live tests.
tests/live/hostile/test_hostile_daemon.py has the plans that are known by name.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "harness"))

import raw_http
import wire
from httpd import Httpd
from machine import libexec
from waiting import wait_for

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "60"))
SEED = os.environ.get("HOSTILE_SEED") or str(random.SystemRandom().randrange(1 << 32))
CLIENTS = 5
LONGEST = 5  # seconds that the other host's client may wait
DESCRIPTORS = 400  # that a child may gain: the connections of its clients, and what waits to be closed
THREADS = 4  # that it may gain: one that closes, and what httpd starts
MEMORY = 150 << 10  # KiB that it may gain

FRONT = f"""
LoadModule proxy_module {libexec()}/mod_proxy.so
LoadModule proxy_http_module {libexec()}/mod_proxy_http.so
Listen 127.0.0.1:@PORT2@
<VirtualHost *:@PORT2@>
    ServerName good.example
    ServerAlias evil.example
    ProxyPreserveHost On
    ProxyPass / http://127.0.0.1:@PORT@/
</VirtualHost>
"""

STATUSES = [b"200 OK"] * 12 + [
    b"204 No Content", b"304 Not Modified", b"404 Not Found", b"500 X", b"100 Continue", b"101 X", b"099 X", b"600 X", b"",
    b"200 OK\r\nX: y", b"200\tOK", b"2 OK", b"200 " + b"x" * 3000,
]  # fmt: skip
HEADERS = [
    (b"Content-Length", b"4"), (b"Content-Length", b"40"), (b"content-length", b"0"), (b"Content-Length", b"04"),
    (b"Content-Length", b"18446744073709551615"), (b"Content-Length", b"+4"), (b"Transfer-Encoding", b"chunked"),
    (b"Transfer-Encoding ", b"chunked"), (b"Connection", b"close"), (b"Upgrade", b"h2c"), (b"X", b"y\r\n\r\n"), (b"X", b"\n"),
    (b"", b""), (b"X:", b""), (b"Location", b"/"), (b"Location", b"http://good.example/"), (b"Trailer", b"X"),
    (b"Content-Type", b"text/html"), (b"Content-Encoding", b"gzip"), (b"Set-Cookie", b"a=b"), (b"X" * 70_000, b"y"),
]  # fmt: skip
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
PIECES = [b"wire", b"wi", b"", FORGED, b"wire" + FORGED, b"4\r\nwire\r\n0\r\n\r\n" + FORGED, b"x" * 65_536, b"x" * 20_000]
NAMES = [
    "regular", "short", "write only", "O_PATH", "memory", "lingering", "fifo", "pipe", "pair", "event", "epoll", "zero", "null",
    "terminal", "directory", "proc", "listener",
]  # fmt: skip


def any_frame(chance: random.Random) -> list:
    """A step of any kind."""
    kind = chance.randrange(14)
    if kind < 2:
        return wire.head(chance.choice(STATUSES), *chance.choices(HEADERS, k=chance.choice([0, 1, 1, 2, 3])))
    if kind < 5:
        return wire.data(chance.choice(PIECES))
    if kind == 5:
        return wire.log(b"a line" * chance.choice([0, 1, 1000]), chance.randrange(7))
    if kind == 6:
        return wire.want(chance.choice([0, 1, 100, (1 << 32) - 1]))
    if kind == 7:
        return wire.end(chance.choice([0, 0, 0, 500, 404, 101, 200, 70_000]))
    if kind < 10:
        names = chance.choices(NAMES, k=chance.choice([0, 1, 1, 1, 2, 40]))
        return wire.file(chance.choice([0, 4, 40, 1 << 63]), *names, offset=chance.choice([0, 0, 5, 1 << 62]))
    if kind == 10:
        return wire.frame(chance.choice([*wire.KINDS, 0, 99, 1 << 31]), chance.randbytes(chance.choice([0, 1, 4, 12, 16, 65, 300])))
    if kind == 11:
        size = chance.choice([65_536, 65_537, 1 << 20, 1 << 24])
        return wire.fill(chance.choice([*wire.KINDS]), min(size, 1 << 20), announced=size)
    if kind == 12:
        return wire.send(chance.randbytes(chance.randrange(1, 30)))
    return ["pause", chance.choice([0.001, 0.05])]


def plan(chance: random.Random) -> list:
    steps = chance.choice([
        [wire.head(b"200 OK", wire.length(4)), wire.data(b"wire"), wire.end()],
        [wire.head(b"200 OK"), wire.data(b"wi"), wire.data(b"re"), wire.end()],
        [wire.log(b"a line"), wire.head(b"200 OK", wire.length(9)), wire.file(9, "regular"), wire.end()],
        [wire.head(b"204 No Content"), wire.end()],
        [wire.end(500)],
    ])  # fmt: skip
    for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3, 6])):
        place = chance.randrange(len(steps) + 1)
        change = chance.randrange(7)
        if change < 3 or not steps:
            steps.insert(place, any_frame(chance))
        elif change == 3:
            del steps[place - 1]
        elif change == 4:
            steps.insert(place, steps[place - 1])
        elif change == 5 and steps[place - 1][0] == "send":
            steps[place - 1] = wire.passing(steps[place - 1], *chance.choices(NAMES, k=chance.choice([1, 1, 2, 30])))
        else:
            chance.shuffle(steps)
    if chance.random() < 0.1:
        steps.insert(0, ["no greeting"])
    if chance.random() < 0.6:
        steps.append(["close"])  # where the plan has no end, httpd would wait for it
    return steps


class Attack:
    def __init__(self, server: Httpd) -> None:
        self.server, self.end = server, time.monotonic() + SECONDS
        self.complaints: list[str] = []
        self.plans = self.answers = 0
        self.lock = threading.Lock()
        self.slowest = 0.0
        self.children = sorted(server.children(), key=lambda process: process.pid)
        self.before = self.held()

    def held(self) -> tuple[int, int, int]:
        """Descriptors, threads and memory of httpd's children."""
        tasks = [len(os.listdir(f"/proc/{process.pid}/task")) for process in self.children]
        return (
            sum(len(process.descriptors) for process in self.children), sum(tasks),
            sum(process.resident for process in self.children),
        )  # fmt: skip

    def goes_on(self) -> bool:
        return time.monotonic() < self.end and not self.complaints

    def complain(self, text: str) -> None:
        with self.lock:
            self.complaints.append(text)

    def client(self, number: int) -> None:
        count = 0
        while self.goes_on():
            name = f"{SEED}-{number}-{count}"
            chance = random.Random(name)
            steps, port = plan(chance), chance.choice(["PORT", "PORT2"])
            method = chance.choice(["GET", "GET", "GET", "HEAD"])
            count += 1
            if len(wire.header(steps)) > 8000:
                continue
            try:
                stream = wire.pipelined(self.server, steps, method=method, port=port)
                stream.check()
            except (AssertionError, OSError) as failure:
                self.complain(f"plan {name} {method} {port}: {failure!r}\n{steps}"[:4000])
                return
            with self.lock:
                self.plans += 1
                self.answers += len(stream.canaries)

    def other_host(self) -> None:
        while self.goes_on():
            begun = time.monotonic()
            try:
                answer = raw_http.get(self.server.ports["PORT"], "/", "Connection: close", host="good.example")
            except OSError as failure:
                self.complain(f"the other host: {failure!r}")
                return
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if answer.body != wire.HELLO or self.slowest > LONGEST:
                self.complain(f"the other host after {self.slowest:.1f} s: {answer}")
            time.sleep(0.02)

    def watch(self) -> None:
        while self.goes_on():
            self.check_bounds()
            time.sleep(0.5)

    def check_bounds(self) -> None:
        if not all(process.alive for process in self.children):
            self.complain("a child of httpd has ended")
            return
        for name, before, now, most in zip(("descriptors", "threads", "KiB"), self.before, self.held(), (DESCRIPTORS, THREADS, MEMORY)):
            if now > before + most:
                self.complain(f"{now} {name} of httpd's children, {before} before")


def warm(server: Httpd) -> None:
    """All of httpd's threads have served."""
    with ThreadPoolExecutor(25) as pool:
        list(pool.map(lambda _: wire.ask(server, plan=[["pause", 0.2], wire.end(500)]), range(50)))


def main() -> int:
    print(f"HOSTILE_SEED={SEED} HOSTILE_SECONDS={SECONDS:.0f}", flush=True)
    server = Httpd(wire.CONFIGURATION.replace("MaxRequestWorkers 25", "MaxRequestWorkers 25\n    MaxConnectionsPerChild 0") + FRONT)
    complaints = []
    try:
        wire.take_over(server.start())
        warm(server)
        attack = Attack(server)
        workers = [threading.Thread(target=attack.client, args=[number]) for number in range(CLIENTS)]
        workers += [threading.Thread(target=work) for work in (attack.other_host, attack.watch)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        complaints = attack.complaints
        held = attack.held()
        log = server.error_log()
        if "panic" in log or "WSGI234" not in log:
            complaints.append("a panic, or no refusal, in the log")
        print(
            f"{attack.plans} plans, {attack.answers} answers of the other host behind them, {len(wire.refusals(log))} refusals; "
            f"the other host took {attack.slowest * 1000:.0f} ms at most; descriptors, threads, KiB: {attack.before} -> {held}"
        )
        if not complaints:
            try:
                wait_for(lambda: attack.held()[0] <= attack.before[0] + 100, "the descriptors are closed", 30)
            except AssertionError as failure:
                complaints.append(f"{failure}: {attack.held()}, {attack.before} before")
    finally:
        server.close()
    for complaint in complaints:
        print(f"COMPLAINT: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
