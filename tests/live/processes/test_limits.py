"""Limits of a process: what is replaced when they are reached, what that costs the others, and what the log says."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from httpd import Httpd
from limited import pid, pids, told, wait_for_others
from meanwhile import Meanwhile
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.waits]


STUCK = [("/spin?30", "in spin"), ("/sleep?30", "in application"), ("/gil?30", "in hold_the_gil")]


@pytest.mark.parametrize(("path", "place"), STUCK)
def test_a_request_that_takes_too_long_is_let_go_and_its_process_replaced(limited, path: str, place: str):
    server = limited("threads=4 request-timeout=2")
    old = pids(server)
    start = len(server.error_log())
    with Meanwhile(server) as others:
        begun = time.monotonic()
        answer = server.get(path)
        assert 1.9 < time.monotonic() - begun < 3.5
        assert answer.status_code == 504
        wait_for_others(server, old, timeout=4)
        assert time.monotonic() - begun < 3.5
    # What holds the GIL holds up whatever came to the same process, until that is replaced.
    assert others.slowest < (3 if path.startswith("/gil") else 1)
    line = server.wait_for_log("WSGI335", start=start)
    assert f"GET {path}" in line
    log = server.error_log()[start:]
    assert re.search(rf'File ".*limits.wsgi", line \d+ {place}', log), log
    assert "Thread 0x" in log and "WSGI334" in log and "WSGI232" in log


def test_other_requests_of_a_process_that_is_replaced_are_finished(limited):
    server = limited("threads=4 request-timeout=2")
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(server.get, "/sleep?30")
        time.sleep(1.2)  # so that the other is in the middle when the time of this one is over
        other = pool.submit(server.get, "/sleep?1.5")
        assert stuck.result().status_code == 504
        assert other.result().status_code == 200


def test_requests_that_are_fast_enough_are_left_alone(limited):
    server = limited("threads=4 request-timeout=2")
    old = pids(server)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(server.get, ["/sleep?1.5"] * 8))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert pids(server) == old


def test_a_request_is_interrupted_and_its_process_stays(limited):
    server = limited("threads=2 request-timeout=1 interrupt-timeout=5")
    old, start = pids(server), len(server.error_log())
    begun = time.monotonic()
    assert server.get("/spin?30").status_code == 504
    assert 0.9 < time.monotonic() - begun < 2
    server.wait_for_log("RequestTimeout", start=start)
    assert server.get("/").status_code == 200 and pids(server) == old


def test_a_request_that_withstands_its_interruption_is_let_go(limited):
    server = limited("threads=2 request-timeout=1 interrupt-timeout=1")
    old = pids(server)
    begun = time.monotonic()
    assert server.get("/stubborn?30").status_code == 504
    assert 1.9 < time.monotonic() - begun < 3
    assert told(server)[0] == "interrupted"
    wait_for_others(server, old)


def test_an_interpreter_that_lets_nobody_in_is_replaced(limited):
    server = limited("threads=2 deadlock-timeout=1 shutdown-timeout=1")
    old, start = pids(server), len(server.error_log())
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(server.get, "/gil?30")
        server.wait_for_log("WSGI334.*deadlock-timeout", start=start)
        wait_for(lambda: server.get("/").status_code == 200, "the others are served")
        assert stuck.result().status_code == 502
    wait_for_others(server, old)
    assert re.search(r"line \d+ in hold_the_gil", server.error_log()[start:])


def test_a_busy_interpreter_is_no_deadlock(limited):
    server = limited("threads=4 deadlock-timeout=1")
    old = pids(server)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(server.get, ["/spin?2.5"] * 2))
    assert [answer.status_code for answer in answers] == [200, 200] and pids(server) == old


def test_maximum_requests(limited):
    server = limited("processes=2 threads=2 maximum-requests=50")
    start, old = len(server.error_log()), pids(server)
    with Meanwhile(server) as meanwhile:
        wait_for_others(server, old, timeout=20)
    assert meanwhile.slowest < 1
    server.wait_for_log("WSGI334.*maximum-requests", start=start)
    wait_for(lambda: {line.split()[0] for line in told(server)} >= {"maximum_requests", "atexit"}, "it was told")


def test_one_request_for_each_process(limited):
    server = limited("threads=1 maximum-requests=1")
    answers = [server.get("/") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.text for answer in answers}) == 5
    assert answers[0].text.endswith("True")


def test_restart_interval(limited):
    server = limited("processes=2 threads=2 restart-interval=1")
    old = pids(server)
    with Meanwhile(server) as meanwhile:
        wait_for_others(server, old)
    assert meanwhile.slowest < 1
    assert "restart_interval" in told(server)[0]


def test_inactivity_timeout(limited):
    server = limited("threads=2 inactivity-timeout=1", "<Location /ignored>\nWSGIIgnoreActivity On\n</Location>\n")
    start = len(server.error_log())
    first = pid(server)
    for _ in range(5):  # requests keep it
        assert pid(server, "/sleep?0.4") == first
    # One that lasts longer than the timeout is not idle, and those that do not count do not keep it.
    assert pid(server, "/sleep?1.5") == first
    wait_for(lambda: pid(server, "/ignored") != first, "the idle process is replaced", every=0.1)
    wait_for(lambda: told(server), "it is told")
    assert told(server)[0] == f"inactivity_timeout {first}"
    server.wait_for_log("WSGI334.*inactivity-timeout", start=start)


def test_an_unused_process_is_not_replaced_again_and_again(limited):
    server = limited("threads=2 inactivity-timeout=1")
    wait_for_others(server, pids(server))
    second = pids(server)
    with pytest.raises(AssertionError):
        wait_for_others(server, second, timeout=2.5)


def test_maximum_memory(limited):
    server = limited("threads=2 maximum-memory=100M")
    first = pid(server, "/memory?20")
    assert pid(server) == first
    with Meanwhile(server):
        assert pid(server, "/memory?120") == first
        wait_for_others(server, {first})
    assert told(server)[0] == f"maximum_memory {first}"


@pytest.mark.parametrize("option, refused", [("memory-limit=150M", 200), ("virtual-memory-limit=1G", 1100)])
def test_memory_that_is_not_given_is_a_memory_error(limited, option: str, refused: int):
    """The process stays as it is, and so does what it had before."""
    server = limited(f"threads=2 {option}")
    [daemon] = server.daemons("site")
    assert pid(server, "/memory?50") == daemon.pid
    resident, start = daemon.resident, len(server.error_log())
    assert server.get(f"/memory?{refused}").status_code == 500
    server.wait_for_log("MemoryError", start=start)
    assert pid(server) == daemon.pid
    assert 50 * 1024 < daemon.resident < resident + 20 * 1024


def test_cpu_time_limit(limited):
    server = limited("threads=2 cpu-time-limit=1")
    first = pid(server)
    answers = []
    with Meanwhile(server), ThreadPoolExecutor(1) as pool:
        answers.append(pool.submit(server.get, "/burn?1.2").result())
        wait_for_others(server, {first})
    assert answers[0].status_code == 200
    assert f"cpu_time_limit {first}" in told(server)


def with_startup_timeout(serve_once, flag: str) -> Httpd:
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ env=FOLDER=@ROOT@/told startup-timeout=1\n"
        "WSGIScriptAlias / @APPS@/limits.wsgi process-group=site\n"
    )
    (server.root / "told").mkdir()
    (server.root / "told" / flag).touch()
    return server.start()


def test_a_script_that_does_not_load_in_time(serve_once):
    server = with_startup_timeout(serve_once, "slow-import")
    server.wait_for_log("WSGI327.*startup-timeout")
    assert server.get("/").status_code == 503
    (server.root / "told/slow-import").unlink()
    wait_for(lambda: server.get("/").status_code == 200, "it starts now", timeout=15)


def test_a_script_that_never_loads_is_tried_in_a_new_process(serve_once):
    server = with_startup_timeout(serve_once, "broken-import")
    assert server.get("/").status_code == 500
    server.wait_for_log("WSGI334.*startup-timeout")
    (server.root / "told/broken-import").unlink()
    wait_for(lambda: server.get("/").status_code == 200, "it loads now", timeout=15)


def test_a_suspended_process_is_ended_when_a_request_in_it_is_late(limited):
    server = limited("threads=2 request-timeout=1")
    [daemon] = server.daemons("site")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(server.get, "/sleep?5")
        wait_for((server.root / "told/begun").exists, "the request is under way")
        daemon.kill(signal.SIGSTOP)
        assert lost.result().status_code == 504
    server.wait_for_log("WSGI337")
    assert pid(server) != daemon.pid


def test_a_group_grows_and_shrinks(limited):
    server = limited("threads=1 maximum-processes=3 idle-timeout=1")
    assert len(pids(server)) == 1
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.get, "/sleep?2.5") for _ in range(3)]
        server.wait_for_daemons(3, "site")
        begun = time.monotonic()
        assert all(answer.result().status_code == 200 for answer in answers)
        assert time.monotonic() - begun < 5, "the third was served by the third process"
    server.wait_for_daemons(1, "site")
    assert "idle_timeout" in told(server)[0]
    assert server.get("/").status_code == 200


@pytest.mark.parametrize(
    "options, first, most, least",
    [
        ("minimum-processes=2 maximum-processes=3", 2, 3, 2),
        ("processes=2 minimum-processes=1 maximum-processes=3", 2, 3, 1),
    ],
)
def test_there_are_never_fewer_than_minimum_processes(limited, options: str, first: int, most: int, least: int):
    server = limited(f"threads=1 idle-timeout=1 {options}")
    server.wait_for_daemons(first, "site")
    with ThreadPoolExecutor(most) as pool:
        answers = [pool.submit(server.get, "/sleep?2") for _ in range(most)]
        server.wait_for_daemons(most, "site")
        assert [answer.result().status_code for answer in answers] == [200] * most
    server.wait_for_daemons(least, "site")
    seen, until = set(), time.monotonic() + 1.5
    wait_for(lambda: seen.add(len(pids(server))) or time.monotonic() > until, "more than another idle-timeout")
    assert seen == {least}
    (daemon, *_) = server.daemons("site")
    daemon.kill()
    wait_for(lambda: not daemon.alive and len(pids(server)) == least, "there are as many again")


def test_a_group_on_demand(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ env=FOLDER=@ROOT@/told start=on-demand idle-timeout=1\n"
        "WSGIScriptAlias / @APPS@/limits.wsgi process-group=site\n"
    )
    (server.root / "told").mkdir()
    server.start()
    assert pids(server) == set()
    for _ in range(2):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(server.get, ["/"] * 8))
        assert [answer.status_code for answer in answers] == [200] * 8
        server.wait_for_daemons(1, "site")
        with Meanwhile(server, clients=1) as meanwhile:
            wait_for(lambda: meanwhile.count > 100, "requests keep it")
        wait_for(lambda: not pids(server), "nobody asks any more")
    server.graceful()
    assert pids(server) == set()
    assert server.get("/").status_code == 200
    server.graceful()
    server.wait_for_log("WSGI338")
    assert server.get("/").status_code == 200


def test_a_restart_keeps_nobody_waiting_for_an_import(limited):
    server = limited("processes=2 threads=2")
    (server.root / "told/slow-import").touch()
    old = pids(server)
    with Meanwhile(server) as meanwhile:
        for _ in range(2):
            server.graceful()
        wait_for_others(server, old, timeout=20)
    assert meanwhile.slowest < 1
    assert "shutdown_signal" in told(server)[0]


def test_a_restart_whose_new_processes_cannot_start_leaves_the_old_ones_in_service(limited):
    server = limited("processes=2 threads=2")
    old = {daemon.pid for daemon in server.wait_for_daemons(2, "site")}
    right = server.configuration_file.read_text()
    server.configuration_file.write_text(re.sub(r"python-home=\S+", "python=/nonexistent/python", right))
    with Meanwhile(server):
        server.graceful()
        server.wait_for_log("WSGI310")
        assert pids(server) == old
        server.configuration_file.write_text(right)
        server.graceful()
        wait_for_others(server, old)


def test_a_group_that_failed_and_sleeps_is_tried_again(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ start=on-demand idle-timeout=1 maximum-requests=3 env-file=@ROOT@/env\n"
        "WSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n"
    )
    file = server.root / "env"
    file.write_text("A=1\n")
    server.start()
    assert server.get("/").status_code == 200
    file.unlink()
    wait_for(lambda: server.get("/").status_code == 200 and "WSGI360" in server.error_log(), "no successor can start")
    wait_for(lambda: not server.daemons(), "it sleeps")
    file.write_text("A=2\n")
    assert server.get("/").status_code == 200
    server.graceful()
    assert server.get("/").status_code == 200


def test_a_supervisor_that_is_only_waiting_costs_nothing(limited):
    """The old one of a graceful restart waits for its last request, the new one for whatever comes."""
    server = limited("threads=2 maximum-processes=2 start=on-demand idle-timeout=60 request-timeout=60 deadlock-timeout=60")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.get, "/sleep?4")
        wait_for((server.root / "told/begun").exists, "the request is under way")
        server.graceful()
        wait_for(lambda: len(server.supervisors()) == 2 and len(pids(server)) == 2, "the new processes are there")
        supervisors = server.supervisors()
        before = [supervisor.cpu for supervisor in supervisors]
        assert slow.result().status_code == 200
        used = [supervisor.cpu - earlier for supervisor, earlier in zip(supervisors, before)]
    assert max(used) < 0.5
