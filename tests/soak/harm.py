"""The faults of the soak, and which failed requests each of them may cost."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from pathlib import Path

import psutil

import raw_http
from accounts import Hit, Wrong
from httpd import Httpd
from offspring import real_daemons
from processes import Process
from under_load import GROUPS, PLACES, PLAIN, read_records, write_script
from waiting import wait_for

DEPLOYED = 20  # seconds until all answers are the new version's
BROKEN = "raise RuntimeError('broken for a moment')\n"


DIED = r"status 502|cut "
CLOSED = r"cut |\w+ before any"


class Faults:
    """Each method does harm once and returns what that may cost, or None where there was nobody to harm."""

    def __init__(self, server: Httpd, chance: random.Random):
        self.server, self.chance = server, chance
        self.number = 0
        self.versions = dict.fromkeys(PLACES, "0")

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
            "descriptors exhausted": lambda: self.harmless("descriptors", self.chance.choice(PLAIN)),
            "memory exhausted": self.memory,
            "touch": self.touch,
            "deploy": self.deploy,
            "broken script": self.break_script,
            "graceful": self.graceful,
            "kill -9 of the supervisor": self.supervisor,
            "kill -9 of an httpd child": self.child,
        }

    # Signals

    def signal(self, number):
        process = self.a_daemon()
        if process is None:
            return None
        hit = Hit("", time.monotonic(), group=group_of(process), pids={process.pid}, allowed=DIED, unread=True)
        starting = self.may_be_starting(process)
        process.kill(number)
        wait_for(lambda: not process.alive, f"{process.pid} ends by signal {number}", 5)
        self.done(hit)
        if starting:
            hit.allowed, hit.everybody = f"{DIED}|status 503", True
            hit.ended += 2
        return hit

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
        family = [process, *(daemon for daemon in real_daemons(self.server) if daemon.parent == process.pid)]
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

    def harmless(self, path, group=""):
        hit, status = self.request(path, group)
        if status != 200:
            raise Wrong(hit, f"/{path} of {hit.group} was answered with {status}")
        return hit

    def memory(self):
        hit, _ = self.request("memory", "two")
        died = not any(psutil.pid_exists(pid) for pid in hit.pids)
        # Without memory not even the environ of the next request can be made: it has no chance to begin, nor have
        # those that the thread takes next, as long as there is none.
        hit.allowed, hit.unread = f"status 500|{DIED}" if died else "status 500", True
        hit.lasting = not died
        return hit

    def request(self, path, group=""):
        self.number += 1
        group = group or self.chance.choice(tuple(GROUPS))
        name = f"fault-{self.number}"
        hit = Hit("", time.monotonic(), group=group)
        answer = raw_http.get(self.server.ports["PORT"], f"/{group}/{path}", f"X-Request: {name}", "Connection: close")
        hit.pids = {pid for _, pid in read_records(self.server.root).get(name, [])}
        if answer.status == 502:
            wait_for(lambda: not any(Process.of(pid) for pid in hit.pids), f"{hit.pids} end by {path}", 5)
        return self.done(hit), answer.status

    # From outside

    def touch(self):
        hit = Hit("", time.monotonic(), group=self.chance.choice(PLACES))
        os.utime(self.server.root / f"site/{hit.group}.wsgi")
        return self.done(hit)

    def break_script(self):
        group = self.chance.choice(PLACES)
        hit = Hit("", time.monotonic(), group=group, everybody=True, allowed="status 500")
        write_script(self.server.root, group, BROKEN)
        time.sleep(0.5)
        write_script(self.server.root, group, version=self.versions[group])
        self.done(hit).ended += 1
        return hit

    def deploy(self):
        hit = Hit("", time.monotonic(), group=self.chance.choice(PLACES))
        self.versions[hit.group] = version = str(int(self.versions[hit.group]) + 1)
        write_script(self.server.root, hit.group, version=version)
        try:
            what = f"version {version} of {hit.group} in all answers"
            wait_for(lambda: self.shows(hit.group, version), what, DEPLOYED)
        except AssertionError as error:
            raise Wrong(self.done(hit), str(error)) from None
        return self.done(hit)

    def shows(self, group, version):
        with contextlib.suppress(OSError):
            answers = (raw_http.get(self.server.ports["PORT"], f"/{group}/version") for _ in range(8))
            return all(answer.body == version.encode() for answer in answers)
        return False

    def graceful(self):
        hit = Hit("", time.monotonic())
        self.server.graceful()
        return self.done(hit)

    def a_daemon(self):
        found = real_daemons(self.server)
        return self.chance.choice(found) if found else None

    def may_be_starting(self, process):
        """A group whose only process ends before it was ready says so to those that wait for it."""
        up = float(Path("/proc/uptime").read_text().split()[0])
        young = up - int(process.started) / os.sysconf("SC_CLK_TCK") < 5
        return young and f"process {process.pid} is ready" not in self.server.error_log()

    @staticmethod
    def done(hit):
        hit.ended = time.monotonic()
        return hit


def group_of(process: Process) -> str:
    found = re.match(r"\(wsgi:(\w+)\)", process.title)
    return found[1] if found else ""


def clients_of(process: Process, port: int) -> set[int]:
    """The clients' ports of the connections that this process has accepted, and 0 for the port that it listens on."""
    connections = psutil.Process(process.pid).net_connections("tcp4")
    return {each.raddr.port if each.raddr else 0 for each in connections if each.laddr.port == port}
