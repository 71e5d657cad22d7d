"""PEP 3333 from the server's side, one test a clause and named after it.

test_wsgi.py, test_environ.py and test_request_body.py have the everyday part of it; here are the clauses that only an
unusual application notices. The applications are in apps/pep3333.wsgi.
"""

from __future__ import annotations

import io
import json
import select
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import raw_http
from certificate import over_tls
from httpd import Httpd
from raw_http import Answer
from waiting import wait_for

CALLABLES = ["a_function", "an_instance", "a_method", "a_partial", "AClass", "a_generator"]

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=5 display-name=%{GROUP}
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias /pep @APPS@/pep3333.wsgi
WSGIScriptAlias /any @APPS@/pep3333.wsgi callable-object=any_arguments
WSGIScriptAlias /url @APPS@/pep3333.wsgi callable-object=reconstructed_url
""" + "".join(f"WSGIScriptAlias /{name} @APPS@/pep3333.wsgi callable-object={name}\n" for name in CALLABLES)


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION + "@HTTPS@\n")


@pytest.fixture(scope="module")
def folder(server: Httpd) -> Path:
    """Where tests and applications leave files for each other."""
    folder = server.writable_folder("exchange")
    return folder


@pytest.fixture
def connection(server: Httpd) -> Iterator[raw_http.Connection]:
    with raw_http.Connection(server.ports["PORT"]) as connection:
        yield connection


def target(name: str, arguments: object = None) -> str:
    query = "" if arguments is None else "?" + urllib.parse.quote(repr(arguments))
    return f"/pep/{name}{query}"


def get(server: Httpd, name: str, arguments: object = None, method: str = "GET") -> Answer:
    return raw_http.get(server.ports["PORT"], target(name, arguments), method=method)


def seen(server: Httpd, name: str, arguments: object = None) -> object:
    """What a check answered."""
    answer = get(server, name, arguments)
    assert (answer.status, answer.complete) == (200, True), answer
    return json.loads(answer.body)


def posted(server: Httpd, name: str, body: bytes, arguments: object = None) -> object:
    answer = server.post(target(name, arguments), content=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# The application object


@pytest.mark.parametrize("name", CALLABLES)
def test_application_is_any_callable_and_called_more_than_once(server: Httpd, name: str):
    for _ in range(3):
        assert server.get(f"/{name}").json() in (name, name.partition("_")[2], "Instance")


def test_application_gets_two_positional_arguments(server: Httpd):
    assert server.get("/any").json() == [2, [], "dict"]


# environ


def test_environ_is_a_builtin_dict_with_str_keys(server: Httpd):
    assert seen(server, "environ_type") == [True, True]


def test_environ_may_be_modified_in_any_way(server: Httpd):
    assert [seen(server, "environ_changes") for _ in range(3)] == [False, False, False]
    assert seen(server, "environ_keys")["PATH_INFO"] == "/environ_keys"


def test_environ_variables_that_are_never_missing_nor_empty(server: Httpd):
    old = b"GET /pep/environ_keys HTTP/1.0\r\n\r\n"
    for found in (seen(server, "environ_keys"), json.loads(raw_http.exchange(server.ports["PORT"], old).body)):
        for name in ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"):
            assert found[name], name
        assert found["SERVER_PORT"].isdigit()
        assert {"SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"} <= found.keys()
        assert not found.get("CONTENT_TYPE") and not found.get("CONTENT_LENGTH")


def test_environ_text_has_only_latin1_code_points(server: Httpd):
    path = "/pep/environ_code_points?\xff".encode("latin-1")
    request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nX-Bytes: \xf0\x9f\x90\x8d\xff\r\n\r\n"
    assert json.loads(raw_http.exchange(server.ports["PORT"], request).body) == [True, 0xFF]


def test_environ_names_of_the_server_have_its_prefix(server: Httpd):
    for name in seen(server, "environ_keys"):
        assert name == name.upper() or name.partition(".")[0] in ("wsgi", "mod_wsgi", "apache", "mod_ssl"), name


@pytest.mark.parametrize("path", ["", "/", "/a/b", "/a%20b", "/caf%C3%A9", "/a?b=c&d", "/%25?%25", "/a;b=c", "/%FF"])
def test_url_reconstruction(server: Httpd, path: str):
    rebuilt = json.loads(raw_http.get(server.ports["PORT"], f"/url{path}").body)
    assert urllib.parse.unquote_to_bytes(rebuilt) == urllib.parse.unquote_to_bytes(f"http://localhost/url{path}")


# start_response()


@pytest.mark.parametrize("arguments", [("200 OK", []), ("200 OK", [], None)])
def test_start_response_takes_two_or_three_positional_arguments(server: Httpd, arguments: tuple):
    assert get(server, "start", (arguments, {})).body == b"accepted"


@pytest.mark.parametrize(
    "arguments, named",
    [((), {}), (("200 OK",), {}), (("200 OK", [], None, None), {}), (("200 OK", []), {"junk": 1})],
)
def test_start_response_refuses_other_arguments(server: Httpd, arguments: tuple, named: dict):
    assert seen(server, "start", (arguments, named))[0] == "TypeError"


def test_start_response_returns_a_write_callable_of_one_argument(server: Httpd):
    assert seen(server, "write_is_returned") == [True, ["TypeError", "TypeError", "TypeError"], "None"]


@pytest.mark.ours
def test_start_response_must_not_be_called_twice_without_exc_info(server: Httpd):
    assert seen(server, "second_call")[0] == "AssertionError"


def test_start_response_is_not_needed_before_the_last_step(server: Httpd):
    answer = get(server, "start_in_last_step")
    assert (answer.status, answer.reason, answer.body) == (202, "Late", b"")


def test_start_response_with_exc_info_after_the_head_raises_that_exception(server: Httpd):
    answer = get(server, "exc_info_after_head")
    assert (answer.status, answer.body) == (200, b"begun;[true, true]")


@pytest.mark.ours
def test_start_response_with_exc_info_before_data_replaces_the_head(server: Httpd):
    answer = get(server, "exc_info_before_head")
    assert (answer.status, answer.reason, answer.body) == (503, "Replaced", b"replaced")
    assert (answer.header("X-First"), answer.all("X-Number")) == (None, ["3"])


def test_start_response_that_is_refused_leaves_the_head_before_it(server: Httpd):
    answer = get(server, "exc_info_of_a_bad_head")
    assert (answer.status, answer.header("X-First"), json.loads(answer.body)[0]) == (200, "yes", "ValueError")


def test_exc_info_makes_no_circular_reference_that_lasts(server: Httpd):
    for _ in range(10):
        assert get(server, "exc_info_is_not_kept").status == 200
    assert seen(server, "what_was_kept") == [10, 0]


def test_head_is_not_sent_before_the_first_piece_that_is_not_empty(folder: Path, connection: raw_http.Connection):
    go_on = folder / "go-on"
    connection.send(f"GET /pep/nothing_before_data?{go_on} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_for((folder / "go-on.waiting").exists, "the application waits")
    connection.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.socket.recv(1)
    connection.socket.settimeout(20)
    go_on.touch()
    assert connection.answer().body == b"data"


def test_head_is_sent_at_the_end_when_there_is_no_data(server: Httpd):
    answer = get(server, "no_data_at_all")
    assert (answer.status, answer.header("X-Empty"), answer.body, answer.complete) == (202, "yes", b"", True)


GOOD_STATUSES = ["200 OK", "299 Unheard Of", "404 Not Found", "599 Last", "200 Gr\xfc\xdfe", "418 I'm a teapot"]
BAD_STATUSES = [
    "", "OK", "2", "20 OK", "2000 OK", "200OK", " 200 OK", "+20 OK", "2.0 OK", "\u0662\u0660\u0660 OK", "\xb2\xb2\xb2 OK",
    "199 Low", "100 Continue", "101 Switching", "099 Low", "600 High", "999 High", "-20 OK",
    "200 OK\r\n", "200 OK\nX: y", "200 \0", "200 \x1b", "200 \x7f", "200 \u20ac",
]  # fmt: skip


@pytest.mark.parametrize("status", GOOD_STATUSES, ids=ascii)
def test_status_of_three_digits_and_a_reason_is_sent_as_it_is(server: Httpd, status: str):
    answer = get(server, "start", ((status, [("Content-Type", "text/plain")]), {}))
    assert (f"{answer.status} {answer.reason}", answer.body) == (status, b"accepted")


def test_status_without_a_reason_is_accepted(server: Httpd):
    assert get(server, "start", (("299", []), {})).status == 299


@pytest.mark.ours
@pytest.mark.parametrize("status", BAD_STATUSES, ids=ascii)
def test_status_of_another_form_is_refused_before_a_byte_is_sent(server: Httpd, status: str):
    kind, text = seen(server, "start", ((status, []), {}))
    assert kind in ("ValueError", "TypeError") and "status" in text.lower()


@pytest.mark.ours
@pytest.mark.parametrize("status", [200, b"200 OK", None, ("200", "OK"), 200.0], ids=ascii)
def test_status_must_be_str(server: Httpd, status: object):
    kind, text = seen(server, "start", ((status, []), {}))
    assert kind == "TypeError" and "status" in text.lower()


@pytest.mark.parametrize("headers", [(), None, {}, {"X": "y"}, (("X", "y"),), "X: y", 5], ids=ascii)
def test_headers_must_be_a_list(server: Httpd, headers: object):
    assert seen(server, "start", (("200 OK", headers), {}))[0] == "TypeError"


@pytest.mark.ours
@pytest.mark.parametrize(
    "header",
    [
        ["X-Bad", "y"], ("X-Bad",), ("X-Bad", "y", "z"), (), "Xy", None, 5,
        (b"X-Bad", "y"), ("X-Bad", b"y"), ("X-Bad", 5), ("X-Bad", None), (None, "y"), ("X-Bad", ["y"]),
    ],
    ids=ascii,
)  # fmt: skip
def test_headers_must_be_tuples_of_two_str(server: Httpd, header: object):
    kind, text = seen(server, "start", (("200 OK", [("X-Good", "y"), header]), {}))
    assert kind == "TypeError"
    assert "X-Bad" in text or "header" in text.lower()


BAD_NAMES = ["", " ", "X Bad", "X-Bad:", "X-Bad\r", "X\n", "X\0", "X\t", "X-B\xe4d", "X(", "X/", 'X"', "X@", "X\x7f", "X{}", "X,"]
BAD_VALUES = ["a\r\nX-Injected: b", "a\n", "a\r", "\n", "\0", "a\0b", "a\x01", "a\x1b[0m", "\x7f", "a\r\n b"]


@pytest.mark.ours
@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_header_name_must_be_a_token(server: Httpd, name: str):
    kind, text = seen(server, "start", (("200 OK", [("X-Good", "y"), (name, "y")]), {}))
    assert kind == "ValueError" and "name" in text


@pytest.mark.ours
@pytest.mark.parametrize("value", BAD_VALUES, ids=ascii)
def test_header_value_must_not_contain_control_characters(server: Httpd, value: str):
    kind, text = seen(server, "start", (("200 OK", [("X-Bad", value)]), {}))
    assert kind == "ValueError" and "X-Bad" in text


@pytest.mark.ours
@pytest.mark.parametrize("header", [("X-Bad", "\u20ac"), ("X-Bad", "\ud800"), ("X-Bad\u20ac", "y")], ids=ascii)
def test_headers_must_be_latin1(server: Httpd, header: tuple):
    kind, text = seen(server, "start", (("200 OK", [header]), {}))
    assert kind in ("ValueError", "UnicodeEncodeError") and ("X-Bad" in text or "name" in text)


def test_headers_may_be_of_a_class_derived_from_str(server: Httpd):
    assert get(server, "start_with_text_of_its_own_class").header("X-Text") == "of its own"


# The iterable


@pytest.mark.parametrize(
    "name",
    [
        "list_with_its_own_iter", "tuple_with_its_own_iter", "only_getitem", "length_one", "length_raises", "only_next",
        "false_iterable", "map", "set", "dict_keys", "bytes_io", "one_tuple", "list_of_empties", "subclass_of_bytes",
    ],
)  # fmt: skip
def test_iterable_is_what_iter_gives(server: Httpd, name: str):
    answer = get(server, "iterable", name)
    assert (answer.status, answer.body, answer.complete) == (200, b"own iter", True)
    assert answer.header("Content-Length") in (None, "8")


@pytest.mark.ours
@pytest.mark.parametrize("name", ["one_tuple", "subclass_of_bytes"])
def test_iterable_of_length_one_gives_content_length(server: Httpd, name: str):
    assert get(server, "iterable", name).all("Content-Length") == ["8"]


ITEMS = ["str", "bytearray", "memoryview", "int", "None", "float", "list", "empty_str", "zero"]


@pytest.mark.parametrize("name", ITEMS)
def test_iterable_of_anything_but_bytes_is_refused(server: Httpd, name: str):
    start = len(server.error_log())
    assert get(server, "item", name).status == 500
    server.wait_for_log("TypeError: .*bytes", start=start)


@pytest.mark.ours
@pytest.mark.parametrize("name", ITEMS)
def test_iterable_with_other_than_bytes_later_cuts_the_answer(server: Httpd, name: str):
    answer = get(server, "item_after_data", name)
    assert (answer.status, answer.body, answer.complete) == (200, b"data", False)


@pytest.mark.parametrize("name", ITEMS)
def test_write_of_anything_but_bytes_is_refused(server: Httpd, name: str):
    assert seen(server, "item_written", name)[0] == "TypeError"


@pytest.mark.parametrize("name", ["None", "int", "function", "object", "true", "bytes", "str"])
def test_application_must_return_an_iterable_of_bytes(server: Httpd, name: str):
    start = len(server.error_log())
    assert get(server, "no_iterable", name).status == 500
    server.wait_for_log("TypeError: ", start=start)


# Content-Length


@pytest.mark.ours
@pytest.mark.parametrize(
    "value", ["", "-1", "+5", "5a", "0x5", " 5", "5 ", "5,5", "1e1", "\xb2", "5.0", "99999999999999999999999"], ids=ascii
)
def test_content_length_must_be_a_number(server: Httpd, value: str):
    kind, text = seen(server, "start", (("200 OK", [("Content-Length", value)]), {}))
    assert kind == "ValueError" and "Content-Length" in text


@pytest.mark.ours
def test_content_length_is_given_once(server: Httpd):
    headers = [("Content-Length", "5"), ("Content-Length", "6")]
    assert seen(server, "start", (("200 OK", headers), {}))[0] == "ValueError"
    answer = get(server, "length", (["5", "5"], [b"12", b"345"]))
    assert (answer.all("Content-Length"), answer.body, answer.complete) == (["5"], b"12345", True)


def test_content_length_with_leading_zeros_stays_a_number(server: Httpd):
    answer = get(server, "length", (["005"], [b"12345"]))
    assert (int(answer.header("Content-Length")), answer.body, answer.complete) == (5, b"12345", True)


def test_content_length_of_zero(server: Httpd):
    answer = get(server, "length", (["0"], []))
    assert (answer.header("Content-Length"), answer.body, answer.complete) == ("0", b"", True)


@pytest.mark.ours
def test_iteration_stops_when_content_length_is_reached(server: Httpd):
    answer = get(server, "more_than_the_length")
    assert (answer.body, answer.complete) == (b"123451234512"[:12], True)
    assert seen(server, "steps_taken") < 1000


def test_write_past_content_length_is_not_sent(server: Httpd, connection: raw_http.Connection):
    for _ in range(2):
        connection.send(b"GET /pep/written_past_the_length HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.answer().body == b"12345"
    server.wait_for_log("written past the length")


# close()


@pytest.mark.parametrize(
    "how, status",
    [
        ("good", 200), ("sequence", 200), ("first_raises", 500), ("iter_raises", 500), ("wrong_item", 500),
        ("system_exit", 200), ("start_missing", 500), ("too_little", 200), ("close_raises", 200),
        ("close_raises_again", 200),
    ],
)  # fmt: skip
def test_close_is_called_once_however_the_iteration_ends(server: Httpd, how: str, status: int):
    before = seen(server, "times_closed").get(how, 0)
    assert get(server, "closing", how).status == status
    wait_for(lambda: seen(server, "times_closed")[how] > before, f"close() after {how}")
    assert seen(server, "times_closed")[how] == before + 1


def test_close_is_called_after_head_requests(server: Httpd):
    assert get(server, "closing", "head", method="HEAD").status == 200
    wait_for(lambda: seen(server, "times_closed").get("head") == 1, "close() after HEAD")


def test_close_is_called_after_the_last_step(server: Httpd, folder: Path):
    path = folder / "closed"
    assert get(server, "close_comes_last", str(path)).body == b"data"
    assert wait_for(lambda: path.exists() and path.read_text(), "close()") == "after the last step"


# wsgi.input and wsgi.errors

TEXT = b"first line\nsecond\n\n\xc3\xa9 third without end"
CALLS = [
    [("read", ())],
    [("read", (None,))],
    [("read", (-1,)), ("read", ()), ("read", (5,))],
    [("read", (-100,))],
    [("read", (0,)), ("read", (10**15,))],
    [("read", (3,)), ("readline", ()), ("read", (1,)), ("readlines", ())],
    [("readline", (None,)), ("readline", (-1,)), ("readline", (0,)), ("readline", (3,)), ("readline", (10**15,))],
    [("readlines", (None,))],
    [("readlines", (0,))],
    [("readlines", (-1,))],
    [("readlines", (1,)), ("readlines", (8,)), ("readlines", ())],
    [("__next__", ()), ("__next__", ()), ("read", (2,)), ("__next__", ()), ("__next__", ())],
    [("read", (True,)), ("readline", (True,))],
]


@pytest.mark.ours
@pytest.mark.parametrize("calls", CALLS, ids=lambda calls: "-".join(name for name, _ in calls))
def test_input_is_read_like_a_file(server: Httpd, calls: list):
    file, expected = io.BytesIO(TEXT), []
    for name, given in calls:
        try:
            expected.append(["", repr(getattr(file, name)(*given))])
        except StopIteration:
            expected.append(["StopIteration", ""])
    assert posted(server, "input_calls", TEXT, calls) == expected


@pytest.mark.parametrize("name", ["read", "readline", "readlines"])
def test_input_refuses_arguments_that_are_no_sizes(server: Httpd, name: str):
    calls = [(name, ("5",)), (name, (2.0,)), (name, (1, 2)), ("read", (5,))]
    outcomes = posted(server, "input_calls", TEXT, calls)
    assert [kind for kind, _ in outcomes] == ["TypeError", "TypeError", "TypeError", ""]
    assert outcomes[-1][1] == repr(TEXT[:5])


@pytest.mark.ours
def test_input_can_be_wrapped_by_the_io_module(server: Httpd):
    assert posted(server, "input_buffered", b"one two\nthree\nfour") == ["o", "one", " two\n", "", "three\nfour"]
    assert posted(server, "input_as_text", TEXT) == TEXT.decode().splitlines(keepends=True)


@pytest.mark.ours
def test_input_readinto_fills_any_buffer_and_loses_nothing(server: Httpd):
    kinds, nothing, data = posted(server, "input_readinto", b"twenty bytes of data")
    assert (kinds, nothing, data) == (["TypeError"] * 3, 0, "twenty bytes of data")


def test_input_is_its_own_iterator_and_close_does_nothing(server: Httpd):
    body = b"one\ntwo\nthree"
    assert posted(server, "input_is_its_own_iterator", body) == [True, "one\n", ["two\n", "three"], "StopIteration"]


def test_input_simulates_the_end_of_the_file(server: Httpd, connection: raw_http.Connection):
    """Bytes after the body are the next request's."""
    path = target("input_calls", [("read", ()), ("read", (1,)), ("readline", ())])
    one = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".encode()
    connection.send(one + one)
    seen = json.dumps([["", "b'abc'"], ["", "b''"], ["", "b''"]]).encode()
    received = b""
    while received.count(seen) < 2:
        piece = connection.socket.recv(65536)
        assert piece, received
        received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_input_fails_when_its_request_has_ended(server: Httpd, folder: Path):
    path = folder / "input"
    assert posted(server, "input_after_the_request", b"body", str(path)) == "started"
    path.touch()
    outcome = path.with_suffix(".outcome")
    wait_for(outcome.exists, "outcome of a late read")
    assert outcome.read_text() in ("RuntimeError", "ValueError", "OSError")


