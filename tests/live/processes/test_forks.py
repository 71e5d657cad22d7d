"""What an application's fork copies: the copy is a process of its own, and the server does not notice that it is there."""

from __future__ import annotations

import os
import signal
import threading

import pytest

import pythons
from httpd import Httpd
from machine import listening_ports
from processes import Process
from waiting import wait_for

OTHER = "WSGIScriptAlias /other @APPS@/forks.wsgi process-group=site application-group=other\n"

# By at-fork functions, by a system call that skips them, and a program that inherits all.
COPIES = ["forked", "bare", "executed"]


def site(version: str, python, options: str = "") -> str:
    return (
        f"WSGIDaemonProcess site python-home={python(version).home} threads=5 {options}\n"
        "WSGIScriptAlias / @APPS@/forks.wsgi process-group=site application-group=%{GLOBAL}\n"
    )


@pytest.fixture(scope="module", params=pythons.VERSIONS)
def version(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(serve, python, version: str) -> Httpd:
    return serve(site(version, python))


pytestmark = [pytest.mark.both_modes, pytest.mark.waits]


def test_a_child_that_is_terminated_ends_by_it(server: Httpd):
    for _ in range(3):
        assert server.get("/terminated").json() == [-signal.SIGTERM] * 2


def test_a_child_is_joined(server: Httpd):
    start = len(server.error_log())
    assert server.get("/joined").json() == 0
    server.wait_for_log("by print of the copy$", start=start)


def test_pools(server: Httpd):
    assert server.get("/pools").json() == [[0, 1, 4, 9]] * 10


@pytest.mark.daemon_mode
def test_a_copy_has_nothing_of_the_server(server: Httpd):
    links, [handlers], shared = server.get("/held").json()
    ours = [link for link in links.values() if link.startswith("socket:") or "memfd:mod_wsgi_rs" in link]
    assert (ours, shared) == ([], [])
    assert "anon_inode:[eventpoll]" not in links.values()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU, signal.SIGHUP, signal.SIGUSR2):
        assert not int(handlers, 16) >> (number - 1) & 1, number


def test_a_copy_may_set_handlers(server: Httpd):
    assert server.get("/handles").json() == 7


@pytest.mark.daemon_mode
def test_processes_of_a_template_are_no_copies(serve_once, python, version: str):
    server = serve_once(site(version, python, "preload=On"))
    assert server.get("/ignored").json() is True
    assert server.get("/terminated").json() == [-signal.SIGTERM] * 2
    assert server.get("/handles").json() == 7
    assert [server.get("/held").json()[2] for _ in range(2)] == [[], []]
    assert server.get("/process").json() == server.daemons("site")[-1].pid


SERVICE = """
import multiprocessing
import sys
import time

fork = multiprocessing.get_context("fork")
child = fork.Process(target=time.sleep, args=(60,))
child.start()
child.terminate()
child.join(10)
print("the child ended with", child.exitcode, file=sys.stderr)
time.sleep(60)
"""


@pytest.mark.daemon_mode
def test_what_a_service_script_forks_ends_by_a_signal(serve_once, python, version: str):
    server = serve_once.prepare(
        f"WSGIDaemonProcess service python-home={python(version).home} threads=0\n"
        "WSGIImportScript @ROOT@/service.py process-group=service application-group=%{GLOBAL}\n"
    )
    (server.root / "service.py").write_text(SERVICE)
    server.start().wait_for_log(f"the child ended with {-signal.SIGTERM}$")


def test_several_interpreters_are_warned_of(serve_once, python, version: str):
    server = serve_once(
        site(version, python).replace("WSGIScriptAlias", OTHER + "WSGIScriptAlias")
    )
    server.get("/other/process")
    for _ in range(2):
        copy = Process.of(server.get("/forked").json())
        if copy:  # it may have crashed
            copy.kill()
    server.wait_for_log("WSGI389")
    assert server.error_log().count("WSGI389") == 1


