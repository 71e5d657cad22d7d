"""What goes wrong is visible where it belongs, and nowhere else.

Broken bodies, clients that go away, applications that raise everything that can be raised, forks, killed processes: the
client gets the exact answer or a visible error, the log one record a line, and no process ends that need not.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import raw_http
from httpd import MPM, Httpd
from waiting import wait_for

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIDaemonProcess doomed python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIChunkedRequest On
WSGIScriptAlias /broken @APPS@/broken.wsgi
WSGIScriptAlias /doomed @APPS@/broken.wsgi process-group=doomed
@HTTPS@
"""

needs_http2 = pytest.mark.skipif(MPM == "prefork", reason="mod_http2 does not work with prefork")


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve(CONFIGURATION)
    server.writable_folder("exchange")
    return server


@pytest.fixture
def folder(server: Httpd) -> Path:
    """Where tests and applications leave files for each other."""
    return server.root / "exchange"


@pytest.fixture(autouse=True)
def process_stays(server: Httpd) -> Iterator[None]:
    """Whatever a test here does, the process that runs the applications is the same afterwards."""
    before = {server.get("/broken/process").json()}
    if server.mode == "embedded":
        before = {process.pid for process in server.children()}
    yield
    after = {process.pid for process in server.children() + server.daemons()}
    assert before <= after


def get(server: Httpd, path: str) -> raw_http.Answer:
    return raw_http.get(server.ports["PORT"], path)


def logged_since(server: Httpd, start: int, mark: str) -> list[str]:
    """The lines since this position of the log, when one with the mark is there and the last request's have come."""
    server.wait_for_log(re.escape(mark), start=start)
    server.get("/broken/process")
    return server.error_log()[start:].splitlines()


# Broken bodies

CHUNKED = "Transfer-Encoding: chunked"
BROKEN_BODIES = {
    "no_number": (CHUNKED, b"xyz\r\nabc\r\n0\r\n\r\n"),
    "negative": (CHUNKED, b"-3\r\nabc\r\n0\r\n\r\n"),
    "no_line_end": (CHUNKED, b"3\r\nabcdef\r\n0\r\n\r\n"),
    "bad_after_good": (CHUNKED, b"3\r\nabc\r\nbad\x01\r\n"),
    "huge": (CHUNKED, b"fffffffffffffffff\r\nabc"),
    "truncated_chunk": (CHUNKED, b"9\r\nabc"),
    "truncated_size": (CHUNKED, b"3\r\nabc\r\n5"),
    "no_last_chunk": (CHUNKED, b"3\r\nabc\r\n"),
    "nothing": (CHUNKED, b""),
    "short_length": ("Content-Length: 9", b"abc"),
    "no_body_at_all": ("Content-Length: 9", b""),
}


def everything_after(server: Httpd, path: str, broken: str) -> bytes:
    """Send a broken body and close this direction; all that the server sends until it closes too."""
    framing, body = BROKEN_BODIES[broken]
    with raw_http.Connection(server.ports["PORT"], timeout=10) as connection:
        connection.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode() + body)
        connection.socket.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.socket.recv(65536):
            received += piece
    return received


@pytest.mark.ours
@pytest.mark.parametrize("broken", BROKEN_BODIES)
def test_broken_body_that_the_application_does_not_handle_is_the_clients_fault(server: Httpd, broken: str):
    start = len(server.error_log())
    received = everything_after(server, "/broken/read_unhandled", broken)
    expected = b"HTTP/1.1 413 " if broken == "huge" else b"HTTP/1.1 400 "
    assert received.startswith(expected) and received.count(b"HTTP/1.1 ") == 1, received
    assert "Traceback" not in server.error_log()[start:]


@pytest.mark.ours
@pytest.mark.parametrize("broken", BROKEN_BODIES)
def test_broken_body_that_the_application_handles(server: Httpd, broken: str):
    """OSError for every way to read, again and again, and the application's answer is the only one."""
    received = everything_after(server, "/broken/read_handled", broken)
    assert received.startswith(b"HTTP/1.1 200 ") and received.count(b"HTTP/1.1 ") == 1, received
    assert received.endswith(b'["OSError", "OSError", "OSError", "OSError", "OSError", "OSError"]'), received


