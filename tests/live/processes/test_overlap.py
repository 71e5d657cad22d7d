"""Applications that hold a port, a lock or a database from their import on: `overlap=`.

A new process cannot load them beside the old one. With overlap=Off the old one ends first; with Auto that is found out
when it happens. Requests wait meanwhile, and none fails.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext

import httpx
import pytest

import pythons
from httpd import LIVE_PYTHON, Httpd
from machine import free_ports
from meanwhile import requests_of
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

PACKAGES = ("filelock", "portalocker", "zc.lockfile", "prometheus-client", "duckdb")
CONFIGURATION = """
WSGIDaemonProcess site python-home=@HOME@ threads=3 shutdown-timeout=2 @OPTIONS@
WSGIScriptAlias / @ROOT@/site.wsgi process-group=site application-group=%{GLOBAL}
"""
APPLICATION = """
import os, time
GENERATION = "one"

def application(environ, start_response):
    if environ["QUERY_STRING"]:
        open(environ["QUERY_STRING"] + ".started", "w").close()
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{GENERATION} {os.getpid()}".encode()]
"""
PLAIN = {
    "bind": (
        "import socket\nheld = socket.socket()\nheld.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "held.bind(('127.0.0.1', {port}))\nheld.listen()\n"
    ),
    "port": "import socket\nheld = socket.create_server(('127.0.0.1', {port}))\n",
    "flock": "import fcntl\nheld = open('{file}', 'w')\nfcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
    "lockf, and closed": (
        "import fcntl\nheld = open('{file}', 'w')\ntry:\n    fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except OSError as error:\n    held.close()\n    raise SystemExit('another one runs') from error\n"
    ),
    "sqlite": (
        "import sqlite3\nheld = sqlite3.connect('{file}', timeout=0, check_same_thread=False)\n"
        "held.execute('PRAGMA locking_mode=EXCLUSIVE')\nheld.execute('BEGIN EXCLUSIVE')\n"
        "held.execute('CREATE TABLE IF NOT EXISTS t (x)')\nheld.commit()\n"
    ),
}
PACKAGED = {
    "filelock": "import filelock\nheld = filelock.FileLock('{file}', timeout=0)\nheld.acquire()\n",
    "portalocker": "import portalocker\nheld = portalocker.Lock('{file}', timeout=0)\nheld.acquire()\n",
    "zc.lockfile": "import zc.lockfile\nheld = zc.lockfile.LockFile('{file}')\n",
    "prometheus": "import prometheus_client\nheld = prometheus_client.start_http_server({port}, '127.0.0.1')\n",
    "duckdb": "import duckdb\nheld = duckdb.connect('{file}')\n",
}
HOLDERS = {**PLAIN, **PACKAGED}


class Site:
    """A server with one group `site`, whose script holds something."""

    def __init__(self, serve_once, kind: str | None, options: str = "") -> None:
        packages = PACKAGES if kind in PACKAGED else pythons.PACKAGES
        home = str(pythons.environment(LIVE_PYTHON, packages).home)
        configuration = CONFIGURATION.replace("@HOME@", home).replace("@OPTIONS@", options)
        self.server: Httpd = serve_once.prepare(configuration)
        self.shared = self.server.writable_folder("shared")
        self.port = free_ports(1)[0]
        self.hold = HOLDERS[kind].format(port=self.port, file=self.shared / "taken") if kind else ""
        self.script = self.server.root / "site.wsgi"
        self.write("one")
        self.server.start()
        assert self.get() == "one"

    def write(self, generation: str, text: str | None = None) -> None:
        text = text or self.hold + APPLICATION.replace('"one"', f'"{generation}"')
        fresh = self.script.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.script)

    def answer(self) -> list[str]:
        answer = self.server.get("/")
        assert answer.status_code == 200, answer.text
        return answer.text.split()

    def get(self) -> str:
        return self.answer()[0]

    def waits(self) -> bool:
        """Whether a request is not answered for a while; it is left alone then."""
        try:
            return not self.server.client(timeout=0.5).get("/")
        except httpx.ReadTimeout:
            return True

    def pid(self) -> int:
        return int(self.answer()[1])

    def log(self, start: int = 0) -> str:
        return self.server.error_log()[start:]


def touch(site: Site) -> None:
    os.utime(site.script)


def usr1(site: Site) -> None:
    try:
        os.kill(site.pid(), signal.SIGUSR1)
    except ProcessLookupError:  # a roll-out has just replaced it
        usr1(site)


def graceful(site: Site) -> None:
    site.server.graceful()


def replaced(site: Site, act: Callable[[Site], None]) -> None:
    before = site.pid()
    act(site)
    wait_for(lambda: site.pid() != before, "another process answers")
    wait_for(lambda: [process.pid for process in site.server.daemons("site")] == [site.pid()], "no other is left")


@pytest.mark.parametrize("options", ["", "overlap=Off"])
@pytest.mark.parametrize("kind", HOLDERS)
def test_what_holds_something_is_replaced(serve_once, kind: str, options: str):
    site = Site(serve_once, kind, options)
    for number, act in enumerate((touch, usr1, graceful)):
        with requests_of(site.server):
            site.write(f"number{number}")
            replaced(site, act)
            wait_for(lambda: site.get() == f"number{number}", "it is the new code")
    before = site.pid()
    site.server.restart()
    wait_for(lambda: site.pid() != before, "a restart replaces it")
    log = site.log()
    assert log.count("WSGI328") == (0 if options else 1), "it is found out once, and remembered"
    assert not re.search("WSGI33[23]|WSGI329", log)
    if not options:
        line = site.server.wait_for_log("WSGI328")
        assert re.search(r"held, by process \d+, an old one of this group", line), line
        assert (str(site.port) if kind in ("bind", "port", "prometheus") else str(site.shared / "taken")) in line, line


def restart(site: Site) -> None:
    site.server.restart()


@pytest.mark.parametrize("act", [touch, usr1, graceful, restart])
def test_each_way_of_replacing_finds_it_out(serve_once, act: Callable[[Site], None]):
    site = Site(serve_once, "port")
    # A restart of httpd cuts what its children have.
    with requests_of(site.server) if act is not restart else nullcontext():
        if act is touch:  # otherwise a request that notices new code has the old configuration find it out, too
            site.write("two")
        replaced(site, act)
    # A restart of httpd ends the old process before the new one starts, so there is nothing to find.
    found = 0 if act is restart else 1
    assert (site.get(), site.log().count("WSGI328")) == ("two" if act is touch else "one", found)


@pytest.mark.parametrize("options", ["preload=On", "preload=On overlap=Off"])
def test_a_template_holds_it_too(serve_once, options: str):
    site = Site(serve_once, "port", options)
    for act in (touch, graceful, restart):
        with requests_of(site.server) if act is not restart else nullcontext():
            before = site.pid()
            site.write(act.__name__)
            act(site)
            wait_for(lambda: site.get() == act.__name__, "the new code answers")
        assert site.pid() != before
    assert not re.search("WSGI33[23]|WSGI329", site.log())
    assert site.log().count("WSGI328") == (0 if "overlap" in options else 1)


def test_a_group_that_sleeps_is_replaced_when_it_is_awake(serve_once):
    site = Site(serve_once, "flock", "start=on-demand idle-timeout=1s")
    for act in (touch, graceful):
        site.write(act.__name__)
        replaced(site, act)
    assert site.get() == "graceful"
    wait_for(lambda: not site.server.daemons("site"), "it sleeps")
    assert site.get() == "graceful"


def test_a_running_request_is_finished_first(serve_once):
    site = Site(serve_once, "flock", "overlap=Off")
    go_on = site.shared / "go-on"
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(site.server.get(f"/?{go_on}").text))
    slow.start()
    wait_for((site.shared / "go-on.started").exists, "the slow request runs")
    old = site.server.daemons("site")[0].pid
    site.write("two")
    wait_for(lambda: site.waits(), "the old process accepts no more")
    waiting = threading.Thread(target=lambda: answers.append(site.server.get("/").text))
    waiting.start()
    assert [process.pid for process in site.server.daemons("site")] == [old] and not answers
    go_on.touch()
    for thread in (slow, waiting):
        thread.join(20)
    assert answers == [f"one {old}", f"two {site.pid()}"]


def test_another_failure_keeps_the_old_code(serve_once):
    site = Site(serve_once, None)
    before = site.pid()
    site.write("two", "raise OSError(2, 'no such thing')\n")
    wait_for(lambda: site.get() == "one" and "WSGI332" in site.log(), "it is not rolled out")
    site.server.graceful()
    site.server.wait_for_log("WSGI333")
    assert site.pid() == before
    assert "WSGI328" not in site.log()


def test_what_a_process_of_others_holds_keeps_the_old_code(serve_once):
    """The end of the old process would not help."""
    import socket

    site = Site(serve_once, None)
    before = site.pid()
    with socket.create_server(("127.0.0.1", site.port)):
        site.write("two", HOLDERS["port"].format(port=site.port) + APPLICATION)
        line = wait_for(lambda: site.get() == "one" and re.search(".*WSGI332.*", site.log()), "not rolled out")[0]
        assert f"port {site.port}" in line
        assert re.search(rf"by process {os.getpid()}, which is none|by a process of another user", line), line
        assert site.pid() == before
    assert "WSGI328" not in site.log()


@pytest.mark.parametrize("options", ["processes=2", "overlap=On"])
def test_elsewhere_the_message_names_the_option(serve_once, options: str):
    site = Site(serve_once, None, options)
    site.write("two", HOLDERS["flock"].format(file=site.shared / "taken") + APPLICATION)
    if options == "overlap=On":
        wait_for(lambda: "WSGI331" in site.log() or not site.get(), "it is rolled out to a free place")
        site.write("three")
        site.hold = HOLDERS["flock"].format(file=site.shared / "taken")
        site.write("three")
    line = wait_for(lambda: site.get() and re.search(".*WSGI332.*", site.log()), "not rolled out")[0]
    assert "overlap=Off" in line and str(site.shared / "taken") in line
    assert "WSGI328" not in site.log()


def test_a_broken_script_has_no_old_one_to_go_back_to(serve_once):
    site = Site(serve_once, "zc.lockfile", "overlap=Off")
    site.write("two", site.hold + "import a_module_that_nobody_has_written\n")
    answer = wait_for(lambda: (got := site.server.get("/")).status_code != 200 and got, "it is not served any more")
    assert answer.status_code in (500, 503)
    site.server.wait_for_log("a_module_that_nobody_has_written")
    site.write("three")
    wait_for(lambda: site.server.get("/").text.startswith("three"), "the mended script is served", timeout=20)


def test_what_a_failed_attempt_left_behind_holds_nothing_up(serve_once):
    """The script fails after it has bound its port, which stays bound in that process."""
    site = Site(serve_once, None, "overlap=Off")
    bind = f"import socket, sys\nsys.held = socket.create_server(('127.0.0.1', {site.port}))\n"
    site.write("two", bind + "import a_module_that_nobody_has_written\n")
    wait_for(lambda: site.server.get("/").status_code == 500, "it is not served any more")
    site.write("three", bind + APPLICATION.replace('"one"', '"three"'))
    wait_for(lambda: site.server.get("/").text.startswith("three"), "the mended script is served", timeout=20)
    site.server.wait_for_log(r"WSGI331.*the reason why .*site.wsgi could not be loaded changed")


def test_a_leader_is_elected_after_a_deploy(serve_once):
    """No exception tells of a lock that is tried and not taken: that is what overlap=Off is for."""
    site = Site(serve_once, None, "overlap=Off")
    elect = (
        "import fcntl\nlock = open('{0}', 'a')\ntry:\n    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    LEADS = True\nexcept OSError:\n    LEADS = False\n"
    ).format(site.shared / "leader")
    for number in range(3):
        site.write("", elect + APPLICATION.replace('"one"', f"f'number{number}-{{LEADS}}'"))
        wait_for(lambda: site.get() == f"number{number}-True", "the new process leads")
