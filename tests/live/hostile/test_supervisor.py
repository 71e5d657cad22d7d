"""The supervisor and httpd's parent, which are root, against what a site writes: paths, output, reports, shared words.

A site (`site`) does its worst; the measure is how soon the process of another one (`other`) is replaced when it was
killed, which takes the supervisor. tests/hostile/supervisor.py does the same at random and for longer.
"""

from __future__ import annotations

import os
import pwd
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import strange_files
from httpd import IS_ROOT, Httpd
from machine import PROJECT
from processes import Process
from strange_files import StrangeFiles
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

WRITES = PROJECT / "tests/hostile/writes.wsgi"
# With overflow checks, as `make live` builds it.
CHECKED = PROJECT / "target/fault-injection/debug/libmod_wsgi_rs.so"

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ {options}
WSGIDaemonProcess other python-home=@PYTHON@
WSGIScriptAlias /site @ROOT@/writes.wsgi process-group=site application-group=%{{GLOBAL}}
WSGIScriptAlias /other @APPS@/process.wsgi process-group=other application-group=%{{GLOBAL}}
"""

needs_fuse = pytest.mark.skipif(not strange_files.available(), reason="needs root and /dev/fuse")


def prepare(serve_once, options: str = "", more: str = "") -> Httpd:
    server = serve_once.prepare(CONFIGURATION.format(options=options) + more)
    shutil.copy(WRITES, server.root / "writes.wsgi")
    return server


def other(server: Httpd) -> int:
    answer = server.get("/other", timeout=5)
    return answer.json()["pid"] if answer.status_code == 200 else 0


def recovery(server: Httpd, within: float, meanwhile: Callable[[], object] = lambda: None) -> float:
    """Seconds from the end of the other site's process to the first answer of the next one."""
    before = other(server)
    [daemon] = [daemon for daemon in server.daemons("other") if daemon.pid == before]
    # One that ends within its first second is replaced with a pause.
    wait_for(lambda: age(daemon) > 1.5, "it has lived for a while")
    meanwhile()
    daemon.kill()
    begun = time.monotonic()
    wait_for(lambda: other(server) not in (0, before), "the other site has a new process", within, every=0.005)
    return time.monotonic() - begun


def age(process: Process) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(process.started) / os.sysconf("SC_CLK_TCK")


def served(server: Httpd) -> Httpd:
    wait_for(lambda: server.get("/site/").status_code == 200 and other(server), "both sites are served")
    return server


def kill(server: Httpd, group: str) -> None:
    for daemon in server.daemons(group):
        daemon.kill()


# The disk


@needs_fuse
@pytest.mark.parametrize("place", ["env-file", "python", "loaded"])
def test_a_file_system_that_does_not_answer_keeps_its_own_site_only(serve_once, place: str):
    """On the code before, the supervisor waited for it, and no site's process was replaced."""
    server = prepare(serve_once, {"env-file": "env-file=@ROOT@/away/env", "python": "", "loaded": ""}[place])
    away = server.writable_folder("away")
    (away / "env").write_text("A=1\n")
    shutil.chown(away / "env", server.fill_in("@USER@"))
    if place == "python":
        link = away / "bin"
        link.symlink_to(f"{server.fill_in('@PYTHON@')}/bin")
        server.write_configuration(CONFIGURATION.format(options="").replace("site python-home=@PYTHON@", "site python=@ROOT@/away/bin/python"))
    served(server.start())
    if place == "loaded":
        server.get("/site/", params={"do": "loaded", "path": f"{away}/script.wsgi"})
    [before] = server.daemons("site")
    hung = StrangeFiles(away, answers=False)
    try:
        before.kill()
        wait_for(lambda: hung.seen, "the next process of the site looks there")
        for _ in range(3):
            recovery(server, within=5)
        assert hung.users() == {user_of(server)}, hung.seen
        assert len(hung.seen) < 4, "it is not asked again while it does not answer"
    finally:
        hung.close()


def user_of(server: Httpd) -> int:
    return pwd.getpwnam(server.fill_in("@USER@")).pw_uid


@needs_fuse
def test_no_place_of_a_site_is_looked_at_with_roots_rights(serve_once):
    """On the code before, the supervisor looked for the environment, the interpreter, and whatever scripts a site
    said that it had loaded."""
    server = prepare(serve_once, "env-file=@ROOT@/there/env home=@ROOT@/there/home script-user=@USER@")
    there = server.writable_folder("there")
    (there / "env").write_text("A=1\n")
    shutil.chown(there / "env", server.fill_in("@USER@"))
    (there / "home").mkdir()
    shutil.chown(server.root / "writes.wsgi", server.fill_in("@USER@"))
    shutil.chown(server.root, server.fill_in("@USER@"))
    served(server.start())
    server.get("/site/", params={"do": "loaded", "path": f"{there}/script.wsgi"})
    with StrangeFiles(there) as watched:
        kill(server, "site")
        wait_for(lambda: watched.seen, "a process of the site is started")
        server.wait_for_log("WSGI360", timeout=15)
        assert watched.users() == {user_of(server)}, watched.seen


@pytest.mark.skipif(not IS_ROOT, reason="about what root opens")
def test_root_opens_no_pipe_in_the_place_of_a_file(serve_once):
    """On the code before, root opened the pipe, which wakes who waits for a reader."""
    server = prepare(serve_once, "env-file=@ROOT@/theirs/env")
    folder = server.writable_folder("theirs")
    shutil.chown(folder, server.fill_in("@USER@"))
    os.mkfifo(folder / "env")
    opened = threading.Event()

    def wait() -> None:
        os.close(os.open(folder / "env", os.O_WRONLY))
        opened.set()

    threading.Thread(target=wait, daemon=True).start()
    try:
        server.start()
        server.wait_for_log("WSGI360.*it is not a file")
        assert not opened.is_set()
    finally:
        os.close(os.open(folder / "env", os.O_RDONLY | os.O_NONBLOCK))


