"""System calls of httpd's children and of the supervisor that fail, one by one or by a seed; run by `make hostile`.

It needs the build with the feature `fault-injection` (`make live` makes it; FAULT_SO names another), in which each call of
src/os asks a plan whether it is to fail (src/os/fault.rs). Each fault strikes one site, or the supervisor of all. Whatever
fails, httpd, its children and the supervisor live on, another site's process and answers stay as they are, and the site
itself answers again.

As a program: HOSTILE_SECONDS (60) of random faults, HOSTILE_SEED (printed) repeats their choice. Exit status 1 at the
first harm. tests/live/hostile/test_injected_faults.py walks the calls one by one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness"))

import httpx

from httpd import Httpd
from machine import PROJECT
from waiting import wait_for

BUILD = PROJECT / "target/fault-injection/debug/libmod_wsgi_rs.so"

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIDaemonProcess sleeper python-home=@PYTHON@ threads=1 start=on-demand idle-timeout=1
WSGIDaemonProcess canary python-home=@PYTHON@ threads=2
WSGIScriptAlias /site @APPS@/process.wsgi process-group=site
WSGIScriptAlias /body @APPS@/echo.wsgi process-group=site
WSGIScriptAlias /file @APPS@/file_wrapper.wsgi process-group=site
WSGIScriptAlias /sleeper @APPS@/process.wsgi process-group=sleeper
WSGIScriptAlias /canary @APPS@/canary.wsgi process-group=canary
"""

# What each call can fail with beside the errors of a system that has no memory. Most calls have no signal that
# interrupts them, and few have to wait.
NO_MEMORY = (errno.ENOMEM,)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENOMEM)
WAITS = (errno.EINTR, errno.EAGAIN)
ERRORS = {
    "accept": (errno.EINTR, errno.EAGAIN, errno.EMFILE, errno.ENOMEM),
    "connect": (errno.EINTR, errno.EAGAIN, errno.ENOMEM),
    "epoll_add": (errno.ENOMEM, errno.ENOSPC),
    "epoll_wait": (errno.EINTR,),
    "fork": (errno.EAGAIN, errno.ENOMEM),
    "kill": (errno.EPERM, errno.ESRCH),
    "poll": (errno.EINTR, errno.ENOMEM),
    "pidfd_open": (errno.EMFILE, errno.ENOSYS),
    "read": WAITS,
    "read_signal": (*WAITS, errno.ENOMEM),
    "read_status": NO_DESCRIPTORS,
    "recv": (*WAITS, errno.ENOMEM),
    "recvmsg": (*WAITS, errno.ENOMEM),
    "sendmsg": (*WAITS, errno.ENOBUFS, errno.ENOMEM),
    "setresuid": (errno.EAGAIN,),
    "wait": (errno.EINTR,),
    **dict.fromkeys(("pipe", "message_pipe", "memfd_create", "socket", "socketpair", "fcntl_dupfd"), NO_DESCRIPTORS),
}  # fmt: skip
SHORT = {"recv", "recvmsg", "sendmsg"}


