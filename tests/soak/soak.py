"""`make soak`: ten minutes of load with a random fault every two seconds; every request that fails must be explained.

Eight closed-loop clients (tests/closed_loop.py) send short requests, uploads of 64 KB, streamed answers and slow ones
to two process groups and one location in embedded mode. Each request has an id that the application writes down with
its pid as it begins. So it is known in which process a lost request was, and whether a fault accounts for it:

    fault                           requests that may fail
    ------------------------------  ---------------------------------------------------------------------------------
    kill -9, -SEGV, -ABRT, os._exit,  those that ran in that process then: 502 or cut. Those it had read without having
    os.abort, stack overflow        called the application yet (the log cannot tell; 502, in flight then, same group);
                                    four together, as it has four threads
    memory exhausted                those that ran in that process then: 500, and if it ended of it as above
    kill -9 of the supervisor       those in flight then, as it takes its daemons along: 502, 503 or cut
    kill -9 of an httpd child       those on the child's connections then: closed or cut
    a broken script for a moment    500 of that script, while it is broken and for a second after
    socket file removed, graceful   503 of a process group, from the removal until the graceful restart is done
    kill -TERM, SIGSTOP for 1 s,    none
    descriptors exhausted, endless
    recursion, touch, graceful

A request on a used connection that is closed without an answer is sent again by the client, as a browser does. That
is in order only if no application has begun it, or the httpd child was killed. No request may ever begin twice.

At the end no process, socket file, shared memory or descriptor may be left. SOAK_SECONDS (600), SOAK_SEED (printed),
SOAK_ONLY (words that a fault's name must contain) or SOAK_WITHOUT (must not) to look at one of them;
KEEP=1 leaves the folder; MODULE_SO and LIVE_PYTHON as for the live tests, whose tests/live/httpd.py is used here.
Exit status 1 if there is anything to complain of. tests/live/test_soak.py runs twenty seconds of it.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "live")]

import raw_http
from closed_loop import Load
from httpd import Httpd
from processes import Process, descendants
from waiting import wait_for

PERIOD = 2.0
THREADS = 4
GROUPS = ("one", "two")
CHILDREN = 2
PRINTED = 60

CONFIGURATION = """
WSGIDaemonProcess one python-home=@PYTHON@ processes=2 threads=4
WSGIDaemonProcess two python-home=@PYTHON@ processes=2 threads=4 virtual-memory-limit=1G
WSGIPythonHome @PYTHON@
WSGIScriptAlias /one @ROOT@/site/one.wsgi process-group=one application-group=%{GLOBAL}
WSGIScriptAlias /two @ROOT@/site/two.wsgi process-group=two application-group=%{GLOBAL}
WSGIScriptAlias /here @ROOT@/site/here.wsgi
StartServers 2
ThreadsPerChild 16
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
"""
KINDS = (
    {"name": "short", "weight": 60, "expect": "{id}"},
    {"name": "post", "weight": 15, "method": "POST", "size": 65536, "expect": "{id} 65536"},
    {"name": "stream", "weight": 15, "expect": "".join(f"{{id}} {number}\n" for number in range(20))},
    {"name": "slow", "weight": 10, "expect": "{id}"},
)
BROKEN = "raise RuntimeError('broken for a moment')\n"

# What the module says of its own mistakes: a panic that was caught, a step that failed.
OWN_MISTAKES = r"panicked|WSGI205|WSGI381|WSGI387|WSGI392|WSGI393|WSGI409"


@dataclass
class Hit:
    """A fault that has been injected: when, where, and what it may cost."""

    fault: str
    began: float
    ended: float = 0.0
    group: str = ""
    allowed: str = ""  # a pattern for what may be said of requests that it concerns
    pids: set[int] = field(default_factory=set)  # requests that ran there
    ports: set[int] = field(default_factory=set)  # requests on these connections
    everybody: bool = False  # all of the group, or of all groups
    unread: bool = False  # also what was read but had not begun
    cost: int = 0

    def __str__(self):
        who = " ".join(str(pid) for pid in sorted(self.pids))
        return f"{self.fault} {self.group} {who}".strip()

    def overlaps(self, failure):
        return failure["began"] <= self.ended and failure["ended"] >= self.began


class Wrong(AssertionError):
    """A fault that had a consequence of its own which it must not have."""

    def __init__(self, hit: Hit, text: str):
        super().__init__(text)
        self.hit = hit


DIED = r"status 502|cut "
CLOSED = r"cut |\w+ before any"


class Faults:
    """Each method does harm once and returns what that may cost, or None where there was nobody to harm."""

    def __init__(self, server: Httpd, chance: random.Random):
        self.server, self.chance = server, chance
        self.number = 0

    def all(self):
        """Those that the environment lets through."""
        only, without = os.environ.get("SOAK_ONLY", ""), os.environ.get("SOAK_WITHOUT")
        chosen = {name: fault for name, fault in self._every_one().items() if only in name}
        return {name: fault for name, fault in chosen.items() if not without or without not in name}

    def _every_one(self):
        return {
            "kill -9 of a daemon": lambda: self.signal(signal.SIGKILL),
            "kill -SEGV of a daemon": lambda: self.signal(signal.SIGSEGV),
            "kill -ABRT of a daemon": lambda: self.signal(signal.SIGABRT),
            "kill -TERM of a daemon": self.terminate,
            "SIGSTOP for a second": self.pause,
            "os._exit": lambda: self.deadly("exit"),
            "os.abort": lambda: self.deadly("abort"),
            "stack overflow": lambda: self.deadly("overflow"),
            "endless recursion": lambda: self.harmless("recurse"),
            "descriptors exhausted": lambda: self.harmless("descriptors"),
            "memory exhausted": self.memory,
            "touch": self.touch,
            "broken script": self.break_script,
            "graceful": self.graceful,
            "kill -9 of the supervisor": self.supervisor,
            "kill -9 of an httpd child": self.child,
            "socket removed": self.remove_socket,
        }

    # Signals

    def signal(self, number):
        process = self.a_daemon()
        if process is None:
            return None
        hit = Hit("", time.monotonic(), group=group_of(process), pids={process.pid}, allowed=DIED, unread=True)
        process.kill(number)
        wait_for(lambda: not process.alive, f"{process.pid} ends by signal {number}", 5)
        return self.done(hit)

    def terminate(self):
        process = self.a_daemon()
        if process is None:
            return None
        hit = Hit("", time.monotonic(), group=group_of(process), pids={process.pid})
        process.kill(signal.SIGTERM)
        return self.done(hit)

    def pause(self):
        process = self.a_daemon()
        if process is None:
            return None
        hit = Hit("", time.monotonic(), group=group_of(process), pids={process.pid})
        process.kill(signal.SIGSTOP)
        try:
            time.sleep(1)
        finally:
            process.kill(signal.SIGCONT)
        return self.done(hit)

    def supervisor(self):
        supervisors = self.server.supervisors()
        if not supervisors:
            return None
        process = self.chance.choice(supervisors)
        hit = Hit("", time.monotonic(), allowed=f"{DIED}|status 503", everybody=True)
        family = [process, *descendants(process.pid)]
        hit.pids = {member.pid for member in family}
        process.kill(signal.SIGKILL)
        wait_for(lambda: not any(member.alive for member in family), "the supervisor's daemons end with it", 5)
        return self.done(hit)

    def child(self):
        children = self.server.children()
        if not children:
            return None
        process = self.chance.choice(children)
        hit = Hit("", time.monotonic(), pids={process.pid}, allowed=CLOSED)
        process.kill(signal.SIGSTOP)  # so that it accepts no connection that is not on the list
        hit.ports = clients_of(process, self.server.ports["PORT"])
        process.kill(signal.SIGKILL)
        wait_for(lambda: not process.alive, "the child ends", 5)
        return self.done(hit)

    # Inside the application

    def deadly(self, path):
        hit, status = self.request(path)
        hit.allowed, hit.unread = DIED, True
        if status != 502:
            raise Wrong(hit, f"/{path} of {hit.group} was answered with {status} instead of 502")
        return hit

    def harmless(self, path):
        hit, status = self.request(path)
        if status != 200:
            raise Wrong(hit, f"/{path} of {hit.group} was answered with {status}")
        return hit

    def memory(self):
        hit, _ = self.request("memory", "two")
        died = not any(os.path.exists(f"/proc/{pid}") for pid in hit.pids)
        hit.allowed, hit.unread = f"status 500|{DIED}" if died else "status 500", died
        return hit

    def request(self, path, group=""):
        self.number += 1
        group = group or self.chance.choice(GROUPS)
        name = f"fault-{self.number}"
        hit = Hit("", time.monotonic(), group=group)
        answer = raw_http.get(self.server.ports["PORT"], f"/{group}/{path}", f"X-Request: {name}", "Connection: close")
        hit.pids = {pid for _, pid in read_records(self.server.root).get(name, [])}
        if answer.status == 502:
            wait_for(lambda: not any(Process.of(pid) for pid in hit.pids), f"{hit.pids} end by {path}", 5)
        return self.done(hit), answer.status

    # From outside

    def touch(self):
        hit = Hit("", time.monotonic(), group=self.chance.choice((*GROUPS, "here")))
        os.utime(self.server.root / f"site/{hit.group}.wsgi")
        return self.done(hit)

    def break_script(self):
        group = self.chance.choice((*GROUPS, "here"))
        hit = Hit("", time.monotonic(), group=group, everybody=True, allowed="status 500")
        write_script(self.server.root, group, BROKEN)
        time.sleep(0.5)
        write_script(self.server.root, group)
        self.done(hit).ended += 1
        return hit

    def graceful(self):
        hit = Hit("", time.monotonic())
        self.server.graceful()
        return self.done(hit)

    def remove_socket(self):
        sockets = sorted(path for path in (self.server.root / "run").rglob("*") if path.is_socket())
        if not sockets:
            return None
        hit = Hit("", time.monotonic(), everybody=True, allowed="status 503")
        path = self.chance.choice(sockets)
        kept = path.with_suffix(".kept")
        os.link(path, kept)
        path.unlink()
        try:
            self.server.graceful()
            wait_for(path.is_socket, f"{path.name} is there again", 2)
        except AssertionError as error:
            kept.rename(path)  # so that the run goes on
            raise Wrong(self.done(hit), str(error)) from error
        kept.unlink()
        return self.done(hit)

    def a_daemon(self):
        found = self.server.daemons()
        return self.chance.choice(found) if found else None

    @staticmethod
    def done(hit):
        hit.ended = time.monotonic()
        return hit


class Soak:
    def __init__(self, server: Httpd, seconds: float, seed: int, *, period: float = PERIOD, say=print):
        self.server, self.seconds, self.seed, self.period, self.say = server, seconds, seed, period, say
        self.chance = random.Random(seed)
        self.hits: list[Hit] = []
        self.problems: list[str] = []
        self.excused: Counter[str] = Counter()

    def run(self) -> Soak:
        shared_memory = set(os.listdir("/dev/shm"))
        prepare(self.server.root)
        with no_core_files():
            self.server.start()
        idle = self.at_rest()
        report = self.under_load()
        self.account_for(report)
        self.compare(idle, self.at_rest())
        self.look_into_log()
        self.stop()
        if left := set(os.listdir("/dev/shm")) - shared_memory:
            self.problems.append(f"left in /dev/shm: {left}")
        return self

    # Load and faults

    def under_load(self):
        load = Load(port=self.server.ports["PORT"], retry=True, timeout=40, seed=self.seed, requests=requests())
        try:
            self.began = load.began
            self.do_harm(load)
            wait_for(self.all_answer, "all groups answer after the last fault", 60)
            load.end()
            return load.report()
        finally:
            load.abandon()

    def do_harm(self, load):
        faults = Faults(self.server, self.chance)
        bag = []
        due = load.began + self.period
        while due < load.began + self.seconds:
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + self.period, time.monotonic())
            # All of them in some order, then in another one: short runs meet most of them, too.
            bag = bag or self.chance.sample(sorted(faults.all()), len(faults.all()))
            self.inject(bag.pop(), faults)

    def inject(self, name, faults):
        began = time.monotonic()
        try:
            hit = faults.all()[name]()
        except (AssertionError, OSError) as error:
            self.problems.append(f"at {began - self.began:.2f} s, {name}: {type(error).__name__} {error}")
            hit = error.hit if isinstance(error, Wrong) else Hit(name, began, time.monotonic())
        if hit is None:
            self.say(f"{began - self.began:7.2f}  {name}: nobody there")
            return
        hit.fault = name
        self.hits.append(hit)
        self.say(f"{hit.began - self.began:7.2f}  {hit}")

    def all_answer(self):
        with contextlib.suppress(OSError):
            paths = [f"/{place}/short" for place in (*GROUPS, "here")]
            return all(raw_http.get(self.server.ports["PORT"], path).status == 200 for path in paths)
        return False

    # Accounts

    def account_for(self, report):
        self.report = report
        records = read_records(self.server.root)
        for name, begun in records.items():
            if len(begun) > 1 and name != "probe":
                self.problems.append(f"request {name} has begun {len(begun)} times: {begun}")
        for failure in sorted(report["failures"], key=lambda failure: failure["ended"]):
            self.judge(failure, records)
        for failure in report["retries"]:
            if failure["id"] in records:
                self.judge(failure | {"what": "closed before any answer", "detail": "but begun"}, records)

    def judge(self, failure, records):
        begun = [pid for _, pid in records.get(failure["id"], [])]
        hit = next((hit for hit in self.hits if explains(hit, failure, begun)), None)
        if hit is None:
            self.problems.append(self.describe(failure, begun))
            return
        hit.cost += 1
        self.excused[f"{failure['what']} by {hit.fault}{'' if begun else ', not begun'}"] += 1

    def describe(self, failure, begun):
        before = [f"{hit} at {hit.began - self.began:.2f}" for hit in self.hits if hit.began <= failure["ended"]][-3:]
        return (
            f"request {failure['id']} ({failure['kind']}) from {failure['began'] - self.began:.3f} s"
            f" to {failure['ended'] - self.began:.3f} s: {failure['what']} {failure['detail']};"
            f" {f'begun in {begun}' if begun else 'never begun'}; the last faults: {', '.join(before)}"
        )

    # Rest

    def at_rest(self):
        """What parent, supervisor and children hold when a graceful restart is over and nobody asks for anything."""
        old = set(self.server.note_processes()[1:])
        self.server.graceful()
        wait_for(lambda: self.settled(old), "everything is new after a graceful restart", 60)
        parent = Process.of(self.server.parent.pid)
        supervisor, children = self.server.supervisors()[0], self.server.children()
        return {
            "descriptors of the parent": len(parent.descriptors),
            "descriptors of the supervisor": len(supervisor.descriptors),
            "descriptors of a child": max(len(child.descriptors) for child in children),
            "memory files of the parent": memory_files(parent),
            "memory files of the supervisor": memory_files(supervisor),
            "resident KiB of the parent": parent.resident,
            "resident KiB of the supervisor": supervisor.resident,
        }

    def settled(self, old):
        now = self.server.note_processes()[1:]
        counts = [len(self.server.daemons(name)) for name in GROUPS]
        titles_known = all(process.title for process in now)
        return (
            counts == [2, 2] and len(self.server.supervisors()) == 1 and len(self.server.children()) == CHILDREN
            and titles_known and not old.intersection(now)
        )  # fmt: skip

    def compare(self, before, after):
        self.rest = {name: (before[name], after[name]) for name in before}
        for name, (first, last) in self.rest.items():
            if not name.startswith("resident") and last > first:
                self.problems.append(f"{name}: {first} at the start, {last} at the end")

    def look_into_log(self):
        for line in self.server.error_log().splitlines():
            if re.search(OWN_MISTAKES, line):
                self.problems.append(f"in the log: {line}")

    def stop(self):
        try:
            self.server.stop()
        except AssertionError as error:
            self.problems.append(str(error)[:2000])


def explains(hit: Hit, failure, begun: list[int]) -> bool:
    """Whether this fault accounts for this failure; the table at the top in other words."""
    if not hit.allowed or not hit.overlaps(failure) or not re.match(hit.allowed, failure["what"]):
        return False
    group = failure["kind"].split()[0]
    if hit.group and hit.group != group:
        return False
    if hit.everybody:
        return group in GROUPS or hit.group == group
    if hit.ports:
        return failure["port"] in hit.ports
    if hit.unread and hit.cost >= THREADS:
        return False
    return bool(hit.pids.intersection(begun)) or hit.unread and not begun


@contextlib.contextmanager
def no_core_files():
    """For what is started here: the crashes are meant."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def requests():
    return [
        kind | {"name": f"{place} {kind['name']}", "path": f"/{place}/{kind['name']}"}
        for place in (*GROUPS, "here")
        for kind in KINDS
    ]


