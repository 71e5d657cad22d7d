"""preload=On: what becomes of the template and of its processes when something goes wrong."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from httpd import Httpd
from processes import Process
from test_preload import CONFIGURATION, imports, of_all, started, template, workers
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.waits]


def with_script(serve_once, beginning: str, options: str) -> Httpd:
    """The site's script begins with these lines."""
    server = serve_once.prepare(CONFIGURATION.replace("@PRELOAD@", "On").replace("@OPTIONS@", options))
    server.writable_folder("told")
    script = server.root / "apps/preloaded.wsgi"
    script.write_text(beginning + script.read_text())
    return server.start()


def replace(server: Httpd, victims: list[Process]) -> None:
    for victim in victims:
        victim.kill()
        wait_for(lambda victim=victim: not victim.alive and len(workers(server)) == 3, "another takes its place")


def sockets(process: Process) -> set[str]:
    return {place for place in process.descriptors if place.startswith("socket:")}


def test_a_forked_process_holds_nothing_of_its_template(serve_once):
    server = started(serve_once)
    of_all(server)
    [origin] = template(server)
    common = [sockets(origin) & sockets(worker) for worker in workers(server)]
    assert [len(each) for each in common] == [1] * 3, "the listening socket, and no control socket"
    assert "process 0 " not in server.error_log()


def test_after_new_code_that_cannot_be_loaded_processes_come_from_the_old_template(serve_once):
    server = started(serve_once)
    of_all(server)
    [origin] = template(server)
    (server.root / "told/broken").touch()
    os.utime(server.root / "apps/preloaded.wsgi", (time.time(), time.time() + 5))
    assert server.get("/").status_code == 200
    server.wait_for_log("WSGI332")
    tried = len(imports(server))
    wait_for(lambda: template(server) == [origin], "the template of the new code has gone")
    replace(server, workers(server))
    assert {answer[2] for answer in of_all(server).values()} == {origin.pid}
    assert len(imports(server)) == tried


def test_what_could_not_be_imported_at_first_is_shared_by_later_processes(serve_once):
    server = started(serve_once, broken=True)
    assert server.get("/").status_code == 500
    (server.root / "told/broken").unlink()
    wait_for(lambda: server.get("/").status_code == 200, "it is tried again")
    replace(server, workers(server))
    [origin] = template(server)
    assert {answer[2] for answer in of_all(server).values()} == {origin.pid}


def test_a_template_that_fails_again_and_again_is_shown_once(serve_once):
    server = with_script(serve_once, "import os, sys\nprint('noisy', file=sys.stderr)\nos._exit(3)\n", "")
    wait_for(lambda: server.error_log().count("WSGI322") == 3, "three attempts")
    assert len(re.findall(r"\] noisy$", server.error_log(), re.M)) == 1


def test_signals_to_a_template(serve_once):
    hang_up = "import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\n"
    server = with_script(serve_once, hang_up, "")
    of_all(server)
    [origin] = template(server)
    origin.kill(signal.SIGHUP)
    origin.kill(signal.SIGUSR2)
    replace(server, workers(server)[:1])
    assert {answer[2] for answer in of_all(server).values()} == {origin.pid}
    origin.kill(signal.SIGUSR1)
    wait_for(lambda: not origin.alive, "it makes room for another")
    replace(server, workers(server))
    assert {answer[2] for answer in of_all(server).values()} == {template(server)[0].pid}
    assert len(imports(server)) == 2


def test_a_template_without_its_control_socket_keeps_nobody_busy(serve_once):
    close = "import os, time\nos.closerange(3, 100)\nopen(f\"{os.environ['FOLDER']}/closed\", 'w')\ntime.sleep(60)\n"
    server = with_script(serve_once, close, "startup-timeout=2")
    wait_for((server.root / "told/closed").exists, "it is closed")
    [supervisor] = server.supervisors()
    before = supervisor.cpu
    server.wait_for_log("WSGI327")
    assert supervisor.cpu - before < 0.5


STUCK = """
import os
import time


def after_fork():
    with open(f"{os.environ['FOLDER']}/forked", "a") as file:
        file.write(f"{os.getpid()}\\n")
    if len(open(f"{os.environ['FOLDER']}/forked").readlines()) == NUMBER:
        time.sleep(600)


os.register_at_fork(after_in_child=after_fork)
"""


@pytest.mark.parametrize("number", [1, 2], ids=["the one between", "the new one"])
def test_a_process_that_gets_stuck_while_it_is_forked(serve_once, number: int):
    stuck = STUCK.replace("NUMBER", str(number))
    server = with_script(serve_once, stuck, "processes=1 startup-timeout=2 shutdown-timeout=1")
    forked = server.root / "told/forked"
    wait_for(lambda: forked.exists() and len(forked.read_text().split()) >= number, "it is forked")
    process = Process.of(int(forked.read_text().split()[number - 1]))
    server.wait_for_log("WSGI327")
    wait_for(lambda: not process.alive, "it is ended")
    wait_for(lambda: server.get("/").status_code == 200, "the next attempt succeeds")


def test_all_are_gone_with_a_supervisor_that_is_killed(serve_once):
    server = started(serve_once)
    of_all(server)
    old = [*workers(server), *template(server)]
    server.supervisors()[0].kill()
    wait_for(lambda: not any(process.alive for process in old), "they have gone", timeout=2)
    of_all(server)