@pytest.mark.ours
@pytest.mark.parametrize("broken", ["bad_after_good", "truncated_chunk", "no_last_chunk", "short_length"])
def test_data_before_the_break_can_be_read(server: Httpd, broken: str):
    received = everything_after(server, "/broken/read_in_pieces", broken)
    assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b'["abc", "OSError"]'), received


@pytest.mark.ours
@pytest.mark.parametrize("broken", ["no_number", "truncated_chunk", "short_length"])
def test_broken_body_after_the_answer_began(server: Httpd, broken: str):
    received = everything_after(server, "/broken/read_after_output", broken)
    assert received.startswith(b"HTTP/1.1 200 ") and received.count(b"HTTP/1.1 ") == 1, received
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.ours
def test_exception_in_the_place_of_the_read_error_is_the_applications(server: Httpd):
    start = len(server.error_log())
    assert everything_after(server, "/broken/read_converted", "no_number").startswith(b"HTTP/1.1 500 ")
    server.wait_for_log("ValueError: reason: the framework's own", start=start)


@pytest.mark.ours
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", CHUNKED])
@pytest.mark.parametrize("way", ["reset", "closed"])
def test_client_that_goes_away_in_the_middle_of_its_body(server: Httpd, folder: Path, framing: str, way: str):
    path, start = folder / f"gone-{way}-{framing[:7]}", len(server.error_log())
    connection = socket.create_connection(("127.0.0.1", server.ports["PORT"]), 10)
    request = f"POST /broken/read_and_tell?{path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode()
    connection.sendall(request + (b"3\r\nabc\r\n" if framing == CHUNKED else b"abc"))
    wait_for(Path(f"{path}.reading").exists, "the application reads")
    if way == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    wait_for(path.exists, "the application notices")
    assert path.read_text() == "OSError"
    log = server.error_log()[start:]
    assert "wsgi:error" not in log and "wsgi:warn" not in log, log