def prepare(root: Path):
    (root / "site/records").mkdir(parents=True)
    records = root / "site/records/begun"
    records.touch()
    records.chmod(0o666)
    for folder in (root / "site", root / "site/records"):
        folder.chmod(0o755)
    for name in (*GROUPS, "here"):
        write_script(root, name)


def write_script(root: Path, name: str, text: str = ""):
    fresh = root / f"site/{name}.new"
    fresh.write_text(text or (HERE / "app.wsgi").read_text())
    fresh.chmod(0o644)
    fresh.rename(fresh.with_suffix(".wsgi"))


def read_records(root: Path) -> dict[str, list[tuple[float, int]]]:
    """When and where each request began."""
    found: dict[str, list[tuple[float, int]]] = {}
    for line in (root / "site/records/begun").read_text().splitlines():
        when, pid, name = line.split()
        found.setdefault(name, []).append((float(when), int(pid)))
    return found


def group_of(process: Process) -> str:
    found = re.match(r"\(wsgi:(\w+)\)", process.title)
    return found[1] if found else ""


def clients_of(process: Process, port: int) -> set[int]:
    """The clients' ports of the connections that this process has accepted."""
    held = set(process.descriptors)
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(row[2].partition(":")[2], 16)
        for row in rows
        if int(row[1].partition(":")[2], 16) == port and f"socket:[{row[9]}]" in held
    }