@pytest.mark.ours
def test_errors_is_a_text_stream_with_a_buffer(server: Httpd):
    assert seen(server, "errors", "errors-mark") == [True, None, ["TypeError", "TypeError", "TypeError"]]
    for what in ("written", "line one", "line two", "bytes", "printed"):
        server.wait_for_log(f"errors-mark {what}$")


@pytest.mark.ours
def test_errors_can_be_used_after_the_request(server: Httpd, folder: Path):
    mark = folder / "errors-later"
    assert seen(server, "errors_after_the_request", str(mark)) == "started"
    mark.touch()
    assert "no exception" in server.wait_for_log("outcome after the request")
    server.wait_for_log("errors-later afterwards$")


# wsgi.file_wrapper

CONTENT = bytes(range(256)) * 1200


@pytest.fixture(scope="module")
def path(folder: Path) -> str:
    file = folder / "file"
    file.write_bytes(CONTENT)
    return str(file)


def wrapped(server: Httpd, path: str, like: str, **wanted: object) -> Answer:
    return get(server, "file", {"path": path, "like": like, **wanted})


KINDS = ["raw", "buffered", "memory", "pipe", "no_fileno", "only_read"]
REGULAR = ["raw", "buffered"]


@pytest.mark.parametrize("like", KINDS)
def test_file_wrapper_sends_all_of_a_file(server: Httpd, path: str, like: str):
    answer = wrapped(server, path, like)
    assert (answer.status, answer.body == CONTENT, answer.complete) == (200, True, True)
    assert answer.header("Content-Length") == (str(len(CONTENT)) if like in REGULAR else None)


