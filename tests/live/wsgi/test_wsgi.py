"""The application's side of PEP 3333: iterables, close(), start_response, write() and what becomes of mistakes."""

from __future__ import annotations

import socket

import pytest

import raw_http
from httpd import Httpd
from waiting import wait_for

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias /answers @APPS@/answers.wsgi
"""

SAME = b"one two three"


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def get(server: Httpd, name: str, method: str = "GET") -> raw_http.Answer:
    return raw_http.get(server.ports["PORT"], f"/answers/{name}", method=method)


def closed(server: Httpd, name: str) -> int:
    return server.get("/answers/closed").json().get(name, 0)


# Iterables


@pytest.mark.parametrize(
    "name",
    [
        "a_list", "a_tuple", "a_generator", "an_iterator", "a_sequence",
        "late_start", "start_after_empty", "written", "written_only",
    ],
)  # fmt: skip
def test_iterables_of_every_kind(server: Httpd, name: str):
    answer = get(server, name)
    assert (answer.status, answer.body, answer.complete) == (200, SAME, True)


def test_a_class_as_application(server: Httpd):
    assert get(server, "a_class").body == b"from a class"


def test_an_empty_list_is_an_empty_body(server: Httpd):
    answer = get(server, "empty_list")
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)


@pytest.mark.ours
def test_length_of_a_one_element_list_is_derived(server: Httpd):
    answer = get(server, "single")
    assert (answer.all("Content-Length"), answer.header("Transfer-Encoding")) == (["1234"], None)
    assert answer.body == b"x" * 1234


def test_no_length_is_invented_for_a_generator(server: Httpd):
    answer = get(server, "a_generator")
    assert (answer.header("Content-Length"), answer.header("Transfer-Encoding")) == (None, "chunked")


def test_each_piece_is_sent_at_once(server: Httpd):
    """The second piece of the application waits for a file, which is made after the first has arrived."""
    go_on = server.root / "go-on"
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(f"GET /answers/slow?{go_on} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while b"first" not in received:
            received += connection.socket.recv(65536)
        assert b"last" not in received
        go_on.touch()
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.socket.recv(65536)
    assert b"last" in received


# close()


@pytest.mark.parametrize(
    "name, status",
    [("an_iterator", 200), ("raises_in_first", 500), ("raises_in_middle", 200), ("raises_in_close", 200)],
)
def test_close_is_called_exactly_once(server: Httpd, name: str, status: int):
    before = closed(server, name)
    assert get(server, name).status == status
    wait_for(lambda: closed(server, name) > before, f"close() of {name}")
    assert closed(server, name) == before + 1


def test_close_is_called_when_the_client_goes_away(server: Httpd):
    before = closed(server, "endless")
    connection = socket.create_connection(("127.0.0.1", server.ports["PORT"]), 10)
    connection.sendall(b"GET /answers/endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    wait_for(lambda: closed(server, "endless") == before + 1, "close() after the client went away")


def test_close_is_called_after_head(server: Httpd):
    before = closed(server, "an_iterator")
    assert get(server, "an_iterator", method="HEAD").status == 200
    wait_for(lambda: closed(server, "an_iterator") == before + 1, "close() after HEAD")


def test_error_in_close_is_logged_and_the_answer_stays(server: Httpd):
    answer = get(server, "raises_in_close")
    assert (answer.status, answer.body, answer.complete) == (200, b"done", True)
    server.wait_for_log("reason: raised in close")


# start_response


def test_status_and_headers_keep_order_and_case(server: Httpd):
    answer = get(server, "many_headers")
    assert (answer.status, answer.reason) == (201, "Made It So")
    assert [key for key, _ in answer.headers if key in ("X-One", "X-Two")] == ["X-One", "X-Two"]
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.ours
def test_duplicate_headers_stay_apart(server: Httpd):
    answer = get(server, "many_headers")
    assert answer.all("X-Same") == ["a", "b"]
    own = [(key, value) for key, value in answer.headers if key.startswith(("X-", "Set-"))]
    assert [key for key, _ in own] == ["X-One", "X-Same", "X-Two", "X-Same", "Set-Cookie", "Set-Cookie"]


def test_latin1_in_headers(server: Httpd):
    assert get(server, "latin1_header").header("X-Name") == "Jos\xe9"


def test_exc_info_before_output_replaces_the_answer(server: Httpd):
    answer = get(server, "exc_info_before")
    assert (answer.status, answer.reason, answer.body) == (500, "Sorry", b"replaced")
    assert (answer.header("X-First"), answer.header("X-Second")) == (None, "yes")


@pytest.mark.ours
def test_exc_info_after_output_cuts_the_answer(server: Httpd):
    answer = get(server, "exc_info_after")
    assert (answer.status, answer.body, answer.complete) == (200, b"some output ", False)
    server.wait_for_log("ValueError: reason: after output")


@pytest.mark.ours
def test_second_start_response_after_output_cuts_the_answer(server: Httpd):
    answer = get(server, "twice")
    assert (answer.body, answer.complete) == (b"some output ", False)


@pytest.mark.ours
def test_exception_in_the_middle_cuts_the_answer(server: Httpd):
    answer = get(server, "raises_in_middle")
    assert (answer.status, answer.body, answer.complete) == (200, b"some output ", False)
    server.wait_for_log("reason: raised in the middle")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("raises", "reason: raised before start_response"),
        ("raises_in_first", "reason: raised in the first step"),
        ("no_start", "start_response"),
        ("none", "NoneType|iterable"),
        ("a_string_item", "str|byte string"),
        ("bad_status", "status"),
        ("status_not_str", "status|str"),
        ("headers_not_list", "list"),
        ("header_with_newline", "header"),
        ("header_value_not_str", "str|header"),
        ("no_such_name", "KeyError"),
    ],
)
def test_mistakes_answer_500_and_are_logged(server: Httpd, name: str, reason: str):
    start = len(server.error_log())
    answer = get(server, name)
    assert (answer.status, answer.complete) == (500, True)
    assert answer.header("X-Injected") is None
    server.wait_for_log(reason, start=start)


def test_redirect(server: Httpd):
    answer = get(server, "redirect")
    assert (answer.status, answer.header("Location"), answer.body) == (302, "/elsewhere", b"moved")


@pytest.mark.ours
def test_a_reason_of_error_is_only_a_reason(server: Httpd):
    answer = get(server, "marks")
    assert (answer.status, answer.reason, answer.body) == (200, "Error", b"all is well")


def test_error_page_of_the_application_is_kept(server: Httpd):
    answer = get(server, "not_found")
    assert (answer.status, answer.reason, answer.body) == (404, "Not Here", b"the application says no")


# Lengths, HEAD and answers without a body


def test_length_given_by_the_application(server: Httpd):
    answer = get(server, "two_pieces_with_length")
    assert (answer.all("Content-Length"), answer.body, answer.complete) == (["6"], b"abcdef", True)


def test_excess_over_the_given_length_is_dropped(server: Httpd):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for _ in range(2):
            connection.send(b"GET /answers/too_much HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.answer().body == b"12345"


@pytest.mark.ours
def test_less_than_the_given_length_closes_the_connection(server: Httpd):
    start = len(server.error_log())
    with raw_http.Connection(server.ports["PORT"], timeout=4) as connection:
        connection.send(b"GET /answers/too_little HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.answer()
    assert (answer.header("Content-Length"), answer.body, answer.complete) == ("100", b"12345", False)
    server.wait_for_log("Content-Length|length", start=start)


def test_head_has_no_body(server: Httpd):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for name in ("two_pieces_with_length", "a_generator", "two_pieces_with_length"):
            connection.send(f"HEAD /answers/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.answer("HEAD")
            assert (answer.status, answer.body) == (200, b"")
    assert answer.header("Content-Length") == "6"


def test_head_reaches_the_application_as_head(server: Httpd):
    answer = get(server, "method", method="HEAD")
    assert (answer.status, answer.header("Content-Length")) == (200, "4")


@pytest.mark.parametrize("name, status", [("no_content", 204), ("not_modified", 304)])
def test_answers_without_a_body(server: Httpd, name: str, status: int):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for _ in range(2):
            connection.send(f"GET /answers/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.answer()
            assert (answer.status, answer.body) == (status, b"")
            assert answer.header("Transfer-Encoding") is None


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_every_method_reaches_the_application(server: Httpd, method: str):
    answer = get(server, "method", method=method)
    assert (answer.status, answer.body) == (200, method.encode())
