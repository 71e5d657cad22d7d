"""What a site writes is read by a process of its own: one that stands still keeps no other site, and not the supervisor.

A site can have a read of its output wait in the kernel, where no signal ends it (a page of its own FUSE file in the
pipe). A reader that was stopped stands for one that waits so.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from httpd import Httpd
from processes import Process
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ {options}
WSGIDaemonProcess other python-home=@PYTHON@
WSGIScriptAlias /site @APPS@/process.wsgi process-group=site application-group=%{{GLOBAL}}
WSGIScriptAlias /other @APPS@/process.wsgi process-group=other application-group=%{{GLOBAL}}
"""


def started(serve_once, options: str = "") -> Httpd:
    server = serve_once.prepare(CONFIGURATION.format(options=options))
    server.start()
    wait_for(lambda: served(server, "site") and served(server, "other"), "both sites are served")
    return server


def served(server: Httpd, site: str) -> int:
    answer = server.get(f"/{site}", timeout=10)
    return answer.json()["pid"] if answer.status_code == 200 else 0


def readers(server: Httpd, group: str) -> set[Process]:
    return {process for process in server.note_processes() if process.title == f"(wsgi:supervisor) output of {group}"}


def stop(server: Httpd, group: str) -> set[Process]:
    stopped = readers(server, group)
    assert stopped
    for reader in stopped:
        os.kill(reader.pid, signal.SIGSTOP)
    return stopped


def replaced(server: Httpd, site: str, within: float) -> None:
    before = served(server, site)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: served(server, site) not in (0, before), f"{site} has a new process", within, every=0.01)


@pytest.mark.parametrize("options", ["", "preload=On"])
def test_a_reader_that_stands_still_keeps_its_own_site_only(serve_once, options: str):
    server = started(serve_once, options)
    stopped = stop(server, "site")
    os.kill(served(server, "site"), signal.SIGKILL)
    replaced(server, "other", within=2)
    # A template lives on, and with it its own.
    wait_for(lambda: sum(reader.alive for reader in stopped) == len(stopped) - 1, "the reader of the process is ended", 10)
    server.wait_for_log("WSGI368: process group 'site'")
    wait_for(lambda: served(server, "site"), "the site is served again", 15)
    assert len(server.supervisors()) == 1 and "WSGI395" not in server.error_log()


def test_restarts_and_a_stop_do_not_wait_for_a_reader(serve_once):
    server = started(serve_once)
    stopped = stop(server, "site")
    server.graceful()
    wait_for(lambda: not any(reader.alive for reader in stopped) and served(server, "site"), "the old ones have gone", 10)
    stopped = stop(server, "site")
    server.restart()
    wait_for(lambda: not any(reader.alive for reader in stopped) and served(server, "site"), "the old ones have gone", 10)
    stopped = stop(server, "site")
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 5 and not any(reader.alive for reader in stopped)


def test_a_reader_has_nothing_open_but_its_pipes(serve_once):
    """A daemon sees by the end of its control socket that the supervisor has gone; a log program, that httpd has."""
    server = started(serve_once)
    for reader in readers(server, "site") | readers(server, "other"):
        opened = reader.descriptors
        assert opened.count("/dev/null") >= 3 and sum(name.startswith("pipe:") for name in opened) == 6, opened
        line = [name for name in opened if not name.startswith(("pipe:", "/dev/null"))]
        assert len(line) == 1 and line[0].startswith("socket:"), opened
        status = Path(f"/proc/{reader.pid}/status").read_text()
        assert "Threads:\t1\n" in status and f"CapEff:\t{0:016x}\n" in status and f"CapPrm:\t{0:016x}\n" in status