@pytest.mark.parametrize("like", KINDS)
@pytest.mark.parametrize("skip", [1, 8192, len(CONTENT)])
def test_file_wrapper_begins_where_the_file_stands(server: Httpd, path: str, like: str, skip: int):
    answer = wrapped(server, path, like, skip=skip)
    assert (answer.status, answer.body == CONTENT[skip:], answer.complete) == (200, True, True)


@pytest.mark.parametrize("like", KINDS)
@pytest.mark.parametrize("length", [0, 1, 8193])
def test_file_wrapper_ends_at_content_length(server: Httpd, path: str, like: str, length: int):
    answer = wrapped(server, path, like, length=length, skip=3)
    assert (answer.body, answer.all("Content-Length")) == (CONTENT[3 : 3 + length], [str(length)])


@pytest.mark.ours
@pytest.mark.parametrize("like", KINDS)
def test_file_wrapper_with_less_than_content_length_is_cut(server: Httpd, path: str, like: str):
    answer = wrapped(server, path, like, length=len(CONTENT) + 1)
    assert (answer.status, answer.body == CONTENT, answer.complete) == (200, True, False)


@pytest.mark.parametrize("like", KINDS)
def test_file_wrapper_after_write(server: Httpd, path: str, like: str):
    answer = wrapped(server, path, like, before=b"before ")
    assert (answer.body == b"before " + CONTENT, answer.complete) == (True, True)