# What it writes


FLOODING = ["site", "second", "third", "fourth"]
MORE_SITES = """
WSGIDaemonProcess {0} python-home=@PYTHON@ processes=4 threads=1
WSGIScriptAlias /{0} @ROOT@/writes.wsgi process-group={0} application-group=%{{GLOBAL}}
"""


def test_a_flood_of_short_lines_keeps_no_other_site(serve_once):
    """Of four sites, eighty thousand lines each at once, which the code before wrote to the log before it did anything else."""
    more = "".join(MORE_SITES.format(name) for name in FLOODING[1:])
    server = served(prepare(serve_once, "processes=4 threads=1", more).start())
    quiet = sorted(recovery(server, 10) for _ in range(3))[1]
    flooding: set[str] = set()

    with ThreadPoolExecutor(16) as pool:  # four requests at a time reach most processes of a site

        def ask(site: str) -> None:
            flooding.add(flood(server, site))

        wait_for(lambda: list(pool.map(ask, FLOODING * 4)) and len(flooding) >= 14, "most processes are about to write", 30)
    flooded = recovery(server, 10, lambda: (server.root / "begins").touch())
    print(f"recovery: {quiet:.3f} s, while four sites flood {flooded:.3f} s")
    assert flooded < 2 * quiet + 0.25
    for site in FLOODING:
        kill(server, site)


def flood(server: Httpd, site: str) -> str:
    return server.get(f"/{site}/", params={"do": "flood", "begins": str(server.root / "begins")}).text


STALLING = """#!/usr/bin/env python3
import os, sys, time
folder = sys.argv[1]
with open(folder + "/piped.log", "ab", 0) as log:
    while True:
        while os.path.exists(folder + "/stalled"):
            time.sleep(0.05)
        if not (data := os.read(0, 65536)):
            break
        log.write(data)
"""


def test_a_log_that_stands_still_does_not_stop_the_supervisor(serve_once):
    """On the code before, it waited for the log as soon as the pipe was full."""
    server = serve_once.prepare(
        "WSGIDaemonProcess other python-home=@PYTHON@\n"
        "WSGIScriptAlias /other @APPS@/process.wsgi process-group=other application-group=%{GLOBAL}\n"
        "<VirtualHost *:@PORT@>\nServerName localhost\n</VirtualHost>\n"
        '<VirtualHost *:@PORT@>\nServerName loud.example\nErrorLog "|$@ROOT@/stalling @ROOT@"\n'
        "WSGIDaemonProcess site python-home=@PYTHON@\n"
        "WSGIScriptAlias /site @ROOT@/writes.wsgi process-group=site application-group=%{GLOBAL}\n</VirtualHost>\n"
    )
    shutil.copy(WRITES, server.root / "writes.wsgi")
    (server.root / "stalling").write_text(STALLING)
    (server.root / "stalling").chmod(0o755)
    loud = {"Host": "loud.example"}
    server.start()
    wait_for(lambda: server.get("/site/", headers=loud).status_code == 200, "it is served")
    (server.root / "stalled").touch()
    try:
        server.get("/site/", headers=loud, params={"do": "flood", "times": "2", "length": "900"})
        piped = server.root / "piped.log"
        wait_for(lambda: settled(piped), "the log stands still")
        for _ in range(3):
            recovery(server, within=5)
    finally:
        server.get("/site/", headers=loud, params={"do": "quiet"})
        (server.root / "stalled").unlink()
    server.wait_for_log("WSGI353")
    recovery(server, within=5)


def settled(file: Path) -> bool:
    before = file.stat().st_size if file.exists() else 0
    time.sleep(0.3)
    return (file.stat().st_size if file.exists() else 0) == before


# What it shares


@pytest.mark.parametrize("what", ["activity", "page", "reports"])
def test_no_word_of_a_site_ends_the_supervisor(serve_once, what: str):
    """With overflow checks: on the code before, a sum of a word and a limit ended it."""
    module = Path(os.environ.get("FAULT_SO", CHECKED))
    if not module.exists():
        pytest.skip(f"{module} is missing: cargo build --features fault-injection --target-dir target/fault-injection")
    server = prepare(serve_once, "request-timeout=2 interrupt-timeout=1 deadlock-timeout=3 inactivity-timeout=5 startup-timeout=20 maximum-memory=2g processes=2")
    shutil.copy(module, server.root / "mod_wsgi.so")
    served(server.start())
    before = server.supervisors()
    with ThreadPoolExecutor(5) as pool:  # the supervisor looks each second at what has a limit of memory
        written = lambda seed: server.get("/site/", params={"do": what, "seed": str(seed), "seconds": "1.2"})
        answers = list(pool.map(written, range(10)))
    assert all(answer.status_code != 500 for answer in answers), "it could not write"
    recovery(server, within=15)
    assert server.supervisors() == before
    assert "WSGI395" not in server.error_log()


def test_the_supervisor_takes_no_descriptor_of_a_child(serve_once):
    """On the code before, a child could send it one that takes 30 s to close, which kept it for as long."""
    server = prepare(serve_once, more="WSGIPythonHome @PYTHON@\nWSGIScriptAlias /within @ROOT@/writes.wsgi application-group=%{GLOBAL}\n")
    served(server.start())
    answer = server.get("/within", params={"do": "linger"})
    assert answer.status_code == 200 and answer.text == "0", "sockets that take descriptors: " + answer.text
    recovery(server, within=5)
