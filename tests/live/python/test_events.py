"""Events of requests: what subscribers are told, what they may change, and what their mistakes cost."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from httpd import REFERENCE, Httpd
from waiting import wait_for

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=4
WSGIProcessGroup site
WSGIScriptAlias /main @APPS@/subscribed.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @APPS@/subscribed.wsgi application-group=other
"""

OF_ALL = {"request_id": str, "request_data": dict}
TIMES = {"request_start": float, "queue_start": float, "daemon_start": float, "application_start": float}
OF_REQUEST = OF_ALL | TIMES | {"thread_id": int, "server_pid": int}
STARTED = OF_REQUEST | {
    "application_object": str, "request_environ": dict, "callable_object": str, "daemon_connects": int, "daemon_restarts": int,
}  # fmt: skip
FINISHED = OF_REQUEST | {
    "application_finish": float, "application_time": float, "status": int,
    "input_reads": int, "input_length": int, "input_time": float, "output_writes": int, "output_length": int, "output_time": float,
    "cpu_user_time": float, "cpu_system_time": float, "cpu_time": float, "gil_wait_time": float, "gil_wait_count": int,
}  # fmt: skip
RESPONSE = OF_ALL | {"response_status": str, "response_headers": list, "exception_info": type(None)}
EXCEPTION = OF_ALL | {"exception_info": list}
WHERE = ("main", "other")


@pytest.fixture(scope="module")
def shared(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    server.writable_folder("told")
    return server.start()


@pytest.fixture
def server(shared: Httpd) -> Httpd:
    """With nothing told yet."""
    for file in (shared.root / "told").iterdir():
        file.unlink()
    return shared


def told(server: Httpd, where: str, way: str, last: str = "request_finished") -> list[tuple[str, dict]]:
    """What its subscribers were told of the only request of this kind."""
    file = server.root / "told" / f"{where} {way}"

    def whole() -> list:
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return lines if lines and lines[-1][0] == last else []

    return wait_for(whole, f"{last} of {way} is told")


def types(event: dict) -> dict[str, type]:
    return {key: type(value) for key, value in event.items()}


def without(expected: dict, *keys: str) -> dict:
    return {key: value for key, value in expected.items() if key not in keys}


@pytest.mark.parametrize("where", WHERE)
def test_a_request_has_three_events(server: Httpd, where: str):
    answer = server.post(f"/{where}/echo", content=b"hello world")
    assert (answer.status_code, answer.text) == (200, "hello world")
    events = told(server, where, "echo")
    assert [name for name, _ in events] == ["request_started", "response_started", "request_finished"]
    started, response, finished = (event for _, event in events)
    assert types(started) == STARTED
    assert types(response) == RESPONSE
    # mod_wsgi leaves out application_start, which its documentation promises.
    assert without(types(finished), "application_start") == without(FINISHED, "application_start")
    assert {event["request_id"] for _, event in events} == {started["request_environ"]["mod_wsgi.request_id"]}
    for key in ("thread_id", *TIMES):
        assert started[key] == started["request_environ"][f"mod_wsgi.{key}"]
    assert str(started["server_pid"]) == started["request_environ"]["mod_wsgi.server_pid"]
    assert started["callable_object"] == "application" and "function application" in started["application_object"]
    daemon = server.mode == "daemon"
    assert (started["daemon_connects"], started["daemon_restarts"]) == (int(daemon), 0)
    assert (started["queue_start"] > 0, started["daemon_start"] > 0) == (daemon, daemon)
    assert (response["response_status"], dict(response["response_headers"])["Content-Length"]) == ("200 OK", "11")
    assert (finished["status"], finished["input_length"], finished["output_length"], finished["output_writes"]) == (200, 11, 11, 1)
    assert finished["application_finish"] >= started["application_start"]
    assert 0 <= finished["application_time"] < 20 and finished["cpu_time"] >= 0


@pytest.mark.parametrize("where", WHERE)
def test_interpreters_hear_of_their_own_requests_only(server: Httpd, where: str):
    server.get(f"/{where}/only")
    told(server, where, "only")
    assert [file.name for file in (server.root / "told").glob("* only")] == [f"{where} only"]


def test_an_exception_is_told(server: Httpd):
    assert server.get("/main/fails").status_code == 500
    events = told(server, "main", "fails")
    assert [name for name, _ in events] == ["request_started", "request_exception", "request_finished"]
    assert types(events[1][1]) == EXCEPTION
    assert events[1][1]["exception_info"] == ["KeyError", "'in the application'", "traceback"]
    assert events[2][1]["status"] == 500


@pytest.mark.ours
def test_an_exception_after_data_is_told(server: Httpd):
    with pytest.raises(httpx.RemoteProtocolError):
        server.get("/main/breaks")
    events = told(server, "main", "breaks")
    assert [name for name, _ in events] == ["request_started", "response_started", "request_exception", "request_finished"]
    finished = events[-1][1]
    assert (finished["status"], finished["output_length"]) == (200, 5)
    assert finished["request_data"]["seen"] == [finished["request_id"]]


def test_what_a_subscriber_puts_in_its_place_runs(server: Httpd):
    assert server.get("/main/replaced").text == "by a subscriber, and replaced"
    (name, event), *_ = told(server, "main", "replaced")
    assert name == "request_started" and "replaced" in event["application_object"] and event["added"] == "replaced"
    assert server.get("/main/not-replaced").text == "by a subscriber"


def test_headers_that_a_subscriber_adds_are_sent(server: Httpd):
    assert server.get("/main/headers").headers["X-Added"] == "by a subscriber"
    assert "X-Added" not in server.get("/main/other").headers


@pytest.mark.ours
@pytest.mark.parametrize(("way", "exception"), [("raises", "ValueError"), ("exits", "SystemExit")])
def test_a_subscriber_that_raises_costs_nothing(server: Httpd, way: str, exception: str):
    before = len(server.error_log())
    for where in WHERE:
        answer = server.get(f"/{where}/{way}")
        assert (answer.status_code, answer.text) == (200, "by a subscriber")
        assert [name for name, _ in told(server, where, way)] == ["request_started", "response_started", "request_finished"]
    line = server.wait_for_log("WSGI440: a subscriber of events, first in .*/subscribed.wsgi, .* told of request_started", start=before)
    assert "client 127.0.0.1" in line
    server.wait_for_log(f"{exception}: in a subscriber", start=before)
    assert "<mod_wsgi_rs>" not in server.error_log()


@pytest.mark.ours
def test_a_request_whose_time_is_over_in_a_subscriber_ends(server: Httpd):
    assert server.get("/main/late").status_code == 504
    assert server.get("/main/after").text == "by a subscriber"
    assert not (server.root / "told" / "main late").exists()


@pytest.mark.one_process
def test_requests_at_the_same_time_have_data_of_their_own(server: Httpd):
    folder, numbers = server.root / "told", ["1", "2", "3"]
    assert server.get("/main/ready").status_code == 200
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.get, f"/main/together?{number}") for number in numbers]
        wait_for(lambda: all((folder / f"here {number}").exists() for number in numbers), "all run")
        (folder / "go on").touch()
        seen = [answer.result().json() for answer in answers]
    assert [mine for mine, *_ in seen] == numbers
    assert any(together == numbers for _, together, _ in seen), "one of them was the first to go on"
    assert len({pid for *_, pid in seen}) == 1