@pytest.mark.one_process
@pytest.mark.parametrize("like", KINDS)
def test_file_wrapper_closes_its_file(server: Httpd, path: str, like: str):
    wrapped(server, path, like, name=f"closes {like}")
    wait_for(lambda: seen(server, "times_closed")[f"closes {like}"] == 1, f"close() of {like}")


@pytest.mark.parametrize("block", [1, 1000, 10**6])
def test_file_wrapper_takes_a_block_size(server: Httpd, path: str, block: int):
    for like in ("raw", "memory"):
        answer = wrapped(server, path, like, block=block, length=3000)
        assert (answer.body, answer.complete) == (CONTENT[:3000], True)


@pytest.mark.ours
def test_file_wrapper_of_an_empty_file(server: Httpd, folder: Path):
    empty = folder / "empty"
    empty.touch()
    for like in KINDS:
        answer = wrapped(server, str(empty), like)
        assert (answer.status, answer.body, answer.complete) == (200, b"", True), like


@pytest.mark.parametrize("method, status", [("HEAD", "200 OK"), ("GET", "204 None"), ("GET", "304 None")])
def test_file_wrapper_of_answers_without_a_body(server: Httpd, path: str, method: str, status: str):
    request = f"{method} {target('file', {'path': path, 'like': 'raw', 'status': status})} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for _ in range(2):
            connection.send(request.encode())
            answer = connection.answer(method)
            assert (answer.status, answer.body, answer.complete) == (int(status[:3]), b"", True)


