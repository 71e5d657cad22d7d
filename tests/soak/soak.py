"""`make soak`: ten minutes of load with a random fault every two seconds; every request that fails must be explained.

Eight closed-loop clients (tests/harness/closed_loop.py) send short requests, uploads of 64 KB, streamed answers and slow ones
to two process groups and one location in embedded mode. Other sites are what ordinary applications are: `ordinary` (a
group) and `inside` (embedded) fork, use pools, spawn, run programs and write to standard output (ordinary.py); `port`
and `lock` take at import what only one process can have (held.py). Every answer's content is compared.

Each request has an id that the application writes down with its pid as it begins. So it is known in which process a
lost request was, and whether a fault accounts for it:

    fault                           requests that may fail
    ------------------------------  ---------------------------------------------------------------------------------
    kill -9, -SEGV, -ABRT, os._exit,  those that ran in that process then: 502 or cut. Those it had read without having
    os.abort, stack overflow        called the application yet (the log cannot tell; 502, in flight then, same group);
                                    four together, as it has four threads
    one of these signals to a daemon  503 too, of its group, until two seconds later
    that has not been ready yet
    memory exhausted                those that ran in that process then, or came to it while that lasted: 500;
                                    and if it ended of it as above
    kill -9 of the supervisor       those in flight then, as it takes its daemons along: 502, 503 or cut
    kill -9 of an httpd child       those on the child's connections then: closed or cut
    a broken script for a moment    500 of that script, while it is broken and for a second after
    kill -TERM, SIGSTOP for 1 s,    none
    descriptors exhausted, endless
    recursion, touch, deploy,
    graceful

A request on a used connection that is closed without an answer is sent again by the client, as a browser does. That
is in order only if no application has begun it, or the httpd child was killed. No request may ever begin twice.

A deploy writes a site's script with a new version, which all answers must have soon (`DEPLOYED` of harm.py). A copy, a
worker or a program whose parent is killed lives on for 25 s at most, as in any server; it is no reason for a request
to wait.

At the end no process, zombie, socket file, shared memory or descriptor may be left, and none of the processes that
applications have started (they write them down). SOAK_SECONDS (600), SOAK_SEED (printed), SOAK_ONLY (words that a
fault's name must contain) or SOAK_WITHOUT (must not) to look at one of them; SOAK_LOAD (words of which a request's
name has one, such as "ordinary pool") to ask for less; SOAK_OVERLAP ("overlap=Off") for the sites port and lock;
KEEP=1 leaves the folder; MODULE_SO and LIVE_PYTHON as for the live tests, whose tests/harness/httpd.py is used here.
Exit status 1 if there is anything to complain of. tests/live/failures/test_soak.py runs twenty seconds of it.
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
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness"))

import raw_http
from accounts import Hit, Wrong, explains
from closed_loop import Load
from harm import Faults
from httpd import Httpd
from machine import free_ports
from offspring import end, left_behind, real_daemons
from processes import Process
from under_load import CHILDREN, CONFIGURATION, GROUPS, PLACES, prepare, read_records, requests
from waiting import wait_for

PERIOD = 2.0
PRINTED = 60

# What the module says of its own mistakes: a panic that was caught, a step that failed.
OWN_MISTAKES = r"panicked|WSGI205|WSGI381|WSGI387|WSGI392|WSGI393|WSGI409"


class Soak:
    def __init__(self, server: Httpd, seconds: float, seed: int, *, period: float = PERIOD, say=print):
        self.server, self.seconds, self.seed, self.period, self.say = server, seconds, seed, period, say
        self.chance = random.Random(seed)
        self.hits: list[Hit] = []
        self.problems: list[str] = []
        self.excused: Counter[str] = Counter()

    def run(self) -> Soak:
        shared_memory = set(os.listdir("/dev/shm"))
        prepare(self.server.root, *free_ports(1))
        with no_core_files():
            self.server.start()
        idle = self.at_rest()
        report = self.under_load()
        self.account_for(report)
        self.compare(idle, self.at_rest())
        self.problems += [f"left behind: {text}" for text in left_behind(self.server)]
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
            end(self.server.root)
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
            paths = [f"/{place}/short" for place in PLACES]
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
        try:
            wait_for(lambda: self.settled(old), "everything is new after a graceful restart", 60)
        except AssertionError as error:
            still = [f"{process.pid} {process.title}" for process in old if process.alive]
            self.problems.append(f"{error}; still there: {still}")
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
        counts = {name: len(real_daemons(self.server, name)) for name in GROUPS}
        titles_known = all(process.title for process in now)
        return (
            counts == GROUPS and len(self.server.supervisors()) == 1 and len(self.server.children()) == CHILDREN
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


@contextlib.contextmanager
def no_core_files():
    """For what is started here: the crashes are meant."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


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
