"""preload=On: scripts are imported once, and the processes of the group are forked from the one that has."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import limited
from httpd import Httpd
from meanwhile import Meanwhile
from processes import Process
from waiting import wait_for

pytestmark = pytest.mark.ours

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ env=FOLDER=@ROOT@/told processes=3 threads=2 preload=@PRELOAD@ @OPTIONS@
WSGIScriptAlias / @APPS@/preloaded.wsgi process-group=site
"""


def started(serve_once, options: str = "", preload: str = "On", broken: bool = False) -> Httpd:
    server = serve_once.prepare(CONFIGURATION.replace("@PRELOAD@", preload).replace("@OPTIONS@", options))
    folder = server.writable_folder("told")
    if broken:
        (folder / "broken").touch()
    return server.start()


def imports(server: Httpd) -> list[int]:
    return [int(line) for line in limited.told(server, "imports")]


def workers(server: Httpd) -> list[Process]:
    return [process for process in server.daemons("site") if not process.title.endswith("template")]


def template(server: Httpd) -> list[Process]:
    return [process for process in server.daemons("site") if process.title.endswith("template")]


def facts(server: Httpd) -> list:
    answer = server.get("/")
    assert answer.status_code == 200
    return answer.json()


def of_all(server: Httpd, count: int = 3) -> dict[int, list]:
    found: dict[int, list] = {}

    def everybody() -> bool:
        with ThreadPoolExecutor(6) as pool:
            found.update((answer[0], answer) for answer in pool.map(lambda _: facts(server), range(12)))
        for pid in set(found) - {worker.pid for worker in workers(server)}:
            del found[pid]
        return len(found) == count

    wait_for(everybody, f"{count} processes answer")
    return found


def test_scripts_are_imported_once_and_memory_is_shared(serve_once):
    server = started(serve_once)
    found = of_all(server)
    [supervisor] = server.supervisors()
    [origin] = template(server)
    assert imports(server) == [origin.pid]
    for pid, parent, imported_by, own, told, *_, large in found.values():
        assert (parent, imported_by, told, large) == (supervisor.pid, origin.pid, True, 50 << 20)
        assert own < 40 * 1024, f"{pid} has {own} KiB of its own"
    unshared = started(serve_once, preload="Off")
    assert all(answer[3] > 50 * 1024 for answer in of_all(unshared).values())


def test_a_forked_process_is_what_an_executed_one_is(serve_once):
    forked = of_all(started(serve_once))
    executed = of_all(started(serve_once, preload="Off"))
    for one in forked.values():
        for other in executed.values():
            assert one[5:9] == other[5:9]
            assert one[9] == other[9], "open descriptors"


def test_a_process_that_is_killed_is_replaced_without_another_import(serve_once):
    server = started(serve_once)
    first = of_all(server)
    [origin] = template(server)
    victim = workers(server)[0]
    victim.kill()
    wait_for(lambda: len(workers(server)) == 3 and not victim.alive, "there are three again")
    assert len(set(of_all(server)) - set(first)) == 1
    origin.kill()
    wait_for(lambda: not origin.alive, "the template has gone")
    assert set(of_all(server)) & set(first), "its processes are none the worse"
    assert len(imports(server)) == 1
    workers(server)[0].kill()
    wait_for(lambda: len(imports(server)) == 2, "a new template for the next one")
    of_all(server)


def test_new_code_comes_from_a_new_template(serve_once):
    server = started(serve_once)
    of_all(server)
    [origin] = template(server)
    script = server.root / "apps/preloaded.wsgi"
    with Meanwhile(server):
        os.utime(script, (time.time(), time.time() + 5))
        wait_for(lambda: not origin.alive and template(server), "another template")
    assert all(answer[2] == template(server)[0].pid for answer in of_all(server).values())
    assert len(imports(server)) == 2
    (server.root / "told/broken").touch()
    start = len(server.error_log())
    with Meanwhile(server):
        os.utime(script, (time.time(), time.time() + 10))
        server.wait_for_log("WSGI332", start=start)
    (server.root / "told/broken").unlink()
    server.graceful()
    wait_for(lambda: len(imports(server)) >= 4, "the new generation has a template")
    of_all(server)


def test_a_script_that_cannot_be_imported(serve_once):
    server = started(serve_once, broken=True)
    assert server.get("/").status_code == 500
    server.wait_for_log("WSGI401")
    (server.root / "told/broken").unlink()
    wait_for(lambda: server.get("/").status_code == 200, "it is tried again")


def test_a_template_that_cannot_start(serve_once):
    server = started(serve_once, "python=/nonexistent/python")
    assert server.get("/").status_code == 503
    server.wait_for_log("WSGI310")


@pytest.mark.parametrize("option", ["maximum-requests=20", "restart-interval=1"])
def test_limits_renew_by_forks(serve_once, option: str):
    server = started(serve_once, option)
    first = set(of_all(server))
    with Meanwhile(server, clients=4):
        wait_for(lambda: not first & {worker.pid for worker in workers(server)}, "all are renewed", timeout=20)
    assert len(imports(server)) == 1


def test_operators_signals_and_request_timeout(serve_once):
    server = started(serve_once, "request-timeout=1")
    of_all(server)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        victim = workers(server)[0]
        with Meanwhile(server):
            victim.kill(number)
            wait_for(lambda victim=victim: not victim.alive and len(workers(server)) == 3, "another takes its place")
    assert len(imports(server)) == 1


def test_a_group_that_sleeps_has_no_template_either(serve_once):
    server = started(serve_once, "start=on-demand idle-timeout=1")
    assert server.daemons("site") == []
    of_all(server)
    wait_for(lambda: not server.daemons("site"), "all of them sleep")
    of_all(server)
    assert len(imports(server)) == 2
