"""mod_wsgi.server_metrics(): httpd's scoreboard, in daemons (`server-metrics=`) and embedded (`WSGIServerMetrics`)."""

from __future__ import annotations

import time

import pytest

from httpd import Httpd
from waiting import wait_for

CONFIGURATION = """
ExtendedStatus On
WSGIServerMetrics @EMBEDDED@
WSGIDaemonProcess site python-home=@PYTHON@ threads=4 server-metrics=On
WSGIDaemonProcess other python-home=@PYTHON@ threads=4 server-metrics=Off
WSGIDaemonProcess plain python-home=@PYTHON@ threads=4
WSGIDaemonProcess forked python-home=@PYTHON@ threads=4 preload=On server-metrics=On
WSGIScriptAlias /site @APPS@/metrics.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /second @APPS@/metrics.wsgi process-group=site application-group=second
WSGIScriptAlias /other @APPS@/metrics.wsgi process-group=other application-group=%{GLOBAL}
WSGIScriptAlias /plain @APPS@/metrics.wsgi process-group=plain application-group=%{GLOBAL}
WSGIScriptAlias /forked @APPS@/metrics.wsgi process-group=forked application-group=%{GLOBAL}
WSGIScriptAlias /embedded @APPS@/metrics.wsgi application-group=%{GLOBAL}
WSGIPythonHome @PYTHON@
"""
WHOLE = {
    "server_limit": int,
    "thread_limit": int,
    "running_generation": int,
    "restart_time": float,
    "current_time": float,
    "running_time": int,
    "processes": list,
}
PROCESS = {"process_num": int, "pid": int, "generation": int, "quiescing": bool, "workers": list}
WORKER = {
    "thread_num": int,
    "generation": int,
    "status": str,
    "access_count": int,
    "bytes_served": int,
    "start_time": float,
    "stop_time": float,
    "last_used": float,
    "client": str,
    "request": str,
    "vhost": str,
}


def configuration(embedded: str) -> str:
    return CONFIGURATION.replace("@EMBEDDED@", embedded)


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(configuration("On"))


def metrics(server: Httpd, path: str):
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def types(shown: dict) -> dict:
    return {name: type(value) for name, value in shown.items()}


def processes(shown: dict) -> dict[int, dict]:
    return {process["pid"]: process for process in shown["processes"] if process["pid"]}


@pytest.mark.parametrize("path", ["/site", "/second", "/forked", "/embedded"])
def test_the_scoreboard_has_the_request_itself(server: Httpd, path: str):
    begun = time.time()
    shown = metrics(server, f"{path}/%C3%A9?x=1")
    assert types(shown) == WHOLE
    assert len(shown["processes"]) == shown["server_limit"]
    for number, process in enumerate(shown["processes"]):
        assert types(process) == PROCESS and process["process_num"] == number
        assert len(process["workers"]) == shown["thread_limit"]
        assert all(types(worker) == WORKER for worker in process["workers"])
    assert set(processes(shown)) <= {child.pid for child in server.children()}
    assert 0 <= shown["running_time"] <= shown["current_time"] - shown["restart_time"] < 600
    assert begun - 1 < shown["current_time"] < time.time() + 1
    workers = [worker for process in processes(shown).values() for worker in process["workers"]]
    ours = [worker for worker in workers if worker["request"] == f"GET {path}/%C3%A9?x=1 HTTP/1.1"]
    assert [worker["status"] for worker in ours] == ["W"]
    assert ours[0]["client"] == "127.0.0.1" and ours[0]["vhost"] == f"localhost:{server.ports['PORT']}"
    assert begun - 1 < ours[0]["start_time"] <= shown["current_time"]
    again = [worker for process in processes(metrics(server, path)).values() for worker in process["workers"]]
    assert sum(worker["access_count"] for worker in again) > sum(worker["access_count"] for worker in workers)
    assert sum(worker["bytes_served"] for worker in again) > sum(worker["bytes_served"] for worker in workers)


@pytest.mark.parametrize("path", ["/other", "/plain"])
def test_without_the_option_there_is_none(server: Httpd, path: str):
    assert metrics(server, path) is None
    assert metrics(server, f"{path}/loaded") is None


def test_without_the_directive_there_is_none_embedded(serve_once):
    server = serve_once(configuration("Off"))
    assert metrics(server, "/embedded") is None
    assert metrics(server, "/embedded/loaded") is None
    assert types(metrics(server, "/site")) == WHOLE, "the option does not depend on it"


@pytest.mark.parametrize("path", ["/site", "/second", "/forked", "/embedded"])
def test_a_script_sees_it_while_it_is_loaded_and_in_threads(server: Httpd, path: str):
    assert types(metrics(server, f"{path}/loaded")) == WHOLE
    seen = metrics(server, f"{path}/threads")
    assert len(seen) == 20 and all(types(shown) == WHOLE for shown in seen)
    assert "takes 0 positional arguments" in metrics(server, f"{path}/wrong")


def test_it_is_there_after_restarts_and_after_the_supervisor_was_lost(serve_once):
    server = serve_once(configuration("On"))
    first = metrics(server, "/site")
    server.graceful()

    def newer() -> dict | None:
        shown = metrics(server, "/site")
        return shown if shown["running_generation"] > first["running_generation"] else None

    shown = wait_for(newer, "the next generation")
    assert processes(shown).keys() - processes(first).keys(), "its children are others"
    for supervisor in server.supervisors():
        supervisor.kill()
    wait_for(lambda: server.get("/site").status_code == 200 and metrics(server, "/site"), "another supervisor")
    server.restart()
    shown = wait_for(lambda: metrics(server, "/site"), "the scoreboard after a hard restart")
    assert shown["restart_time"] > first["restart_time"]
    assert set(processes(shown)) <= {child.pid for child in server.children()}


@pytest.mark.waits
def test_a_supervisor_that_does_not_answer_costs_two_seconds(serve_once):
    server = serve_once(configuration("On"))
    assert metrics(server, "/site")
    [supervisor] = server.supervisors()
    with supervisor.standing_still():
        begun = time.monotonic()
        assert metrics(server, "/site") is None
        assert 1.9 < time.monotonic() - begun < 4
    assert metrics(server, "/site")