class Injected:
    """A server of that build, its plan of faults, and a site whose requests must not notice them."""

    def __init__(self, server: Httpd) -> None:
        self.server = server
        self.folder = server.writable_folder("faults")
        server.writable_folder("faults/seen")
        server.environment["WSGI_FAULTS"] = str(self.folder)
        shutil.copy(os.environ.get("FAULT_SO", BUILD), server.root / "mod_wsgi.so")
        (server.root / "file").write_bytes(b"file" * 5000)
        self.script = server.root / "apps/process.wsgi"
        shutil.copy(self.script, server.root / "apps/canary.wsgi")

    def start(self) -> Injected:
        self.server.start()
        self.canary = self.pid_of("/canary")
        self.pid_of("/site")
        self.exercise()
        wait_for(lambda: self.answers("/site"), "the site answers at first", 20)
        self.fixed = {*self.server.children(), *self.server.supervisors()}
        return self

    def pid_of(self, path: str) -> int:
        return self.server.get(path).json()["pid"]

    def answers(self, path: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.server.get(path).status_code == 200
        return False

    def seen(self) -> list[tuple[str, str]]:
        """The calls that have been made: role and name."""
        return sorted(tuple(path.name.split(":")) for path in (self.folder / "seen").iterdir())

    def plan(self, text: str) -> None:
        part = self.folder / "part"
        part.write_text(text)
        part.rename(self.folder / "plan")

    def is_pending(self) -> bool:
        return (self.folder / "plan").exists()

    def end_plan(self) -> None:
        (self.folder / "plan").unlink(missing_ok=True)

    # What the supervisor and the children have to do for one site

    def requests(self) -> Counter:
        """How a few requests of the site ended: a status, or `cut`."""
        ends = Counter()
        with self.server.client(timeout=25) as client:
            for method, path, content in (
                ("GET", "/site", None),
                ("POST", "/body", b"x" * 300_000),
                ("GET", f"/file/buffered?path={self.server.root}/file", None),
                ("GET", "/site", None),
            ):
                try:
                    ends[client.request(method, path, content=content).status_code] += 1
                except httpx.HTTPError:
                    ends["cut"] += 1
        return ends

    def exercise(self, role: str = "supervisor", *, settles: bool = True) -> Counter:
        """Requests, and for the supervisor a changed script and a group that sleeps."""
        if role == "child":
            return self.requests()
        before = self.pid_of("/site") if settles else 0
        self.touch()
        ends = Counter({self.server.get("/sleeper").status_code: 1}) + self.requests()
        if settles:
            wait_for(lambda: self.is_renewed(before) or not self.is_pending(), "the site's process is replaced", 20)
        return ends

    def touch(self) -> None:
        self.script.write_text(self.script.read_text() + "#\n")

    def is_renewed(self, before: int) -> bool:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            return self.pid_of("/site") != before
        return False

    def renew(self) -> None:
        """Connections to the site that are kept lead nowhere from now on."""
        before = self.pid_of("/site")
        self.touch()
        wait_for(lambda: self.is_renewed(before), "the site's process is replaced", 20)

    def replace(self) -> None:
        """The same without a request: the next one has to connect."""
        (process,) = self.server.daemons("site")
        process.kill()
        wait_for(lambda: {p.pid for p in self.server.daemons("site")} - {process.pid}, "another process starts")

    # What must hold

    def strike(self, role: str, call: str, error: int | str, nth: int = 1) -> bool:
        """One fault; whether anything made the call. AssertionError where it has done harm."""
        name = f"{role} {call} {errno.errorcode.get(error, error)} {nth}"
        if call in ("connect", "socket"):
            self.replace()
        start = len(self.server.error_log())
        self.plan(f"once {role} {call} {error} {nth}")
        ends = self.exercise(role)
        if role != "child":
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not self.is_pending(), "the call was made", 1)
        struck = not self.is_pending()
        self.end_plan()
        self.check(name, start, ends)
        return struck

    def check(self, name: str, start: int, ends: Counter) -> None:
        assert set(ends) <= {200, 500, 502, 503, 504, "cut"}, (name, ends)
        # After several failures in a row the pause before the next attempt is half a minute.
        wait_for(lambda: self.answers("/site"), f"{name}: the site answers again", 40)
        assert self.pid_of("/canary") == self.canary, f"{name}: another site lost its process"
        gone = [process.title for process in self.fixed if not process.alive]
        assert not gone, f"{name}: {gone} ended"
        log = self.server.error_log()[start:]
        assert "panicked" not in log, f"{name}: {log}"
        refused = sum(count for end, count in ends.items() if end != 200)
        assert not refused or "WSGI" in log, f"{name}: {ends} without a message"

    def random(self, seconds: float, generator: random.Random) -> Counter:
        """Random calls fail while both roles have their work; how all requests ended."""
        end, all_ends = time.monotonic() + seconds, Counter()
        while time.monotonic() < end:
            role = generator.choice(["child", "supervisor", "starting"])
            seed, one_in = generator.randrange(1 << 32), generator.choice([5, 20, 100])
            start = len(self.server.error_log())
            self.plan(f"random {role} {seed} {one_in}")
            ends = self.exercise(role, settles=False)
            self.end_plan()
            self.check(f"random {role} {seed} {one_in}", start, ends)
            all_ends += ends
        return all_ends


def errors_of(role: str, call: str) -> list[int | str]:
    """What the call is made to fail with, most likely first."""
    errors: list[int | str] = list(ERRORS.get(call, NO_MEMORY))
    return errors + (["short"] if role == "child" and call in SHORT else [])


def main() -> None:
    seconds = float(os.environ.get("HOSTILE_SECONDS", "60"))
    seed = int(os.environ.get("HOSTILE_SEED", random.randrange(1 << 32)))
    print(f"HOSTILE_SEED={seed} HOSTILE_SECONDS={seconds:g}", flush=True)
    server = Httpd(CONFIGURATION)
    try:
        injected = Injected(server).start()
        print("requests ended so:", dict(injected.random(seconds, random.Random(seed))))
    except BaseException:
        print(server.error_log()[-5000:])
        raise
    finally:
        server.close()


if __name__ == "__main__":
    main()
