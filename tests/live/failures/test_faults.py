"""The table of faults in docs/architecture.md: what a fault costs, and that everything goes on afterwards."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from httpd import IS_ROOT, MPM, Httpd
from processes import Process
from waiting import wait_for

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ env=FOLDER=@ROOT@/told threads=4 shutdown-timeout=1 @OPTIONS@
WSGIScriptAlias / @APPS@/faults.wsgi process-group=site
"""

pytestmark = pytest.mark.ours


def started(serve_once, options: str = "") -> Httpd:
    server = serve_once.prepare(CONFIGURATION.replace("@OPTIONS@", options))
    server.writable_folder("told")
    server.start()
    server.wait_for_daemons(1, "site")
    return server


def pid(server: Httpd) -> int:
    answer = server.get("/")
    assert answer.status_code == 200
    return int(answer.text)


def limit_descriptors(process: Process, most: int) -> None:
    """The soft limit; only a process of the same user may set it."""
    account = {"user": process.user, "group": process.user} if IS_ROOT else {}
    subprocess.run(["prlimit", f"--pid={process.pid}", f"--nofile={most}:"], check=True, **account)


def leave_descriptors(process: Process, free: int) -> None:
    """So many new ones; the limit is for their numbers, of which some may be free."""
    taken = {int(entry.name) for entry in Path(f"/proc/{process.pid}/fd").iterdir()}
    limit_descriptors(process, sorted(set(range(len(taken) + free + 1)) - taken)[free])


@pytest.mark.parametrize("way", ["segv", "overflow", "kill", "exit", "abort"])
def test_a_process_that_ends_takes_its_own_requests_with_it(serve_once, way: str):
    server = started(serve_once)
    first, start = pid(server), len(server.error_log())
    assert server.get(f"/{way}").status_code == 502
    assert pid(server) != first
    server.wait_for_log("WSGI323", start=start)


@pytest.mark.parametrize("way", ["sys-exit", "recurse", "memory"])
def test_what_python_can_report_costs_the_request_only(serve_once, way: str):
    server = started(serve_once, "virtual-memory-limit=1G")
    first = pid(server)
    assert server.get(f"/{way}").status_code == 500
    assert pid(server) == first


def test_a_daemon_without_descriptors_lets_connections_wait(serve_once):
    server = started(serve_once)
    [daemon] = server.daemons("site")
    go_on, start = server.root / "told/go-on", len(server.error_log())
    with ThreadPoolExecutor(9) as pool:
        holder = pool.submit(server.get, "/descriptors")
        wait_for((server.root / "told/exhausted").exists, "there is one descriptor left")
        others = [pool.submit(server.get, "/") for _ in range(8)]
        server.wait_for_log("WSGI382", start=start)
        go_on.touch()
        assert [answer.result().status_code for answer in (holder, *others)] == [200] * 9
    assert server.error_log()[start:].count("WSGI382") <= 2, "many attempts are one message"
    assert pid(server) == daemon.pid


@pytest.mark.skipif(MPM == "worker", reason="a child of the worker MPM that cannot accept a connection ends")
def test_a_child_without_descriptors_answers_503(serve_once):
    server = started(serve_once)
    [child] = server.children()
    # The client's connection takes the last one.
    leave_descriptors(child, 1)
    wait_for(lambda: server.get("/").status_code == 503, "there is none left")
    server.wait_for_log("WSGI231.*Too many open files")
    limit_descriptors(child, 1024)
    wait_for(lambda: server.get("/").status_code == 200, "there are some again")


@pytest.mark.skipif(MPM == "prefork", reason="one child is to serve it all")
def test_a_child_without_a_descriptor_for_a_file_does_not_blame_the_site(serve_once):
    server = serve_once(CONFIGURATION.replace("@OPTIONS@", "").replace("faults.wsgi", "file_wrapper.wsgi") + "WSGIEnableSendfile On\n")
    [child], path = server.children(), f"/raw?path={server.root}/apps/hello.wsgi"
    with server.client() as client:
        assert client.get(path).status_code == 200
        leave_descriptors(child, 0)
        assert client.get(path).status_code == 503
        server.wait_for_log("WSGI231.*no descriptor left for the file that process group 'site' answers with")
        limit_descriptors(child, 1024)
        assert client.get(path).status_code == 200
    assert "WSGI234" not in server.error_log()


@pytest.mark.skipif(MPM == "prefork", reason="one child is to serve it all")
def test_descriptors_that_nobody_asked_for_do_not_fill_a_child(serve_once):
    server = started(serve_once)
    [child] = server.children()
    assert pid(server)
    open_before, memory = len(child.descriptors), child.resident
    for _ in range(5):
        assert server.get("/send-descriptors").status_code == 502
    wait_for(lambda: pid(server), "it goes on")
    assert [process.pid for process in server.children()] == [child.pid]
    assert len(child.descriptors) < open_before + 10
    assert child.resident < memory + 20_000, "nor does a frame that is only announced cost memory"


def test_strays_of_old_processes_do_not_fill_the_supervisor(serve_once):
    server = started(serve_once, "maximum-requests=1")
    [supervisor] = server.supervisors()
    try:
        for _ in range(60):
            assert server.get("/stray").status_code == 200
        strays = [process for process in server.note_processes() if process.title.startswith("sleep")]
        wait_for(lambda: len(supervisor.descriptors) < 50, "what old processes had is closed")
    finally:
        for stray in strays:
            stray.kill()
    assert len(strays) > 30, "they are no children of anybody's"


def test_threads_and_exit_functions_that_never_end(serve_once):
    server = started(serve_once)
    [daemon] = server.daemons("site")
    assert server.get("/never-end").status_code == 200
    start = len(server.error_log())
    daemon.kill(signal.SIGUSR1)
    wait_for(lambda: not daemon.alive, "it ends without them", timeout=5)
    server.wait_for_log("WSGI388", start=start)
    assert pid(server) != daemon.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_an_operators_signal_loses_nothing(serve_once, number: signal.Signals):
    server = started(serve_once)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            serving = pid(server)
            [daemon] = [process for process in server.daemons("site") if process.pid == serving]
            answers = [pool.submit(server.get, "/") for _ in range(20)]
            daemon.kill(number)
            assert [answer.result().status_code for answer in answers] == [200] * 20
            wait_for(lambda daemon=daemon: not daemon.alive, "the old one has gone")


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a disk that is full")
def test_a_full_disk_under_the_sockets(serve_once, tmp_path: Path):
    tmp_path.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        server = serve_once.prepare(f"WSGISocketPrefix {tmp_path}/wsgi\n" + CONFIGURATION.replace("@OPTIONS@", ""))
        with contextlib.suppress(AssertionError):  # it may listen for a moment
            server.start()
        server.wait_for_log("WSGI304.*No space left.*WSGISocketPrefix")
        assert server.parent.wait(timeout=10) != 0
    finally:
        subprocess.run(["umount", tmp_path], check=True)