@pytest.mark.ours
def test_file_wrapper_of_a_file_that_cannot_be_read_is_a_visible_error(server: Httpd, folder: Path):
    writable = folder / "writable"
    writable.write_bytes(b"x" * 100)
    writable.chmod(0o666)
    start = len(server.error_log())
    assert wrapped(server, str(writable), "unreadable").status == 500
    server.wait_for_log("OSError", start=start)


def test_file_wrapper_of_a_file_that_is_deleted_meanwhile(server: Httpd, folder: Path):
    doomed = folder / "doomed"
    doomed.write_bytes(CONTENT)
    answer = get(server, "file_then_deleted", str(doomed))
    assert (answer.body == CONTENT, answer.complete, doomed.exists()) == (True, True, False)


@pytest.mark.ours
@pytest.mark.parametrize("port", ["PORT", "TLS"])
@pytest.mark.parametrize("remaining", [0, 5_000_000])
def test_file_wrapper_of_a_file_that_shrinks_is_a_visible_error(server: Httpd, folder: Path, remaining: int, port: str):
    """The client reads nothing until the file is shorter; httpd's child survives, for the sake of its other clients."""
    shrinking = folder / "shrinking"
    shrinking.write_bytes(b"s" * 50_000_000)
    children, start = server.children(), len(server.error_log())
    with raw_http.Connection(server.ports[port], timeout=10) as connection:
        if port == "TLS":
            connection.socket = over_tls(connection.socket)
        connection.send(f"GET {target('file', {'path': str(shrinking), 'like': 'raw'})} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert select.select([connection.socket], [], [], 10)[0], "the answer does not begin"
        with open(shrinking, "r+b") as file:
            file.truncate(remaining)
        shrunk = time.monotonic()
        answer = connection.answer()
        waited = time.monotonic() - shrunk
    assert (answer.status, answer.complete) == (200, False)
    assert waited < 3, "the connection was not closed at once"
    assert "the client closed the connection" not in server.error_log()[start:]
    assert server.get("/a_function").json() == "a_function"
    assert [child for child in children if not child.alive] == []


def test_file_wrapper_is_an_ordinary_iterable(server: Httpd):
    assert seen(server, "file_wrapper_used_directly") == [["one ", "two"], True]


# Threads


@pytest.mark.one_process
def test_thread_support(server: Httpd):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: seen(server, "at_once"), range(3)))
    assert len({pid for pid, _, _ in found}) == 1
    assert len({thread for _, thread, _ in found}) == 3
    assert all(multithread for _, _, multithread in found)
