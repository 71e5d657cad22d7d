"""Processes that an application starts can be sent signals: nothing of what httpd's threads block stays blocked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pythons
from httpd import Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.ours]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@HOME@ threads=2
WSGIProcessGroup site
WSGIScriptAlias /main @APPS@/children_signals.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @APPS@/children_signals.wsgi application-group=other
"""

WAYS = [
    "popen", "shell", "not_closing", "a_thread", "os_popen", "os_system", "posix_spawn", "posix_spawnp",
]  # fmt: skip
NOTHING_BLOCKED = "0" * 16


@pytest.fixture(scope="module", params=pythons.VERSIONS)
def server(request: pytest.FixtureRequest, serve, python) -> Httpd:
    return serve(CONFIGURATION.replace("@HOME@", str(python(request.param).home)))


def seen(server: Httpd, path: str) -> object:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("place", ["main", "other"])
def test_a_child_can_be_ended(server: Httpd, place: str):
    assert seen(server, f"/{place}/terminate") == [-15, -15, -15]


def test_a_spawned_process_of_multiprocessing_can_be_ended(server: Httpd):
    assert seen(server, "/main/multiprocessing") == -15


def test_its_own_threads_have_the_mask_that_they_had(server: Httpd):
    """multiprocessing's resource_tracker takes SIGINT and SIGTERM out of the mask of the thread that starts it."""

    def masks() -> list[str]:
        tasks = [task for child in server.children() for task in Path(f"/proc/{child.pid}/task").iterdir()]
        return sorted(re.search(r"SigBlk:\s*(\w+)", (task / "status").read_text())[1] for task in tasks)

    assert seen(server, "/main/terminate") == [-15, -15, -15]
    before = masks()
    for _ in range(8):
        assert seen(server, "/main/multiprocessing") == -15
    assert masks() == before


@pytest.mark.parametrize("place", ["main", "other"])
def test_no_signal_is_blocked_in_a_child(server: Httpd, place: str):
    masks = {way: seen(server, f"/{place}/mask/{way}") for way in WAYS}
    assert masks == {way: NOTHING_BLOCKED for way in masks}


@pytest.mark.parametrize("place", ["main", "other"])
def test_the_mask_of_the_thread_stays(server: Httpd, place: str):
    before, after = seen(server, f"/{place}/own_mask")
    assert before == after
    assert (before == NOTHING_BLOCKED) == (server.mode == "daemon" or server.mpm == "prefork")


@pytest.mark.parametrize("place", ["main", "other"])
def test_os_system_is_as_usual(server: Httpd, place: str):
    assert seen(server, f"/{place}/os_system") == [0, 3 << 8, 15, "TypeError", "value\n"]