def test_generator_is_closed_when_its_client_goes_away(server: Httpd, folder: Path):
    path = folder / "closed"
    connection = socket.create_connection(("127.0.0.1", server.ports["PORT"]), 10)
    connection.sendall(f"GET /broken/finally_after_disconnect?{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.close()
    wait_for(path.exists, "finally of the generator")


# Exceptions

WAYS = [
    "plain", "system_exit", "exit_zero", "keyboard_interrupt", "generator_exit", "stop_iteration", "base_exception",
    "recursion", "memory", "no_memory", "str_raises", "str_is_no_string", "str_exits", "own_cause", "chained",
    "not_an_exception", "long", "lines", "surrogate", "syntax", "unicode", "os_error",
]  # fmt: skip

CLASSES = {
    "system_exit": "SystemExit", "exit_zero": "SystemExit", "keyboard_interrupt": "KeyboardInterrupt",
    "generator_exit": "GeneratorExit", "stop_iteration": "StopIteration", "base_exception": "BaseException",
    "recursion": "RecursionError", "memory": "MemoryError", "no_memory": "MemoryError|OverflowError",
    "str_raises": "StrRaises", "str_is_no_string": "StrIsNoString", "str_exits": "StrExits",
    "not_an_exception": "TypeError", "syntax": "SyntaxError", "unicode": "UnicodeDecodeError", "os_error": "OSError",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["raises", "raises_after_start", "raises_in_first_step"])
def test_exception_before_the_first_output(server: Httpd, place: str, way: str):
    start = len(server.error_log())
    answer = get(server, f"/broken/{place}?{way}&mark")
    assert (answer.status, answer.complete) == (500, True)
    wanted = CLASSES.get(way, "RuntimeError")
    if (place, way) == ("raises_in_first_step", "stop_iteration"):
        wanted = "RuntimeError"
    server.wait_for_log(rf"(^|\W)({wanted})($|\W)", start=start)


@pytest.mark.ours
@pytest.mark.parametrize("way", [way for way in WAYS if way != "stop_iteration"])
def test_exception_after_output_is_visible(server: Httpd, way: str):
    start = len(server.error_log())
    answer = get(server, f"/broken/raises_in_second_step?{way}&mark")
    assert (answer.status, answer.body, answer.complete) == (200, b"begun", False)
    server.wait_for_log(rf"(^|\W)({CLASSES.get(way, 'RuntimeError')})($|\W)", start=start)


def test_stop_iteration_is_the_end(server: Httpd):
    answer = get(server, "/broken/raises_in_second_step?stop_iteration&mark")
    assert (answer.status, answer.body, answer.complete) == (200, b"begun", True)


@pytest.mark.ours
@needs_http2
@pytest.mark.parametrize("name", ["raises_in_second_step", "raises_after_length", "raises_in_finally"])
def test_exception_after_output_resets_the_stream_of_http_2(server: Httpd, name: str):
    """And only this stream: the connection serves the next request."""
    with server.client(port="TLS", http2=True) as client:
        assert client.get("/broken/process").http_version == "HTTP/2"
        with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", f"/broken/{name}?plain&mark") as answer:
            assert answer.status_code == 200
            answer.read()
        assert client.get("/broken/process").status_code == 200


@pytest.mark.ours
def test_exception_before_the_announced_length_is_reached(server: Httpd):
    answer = get(server, "/broken/raises_after_length?plain&mark")
    assert (answer.status, answer.body, answer.complete) == (200, b"begun", False)


@pytest.mark.parametrize("way", WAYS)
def test_exception_in_close_leaves_the_answer(server: Httpd, way: str):
    start = len(server.error_log())
    answer = get(server, f"/broken/raises_in_close?{way}&mark")
    assert (answer.status, answer.body, answer.complete) == (200, b"datadata", True)
    server.wait_for_log(rf"(^|\W)({CLASSES.get(way, 'RuntimeError')})($|\W)", start=start)


@pytest.mark.ours
def test_exception_in_finally_of_a_generator(server: Httpd):
    start = len(server.error_log())
    answer = get(server, "/broken/raises_in_finally?plain&finally-mark")
    assert (answer.body, answer.complete) == (b"begun", False)
    log = logged_since(server, start, "RuntimeError: finally-mark")
    assert sum("KeyError: 'lost'" in line for line in log) == 1


@pytest.mark.ours
def test_exceptions_in_iteration_and_close_are_both_logged(server: Httpd):
    start = len(server.error_log())
    assert not get(server, "/broken/raises_twice?plain&twice").complete
    log = logged_since(server, start, "RuntimeError: twice")
    assert sum("RuntimeError: twice" in line for line in log) == 1
    assert sum("LookupError: twice-in-close" in line for line in log) == 1


def test_exceptions_where_nobody_can_catch_them(server: Httpd):
    start = len(server.error_log())
    assert get(server, "/broken/raises_in_del").body == b"data"
    server.wait_for_log("RuntimeError: in __del__", start=start)
    for way in ("plain", "system_exit", "keyboard_interrupt"):
        assert get(server, f"/broken/raises_in_thread?{way}&thread-mark").body == b'"done"'
    server.wait_for_log("RuntimeError: thread-mark", start=start)


# The traceback in the log


@pytest.mark.ours
def test_traceback_is_logged_once_and_one_record_a_line(server: Httpd):
    start = len(server.error_log())
    with raw_http.Connection(server.ports["PORT"]) as connection:
        own_port = connection.socket.getsockname()[1]
        connection.send(b"GET /broken/raises?chained&once-mark HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.answer().status == 500
    log = logged_since(server, start, "RuntimeError: once-mark")
    ours = [line for line in log if f"client 127.0.0.1:{own_port}]" in line]
    text = [line.partition(f"client 127.0.0.1:{own_port}] ")[2] for line in ours]
    assert len([line for line in log if "once-mark" in line and "GET" not in line]) == 1
    assert [line for line in text if line.startswith("Traceback")] == ["Traceback (most recent call last):"] * 2
    assert "KeyError: 'the first'" in text
    assert any(re.search(r'File ".*broken\.wsgi", line \d+, in application', line) for line in text)
    assert all(re.match(r"\[[^]]+\] \[wsgi:error\] \[pid \d+", line) for line in ours)


@pytest.mark.ours
def test_a_request_timeout_that_escapes_is_504(server: Httpd):
    start = len(server.error_log())
    assert get(server, "/broken/lets_timeout_go").status == 504
    server.wait_for_log("mod_wsgi.RequestTimeout: too late", start=start)


@pytest.mark.ours
def test_traceback_of_several_lines_stays_within_its_records(server: Httpd):
    start = len(server.error_log())
    assert get(server, "/broken/raises?lines&lines-mark").status == 500
    log = logged_since(server, start, "third")
    for wanted in ("lines-mark$", r"\]   second line", r"third \\+x00 line"):
        found = [line for line in log if re.search(wanted, line)]
        assert len(found) == 1 and re.match(r"\[[^]]+\] \[wsgi:error\] \[pid ", found[0]), (wanted, found)


@pytest.mark.ours
def test_traceback_with_a_very_long_line_is_whole(server: Httpd):
    start = len(server.error_log())
    assert get(server, "/broken/raises?long&long-mark").status == 500
    log = logged_since(server, start, "long-mark")
    assert sum(line.count("x") for line in log if "xxxx" in line) >= 300_000
    assert all(line.startswith("[") for line in log)


# start_response() and our own types


@pytest.mark.ours
def test_junk_as_exc_info_is_a_type_error(server: Httpd):
    outcomes = server.get("/broken/exc_info").json()
    assert set(outcomes) == {"TypeError"}, outcomes


def test_empty_exc_info_before_the_head_is_none(server: Httpd):
    assert get(server, "/broken/empty_exc_info").body == b"accepted"


@pytest.mark.ours
def test_junk_as_exc_info_after_the_head_is_a_type_error(server: Httpd):
    answer = get(server, "/broken/exc_info_with_junk_after_head")
    assert (answer.body, answer.complete) == (b'begun;["TypeError", "TypeError", "TypeError", "TypeError"]', True)


@pytest.mark.ours
def test_own_types_cannot_be_instantiated(server: Httpd):
    assert get(server, "/broken/own_types").body == b'["TypeError"]'


# Processes


@pytest.mark.daemon_mode
@pytest.mark.parametrize("port, options", [("PORT", {}), pytest.param("TLS", {"http2": True}, marks=needs_http2)])
def test_process_killed_before_the_head(server: Httpd, port: str, options: dict):
    with server.client(port=port, **options) as client:
        assert client.get("/doomed/killed_before_head").status_code == 502
        assert client.get("/broken/process").status_code == 200


@pytest.mark.daemon_mode
@pytest.mark.ours
@pytest.mark.parametrize("port, options", [("PORT", {}), pytest.param("TLS", {"http2": True}, marks=needs_http2)])
def test_process_killed_in_the_middle_of_the_body(server: Httpd, port: str, options: dict):
    start = len(server.error_log())
    with server.client(port=port, **options) as client:
        with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", "/doomed/killed_in_body") as answer:
            assert answer.status_code == 200
            answer.read()
        assert client.get("/broken/process").status_code == 200
    server.wait_for_log("WSGI233", start=start)


def test_fork_whose_child_ends_after_the_answer(server: Httpd, folder: Path):
    go_on, start = folder / "fork", len(server.error_log())
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for path in (f"/broken/forks?{go_on}&fork-mark", "/broken/process", "/broken/process"):
            connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.answer()
            assert (answer.status, answer.complete) == (200, True)
        go_on.touch()
        server.wait_for_log("fork-mark the child ends$", start=start)
        connection.send(b"GET /broken/process HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.answer().status == 200
    log = server.error_log()[start:].splitlines()
    for what in ("from the child", "by wsgi.errors of the child", "the child ends"):
        assert len([line for line in log if line.endswith(f"fork-mark {what}")]) == 1, what


@pytest.mark.ours
def test_fork_whose_child_returns_to_the_server(server: Httpd):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for _ in range(3):
            connection.send(b"GET /broken/forks_and_returns HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = connection.answer()
            assert (answer.status, answer.body, answer.complete) == (200, b'"from the parent"', True)


@pytest.mark.ours
def test_fork_whose_child_reads_takes_nothing_from_the_parent(server: Httpd):
    for size in (10, 1_000_000):
        assert server.post("/broken/forks_and_reads", content=b"x" * size).json() == "x" * size
