"""The supervisor against a site at random, for HOSTILE_SECONDS seconds (60): pytest tests/hostile/supervisor.py.

One site writes random reports, random words into shared memory, floods of output, sends descriptors, and has its
directory, environment file and scripts swapped for links all the time; the disk of its log is full. All the while the
process of another site is killed again and again: each time it is to be back within the bound, and at the end httpd's
parent and supervisor are the same and hold no more than before. HOSTILE_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "harness"), str(HERE.parent / "live")]

from conftest import Servers  # noqa: E402
from httpd import IS_ROOT, Httpd  # noqa: E402
from machine import PROJECT  # noqa: E402
from processes import Process  # noqa: E402
from waiting import wait_for  # noqa: E402

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "60"))
SEED = int(os.environ.get("HOSTILE_SEED", "0")) or random.SystemRandom().getrandbits(31)
BOUND = 8  # seconds that another site may take to come back on a busy machine
CHECKED = PROJECT / "target/fault-injection/debug/libmod_wsgi_rs.so"

CONFIGURATION = """
WSGIDaemonProcess other python-home=@PYTHON@
WSGIScriptAlias /other @APPS@/process.wsgi process-group=other application-group=%{GLOBAL}
WSGIPythonHome @PYTHON@
<VirtualHost *:@PORT@>
    ServerName localhost
    WSGIScriptAlias /within @ROOT@/writes.wsgi application-group=%{GLOBAL}
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName site.example
    ErrorLog "@ROOT@/small/site.log"
    WSGIDaemonProcess site python-home=@PYTHON@ processes=3 threads=2 env-file=@ROOT@/theirs/env home=@ROOT@/theirs/home \\
        request-timeout=2 interrupt-timeout=1 deadlock-timeout=5 inactivity-timeout=3 startup-timeout=5
    WSGIScriptAlias / @ROOT@/writes.wsgi process-group=site application-group=%{GLOBAL}
</VirtualHost>
"""
SITE = {"Host": "site.example"}


@pytest.fixture
def server():
    servers = Servers()
    server = servers.prepare(CONFIGURATION)
    shutil.copy(HERE / "writes.wsgi", server.root / "writes.wsgi")
    module = Path(os.environ.get("FAULT_SO", CHECKED))
    if module.exists():
        shutil.copy(module, server.root / "mod_wsgi.so")
    theirs, small = server.writable_folder("theirs"), server.writable_folder("small")
    (theirs / "env").write_text("A=1\n")
    (theirs / "home").mkdir()
    if IS_ROOT:
        shutil.chown(theirs / "env", server.fill_in("@USER@"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], check=True)
    try:
        server.start()
        yield server
        servers.close()
    finally:
        if IS_ROOT:
            subprocess.run(["umount", "-l", small], check=True)


def swap(server: Httpd, over: threading.Event) -> None:
    """Each name of the site's is by turns what it should be, and a link to what is not the site's."""
    theirs, chance = server.root / "theirs", random.Random(SEED)
    aims = ["/etc/shadow", "/root", "/proc/self/mem", "/dev/zero", "/dev/watchdog", "/nowhere", str(theirs / "loop")]
    for name in ("env", "home"):
        os.rename(theirs / name, theirs / f"{name}.good")
    (theirs / "loop").symlink_to("loop")
    while not over.is_set():
        for name in ("env", "home"):
            link = theirs / f"{name}.new"
            link.symlink_to(f"{name}.good" if chance.random() < 0.7 else chance.choice(aims))
            os.rename(link, theirs / name)
        time.sleep(0.002)


def age(process: Process) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(process.started) / os.sysconf("SC_CLK_TCK")


def other(server: Httpd) -> int:
    with contextlib.suppress(Exception):
        answer = server.get("/other", timeout=BOUND)
        return answer.json()["pid"] if answer.status_code == 200 else 0
    return 0


def test_another_site_is_always_served(server: Httpd):
    print(f"HOSTILE_SEED={SEED} HOSTILE_SECONDS={SECONDS:g}")
    chance, over, slowest = random.Random(SEED), threading.Event(), 0.0
    wait_for(lambda: other(server), "the other site is served", 20)
    [supervisor] = server.supervisors()
    held = len(supervisor.descriptors)
    swapping = threading.Thread(target=swap, args=(server, over), daemon=True)
    swapping.start()
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            kinds = ["activity", "reports", "reports", "loaded", "flood", "quiet", "linger"]
            if time.monotonic() > end - SECONDS / 4:
                kinds.append("page")  # after which the site has hardly a process that httpd would send requests to
            for _ in range(5):
                what = chance.choice(kinds)
                where, host = ("/within", {}) if what == "linger" else ("/", SITE)
                path = chance.choice(["/etc/shadow", "/dev/zero", "/proc/1/root", "relative", "x" * 1900])
                with contextlib.suppress(Exception):
                    server.get(where, headers=host, timeout=3, params={"do": what, "seed": str(chance.getrandbits(31)), "path": path})
            before = wait_for(lambda: other(server), "the other site is served", BOUND)
            for daemon in server.daemons("other"):
                # One that ends within its first second is replaced with a pause.
                wait_for(lambda daemon=daemon: age(daemon) > 1.5, "it has lived for a while")
                daemon.kill()
            begun = time.monotonic()
            wait_for(lambda: other(server) not in (0, before), "the other site is back", BOUND)
            slowest = max(slowest, time.monotonic() - begun)
    finally:
        over.set()
        swapping.join()
    print(f"the slowest recovery took {slowest:.2f} s")
    assert server.supervisors() == [supervisor], server.error_log()[-3000:]
    assert "WSGI395" not in server.error_log()
    wait_for(lambda: len(supervisor.descriptors) < held + 80, "it holds no more than before", 20)
    assert supervisor.resident < 60_000, f"{supervisor.resident} KiB"