@pytest.mark.daemon_mode
def test_a_copy_that_no_function_has_seen_ends_by_a_signal(server: Httpd):
    daemon = server.get("/process").json()
    assert server.get("/signalled").json() == -signal.SIGTERM
    assert server.get("/process").json() == daemon


def test_httpd_ends_though_there_is_a_copy(serve_once, python, version: str):
    server = serve_once(site(version, python))
    copy = Process.of(server.get("/forked").json())
    others = [process for process in server.note_processes() if process != copy]
    server.parent.send_signal(signal.SIGTERM)
    server.parent.wait(timeout=15)
    if server.mpm == "prefork" or server.mode == "daemon":  # prefork sends SIGTERM to the process group, the copy included
        wait_for(lambda: not copy.alive, "the copy has ended with it")
    else:
        assert copy.alive
    wait_for(lambda: not any(port in listening_ports() for port in server.ports.values()), "its ports are free")
    wait_for(lambda: not any(process.alive for process in others), "everything else has ended")
    copy.kill()


class Copies:
    """Makes copies, and ends them with the block."""

    def __init__(self, server: Httpd, kind: str):
        self.server, self.kind = server, kind
        self.made: list[Process] = []
        self.of_old_generation: list[Process] = []

    def graceful(self) -> None:
        """Forks end with their generation; programs do not."""
        self.of_old_generation = [] if self.kind == "executed" else list(self.made)
        self.server.graceful()

    def make(self) -> None:
        pid = self.server.get(f"/{self.kind}").json()
        self.made.append(Process.of(pid))

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *_) -> None:
        assert all(copy.alive for copy in self.made if copy not in self.of_old_generation)
        for copy in self.made:
            copy.kill()


@pytest.mark.daemon_mode
@pytest.mark.parametrize("kind", COPIES)
def test_a_process_that_ends_leaves_nothing_to_wait_for(serve_once, python, version: str, kind: str):
    server = serve_once(site(version, python))
    script = server.root / "apps" / "forks.wsgi"

    def touch() -> None:
        os.utime(script)
        server.get("/process")

    ends = {
        "touch": touch,
        "SIGUSR1": lambda: daemon.kill(signal.SIGUSR1),
        "graceful": lambda: copies.graceful(),
        "SIGTERM": lambda: daemon.kill(signal.SIGTERM),
    }
    with Copies(server, kind) as copies, server.client(timeout=10) as client:
        for what, end in ends.items():
            daemon = Process.of(client.get("/process").json())
            copies.make()
            end()
            answers = []
            wait_for(lambda: answers.append(client.get("/process")) or not daemon.alive, f"{what} replaces it")
            answers += [client.get("/process") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200] * len(answers), what


@pytest.mark.daemon_mode
@pytest.mark.parametrize("kind", COPIES)
def test_maximum_requests(serve_once, python, version: str, kind: str):
    server = serve_once(site(version, python, "maximum-requests=2"))
    with Copies(server, kind) as copies, server.client(timeout=10) as client:
        for _ in range(4):
            copies.make()
            for _ in range(3):
                assert client.get("/process").status_code == 200


@pytest.mark.daemon_mode
@pytest.mark.parametrize("kind", COPIES)
def test_a_request_inside_a_killed_process_is_lost_at_once(serve_once, python, version: str, kind: str):
    server = serve_once.prepare(site(version, python))
    shared = server.writable_folder("apps/shared")
    server.start()
    with Copies(server, kind) as copies:
        daemon = Process.of(server.get("/process").json())
        lost = []
        asking = threading.Thread(target=lambda: lost.append(server.get("/sleeps")))
        asking.start()
        wait_for((shared / "sleeps").exists, "the request is inside")
        copies.make()
        daemon.kill()
        asking.join(5)
        assert [answer.status_code for answer in lost] == [502]
        assert [server.get("/process").status_code for _ in range(4)] == [200] * 4