def test_a_slow_subscriber_holds_no_data_back(server: Httpd):
    with socket.create_connection(("127.0.0.1", server.ports["PORT"]), 10) as connection:
        connection.sendall(b"GET /main/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = b""
        while not data.endswith(b"by a subscriber"):
            data += connection.recv(1000) or pytest.fail("closed early")
        assert not (server.root / "told" / "go on").exists()
        (server.root / "told" / "go on").touch()
        told(server, "main", "slow")


@pytest.mark.one_process
def test_waits_for_python_are_measured(server: Httpd):
    for number in range(2):  # the wait that begins a request counts after the first one
        server.get(f"/main/before-{number}")
        told(server, "main", f"before-{number}")
    with ThreadPoolExecutor(1) as pool:
        spins = pool.submit(server.get, "/main/spins")
        wait_for((server.root / "told" / "here").exists, "the other one spins")
        assert server.get("/main/waits").status_code == 200
        assert spins.result().status_code == 200
    finished = told(server, "main", "waits")[-1][1]
    assert finished["gil_wait_count"] >= 1 and finished["gil_wait_time"] > 0.001


PLAIN = """
import json
import mod_wsgi

def application(environ, start_response):
    mod_wsgi.request_data()["seen"] = mod_wsgi.request_data().get("seen", 0) + 1
    ways = {
        "data": lambda: [mod_wsgi.request_data(), mod_wsgi.request_data() is mod_wsgi.request_data()],
        "active": lambda: [list(mod_wsgi.active_requests) == [environ["mod_wsgi.request_id"]], list(mod_wsgi.active_requests.values())],
        "listed": lambda: "active_requests" in dir(mod_wsgi),
        "left": lambda: (mod_wsgi.event_callbacks.append(print), mod_wsgi.event_callbacks.clear())[0],
    }
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [json.dumps(ways[environ["PATH_INFO"].strip("/")]()).encode()]
"""


@pytest.mark.one_process
@pytest.mark.parametrize("group", ["%{GLOBAL}", "other"])
def test_without_subscribers(serve_once, group: str):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ threads=2\nWSGIProcessGroup site\n"
        f"WSGIScriptAlias / @ROOT@/plain.wsgi application-group={group}\n"
    )
    (server.root / "plain.wsgi").write_text(PLAIN)
    server.start()
    assert [server.get("/data").json() for _ in range(3)] == [[{"seen": 1}, True]] * 3
    assert server.get("/listed").json() is True
    first = server.get("/active").json()
    assert REFERENCE or first == [False, []], "kept from its first use on"
    assert server.get("/active").json() == [True, [{"seen": 1}]]
    assert server.get("/left").json() is None
    assert server.get("/data").json() == [{"seen": 1}, True]


@pytest.mark.daemon_mode
@pytest.mark.ours
def test_a_process_that_was_forked_has_events_too(serve_once):
    server = serve_once.prepare(CONFIGURATION.replace("threads=4", "threads=2 preload=On"))
    server.writable_folder("told")
    server.start()
    for where in WHERE:
        assert server.get(f"/{where}/forked").text == "by a subscriber"
        assert [name for name, _ in told(server, where, "forked")] == ["request_started", "response_started", "request_finished"]