def memory_files(process: Process) -> int:
    """Shared memory that it holds or maps."""
    return sum("/memfd:" in place for place in process.descriptors) + process.maps.count("/memfd:")


def print_result(soak: Soak):
    report = soak.report
    print(f"\n{report['requests']:,} requests in {report['seconds']:.0f} s with {len(soak.hits)} faults;"
          f" {len(report['failures'])} failed, {len(report['retries'])} sent again on a fresh connection")  # fmt: skip
    for name, count in sorted(soak.excused.items()):
        print(f"  explained: {count} x {name}")
    for record in report["slowest"][:5]:
        print(f"  slow: {record['ms']:,.0f} ms, {record['kind']}, until {record['ended'] - soak.began:.2f} s")
    for name, (first, last) in soak.rest.items():
        print(f"  {name}: {first:,} at the start, {last:,} at the end")
    print(f"{len(soak.problems)} problems (SOAK_SEED={soak.seed})")
    for text in soak.problems[:PRINTED]:
        print(f"  PROBLEM: {text}")


def main():
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that httpd ends too
    seconds = float(os.environ.get("SOAK_SECONDS") or 600)
    seed = int(os.environ.get("SOAK_SEED") or time.time_ns() % 1_000_000)
    print(f"SOAK_SEED={seed}, {seconds:g} s", flush=True)
    server = Httpd(CONFIGURATION, mpm="event")
    try:
        soak = Soak(server, seconds, seed, say=lambda text: print(text, flush=True)).run()
    finally:
        server.close()
    print_result(soak)
    raise SystemExit(1 if soak.problems else 0)


if __name__ == "__main__":
    main()
