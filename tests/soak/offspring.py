"""Processes that applications have started: told from daemons, whose names their copies have, and gone at the end."""

from __future__ import annotations

from pathlib import Path

import psutil

from httpd import Httpd
from processes import Process, descendants
from waiting import wait_for


def real_daemons(server: Httpd, group: str | None = None) -> list[Process]:
    """Without the copies that applications made of them, nor those that the supervisor has adopted."""
    supervisors, copies = {process.pid for process in server.supervisors()}, started(server.root)
    return [found for found in server.daemons(group) if found.parent in supervisors and found not in copies]


def started(root: Path) -> dict[Process, tuple[str, int]]:
    """What the applications wrote down: each process with its kind and the daemon or child that started it."""
    found = {}
    for line in (root / "site/records/started").read_text().splitlines():
        pid, when, parent, kind = line.split(maxsplit=3)
        found[Process(int(pid), when)] = kind, int(parent)
    return found


def end(root: Path):
    """The soak is over: they end by themselves."""
    (root / "site/records/over").touch()


def left_behind(server: Httpd) -> list[str]:
    """What is there though its time is over; to be asked when no request runs, and daemons and children are new."""

    def left():
        return [process for process in started(server.root) if process.alive]

    try:
        wait_for(lambda: not left() and not zombies_of(server), "they end", 10)
    except AssertionError:
        known = started(server.root)
        texts = [f"{known[process][0]} {process.pid} of {known[process][1]}: {process.title}" for process in left()]
        texts += [f"a zombie: {pid} of {parent}" for pid, parent in zombies_of(server)]
        for process in left():
            process.kill()
        return texts
    return []


def zombies_of(server: Httpd) -> list[tuple[int, int]]:
    """Ended processes that nobody has asked for, and whose they are."""
    family = {server.parent.pid, *(process.pid for process in descendants(server.parent.pid))}
    everything = [process.info for process in psutil.process_iter(["pid", "ppid", "status"])]
    zombies = [info for info in everything if info["status"] == psutil.STATUS_ZOMBIE]
    return [(info["pid"], info["ppid"]) for info in zombies if info["ppid"] in family]
