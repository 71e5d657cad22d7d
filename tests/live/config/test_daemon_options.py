"""The options of WSGIDaemonProcess that shape a daemon, as seen from inside it, and those of its socket."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

import raw_http
from httpd import IS_ROOT, LIVE_PYTHON, Httpd
from waiting import wait_for

NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can give daemons another user")

CONFIGURATION = """
WSGIDaemonProcess plain python-home=@PYTHON@ processes=2 threads=3
WSGIDaemonProcess folders python-home=@PYTHON@ home=@ROOT@/htdocs python-path=@ROOT@/first:@ROOT@/second umask=027
WSGIDaemonProcess words python-home=@PYTHON@ lang=C.UTF-8 locale=C.UTF-8 display-name="My own site"
WSGIDaemonProcess account python-home=@PYTHON@ @ACCOUNT_OPTIONS@
WSGIScriptAlias /plain @APPS@/process.wsgi process-group=plain
WSGIScriptAlias /folders @APPS@/process.wsgi process-group=folders
WSGIScriptAlias /words @APPS@/process.wsgi process-group=words application-group=%{GLOBAL}
WSGIScriptAlias /account @APPS@/process.wsgi process-group=account
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    account = "user=daemon group=games" if IS_ROOT else ""
    environment = {"USER": "root", "LOGNAME": "root", "HOME": "/root"}
    server = serve.prepare(CONFIGURATION.replace("@ACCOUNT_OPTIONS@", account), environment=environment)
    for name in ("first", "second"):
        (server.root / name).mkdir()
    return server.start()


def seen(server: Httpd, group: str) -> dict:
    answer = server.get(f"/{group}")
    assert answer.status_code == 200
    return answer.json()


def test_python_home(server: Httpd):
    plain = seen(server, "plain")
    assert (plain["prefix"], plain["version"]) == (server.fill_in("@PYTHON@"), LIVE_PYTHON)
    assert plain["group"] == "plain"


@pytest.mark.ours
def test_the_interpreter_is_that_of_the_environment(server: Httpd):
    assert seen(server, "plain")["executable"] == server.fill_in("@PYTHON@/bin/python")


@pytest.mark.ours
def test_python_wins_over_python_home(serve_once, python):
    """And needs none: the interpreter of a virtual environment knows where it is."""
    other = python("3.13")
    server = serve_once(
        f"WSGIDaemonProcess both python-home=@PYTHON@ python={other.executable}\n"
        "WSGIDaemonProcess alone python=@PYTHON@/bin/python\n"
        "WSGIScriptAlias /both @APPS@/process.wsgi process-group=both\n"
        "WSGIScriptAlias /alone @APPS@/process.wsgi process-group=alone\n"
    )
    both, alone = seen(server, "both"), seen(server, "alone")
    assert (both["version"], both["prefix"], both["executable"]) == ("3.13", str(other.home), str(other.executable))
    assert (alone["version"], alone["prefix"]) == (LIVE_PYTHON, server.fill_in("@PYTHON@"))


NUMBERS = """
import ctypes, json, sys

C = ctypes.CDLL(None)
C.pthread_self.restype = ctypes.c_void_p

def stack():
    attributes, size = ctypes.create_string_buffer(256), ctypes.c_size_t()
    assert C.pthread_getattr_np(ctypes.c_void_p(C.pthread_self()), attributes) == 0
    assert C.pthread_attr_getstacksize(attributes, ctypes.byref(size)) == 0
    C.pthread_attr_destroy(attributes)
    return size.value

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"stack": stack(), "switch interval": sys.getswitchinterval()}).encode()]
"""


def test_stack_size_and_switch_interval(serve_once):
    server = serve_once.prepare(
        "WSGISwitchInterval 0.125\n"
        "WSGIDaemonProcess usual python-home=@PYTHON@\n"
        "WSGIDaemonProcess small python-home=@PYTHON@ stack-size=1048576 switch-interval=0.25\n"
        "WSGIDaemonProcess large python-home=@PYTHON@ stack-size=67108864 switch-interval=0.0005\n"
        + "".join(
            f"WSGIScriptAlias /{name} @ROOT@/numbers.wsgi process-group={name} application-group=%{{GLOBAL}}\n"
            for name in ("usual", "small", "large")
        )
    )
    (server.root / "numbers.wsgi").write_text(NUMBERS)
    server.start()
    assert seen(server, "small") == {"stack": 1 << 20, "switch interval": 0.25}
    assert seen(server, "large") == {"stack": 64 << 20, "switch interval": 0.0005}
    assert seen(server, "usual") == {"stack": 8 << 20, "switch interval": 0.125}


@NEEDS_ROOT
def test_account(server: Httpd):
    account = seen(server, "account")
    user, group = pwd.getpwnam("daemon").pw_uid, grp.getgrnam("games").gr_gid
    assert (account["uids"], account["gids"]) == ([user] * 3, [group] * 3)
    assert set(account["groups"]) <= {group, pwd.getpwnam("daemon").pw_gid}
    names = {account["environment"].get(name) for name in ("USER", "USERNAME", "LOGNAME")}
    assert "daemon" in names and names <= {"daemon", None}
    assert account["environment"]["HOME"] == pwd.getpwnam("daemon").pw_dir


def test_account_without_options_is_that_of_apache(server: Httpd):
    plain = seen(server, "plain")
    assert plain["user"] == server.fill_in("@USER@")
    if IS_ROOT:
        assert 0 not in plain["uids"] + plain["gids"] + plain["groups"]


def test_folders(server: Httpd):
    folders = seen(server, "folders")
    assert folders["folder"] == f"{server.root}/htdocs"
    wanted = [f"{server.root}/{name}" for name in ("htdocs", "first", "second")]
    assert [place for place in folders["path"] if place in wanted] == wanted
    assert folders["path"].index(wanted[-1]) < 4
    assert folders["umask"] == "027"


def test_lang_and_locale(server: Httpd):
    words = seen(server, "words")
    assert (words["environment"]["LANG"], words["environment"]["LC_ALL"]) == ("C.UTF-8", "C.UTF-8")
    assert "UTF-8" in words["locale"]


@pytest.mark.ours
@pytest.mark.parametrize("group, title", [("plain", "(wsgi:plain)"), ("words", "My own site")])
def test_display_name(server: Httpd, group: str, title: str):
    pid = seen(server, group)["pid"]
    process = next(process for process in server.note_processes() if process.pid == pid)
    assert process.title == title


@pytest.mark.ours
def test_the_supervisor_says_who_it_is(server: Httpd):
    assert [process.title.startswith("(wsgi:supervisor)") for process in server.supervisors()] == [True]


@pytest.mark.ours
def test_all_daemons_are_children_of_the_supervisor(server: Httpd):
    (supervisor,) = server.supervisors()
    assert {process.parent for process in server.daemons()} == {supervisor.pid}
    assert supervisor.parent == server.parent.pid


def test_several_processes_share_the_work(server: Httpd):
    """Six requests at once are more than the three threads of one process take; prefork first needs its
    children for so many.
    """
    pids = set()
    with ThreadPoolExecutor(6) as pool:

        def both() -> bool:
            pids.update(pool.map(lambda _: seen(server, "plain?busy")["pid"], range(12)))
            return len(pids) == 2

        wait_for(both, "requests in both processes", timeout=20)


@pytest.mark.ours
def test_a_header_of_a_megabyte_needs_no_header_buffer_size(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ header-buffer-size=8192\n"
        "WSGIScriptAlias / @ROOT@/header.wsgi process-group=site\n"
    )
    (server.root / "header.wsgi").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('X-Long', 'x' * 1_000_000), ('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    server.start()
    assert "header-buffer-size" in server.wait_for_log("wsgi:info.*WSGI114")
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\nok"):
            piece = connection.socket.recv(1 << 20)
            assert piece, received[:300]
            received += piece
    assert received.startswith(b"HTTP/1.1 200 ") and b"\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n" in received


@pytest.mark.ours
def test_an_answer_is_held_back_for_ranges_up_to_response_buffer_size(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess usual python-home=@PYTHON@ response-flush-delay=2s\n"
        "WSGIDaemonProcess small python-home=@PYTHON@ response-flush-delay=2s response-buffer-size=65536\n"
        "WSGIScriptAlias /usual @ROOT@/pieces.wsgi process-group=usual\n"
        "WSGIScriptAlias /small @ROOT@/pieces.wsgi process-group=small\n"
    )
    (server.root / "pieces.wsgi").write_text(
        "def application(environ, start_response):\n"
        "    size = int(environ['QUERY_STRING'])\n"
        "    start_response('200 OK', [('Content-Length', str(size)), ('Accept-Ranges', 'bytes')])\n"
        "    return (b'x' * 1000 for _ in range(size // 1000))\n"
    )
    server.start()

    def status(group: str, size: int) -> int:
        answer = server.get(f"/{group}?{size}", headers={"Range": "bytes=5-9"})
        assert len(answer.content) == (5 if answer.status_code == 206 else size)
        return answer.status_code

    assert [status("small", 60_000), status("small", 70_000)] == [206, 200]
    assert [status("usual", 70_000), status("usual", 8_000_000), status("usual", 9_000_000)] == [206, 206, 200]


ONE_SOCKET = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=1 @OPTIONS@
WSGIScriptAlias / @APPS@/hello.wsgi process-group=site
"""


@contextmanager
def standing_still(server: Httpd) -> Iterator[Path]:
    """Nobody accepts connections of the one group; its socket."""
    (daemon,) = server.wait_for_daemons(1, "site")
    (path,) = server.socket_places()
    with daemon.standing_still():
        yield path


def fill(path: Path, held: ExitStack) -> int:
    """Makes connections until there is no place for another; their number."""
    for count in range(1000):
        connection = held.enter_context(socket.socket(socket.AF_UNIX))
        connection.setblocking(False)
        try:
            connection.connect(str(path))
        except BlockingIOError:
            return count
    raise AssertionError("no end of places")


@pytest.mark.ours
@pytest.mark.parametrize("backlog", [1, 7, 100])
def test_listen_backlog(serve_once, backlog: int):
    """The kernel lets one more wait than it was told."""
    options = f"listen-backlog={backlog}" if backlog != 100 else ""
    server = serve_once(ONE_SOCKET.replace("@OPTIONS@", options))
    with standing_still(server) as path, ExitStack() as held:
        assert fill(path, held) == backlog + 1
    wait_for(lambda: server.get("/").status_code == 200, "the queue is empty again")


@pytest.mark.ours
def test_connect_timeout_is_how_long_a_full_queue_is_waited_for(serve_once):
    server = serve_once(ONE_SOCKET.replace("@OPTIONS@", "listen-backlog=1 connect-timeout=700ms"))
    with standing_still(server) as path, ExitStack() as held:
        fill(path, held)
        begun = time.monotonic()
        assert server.get("/").status_code == 503
        assert 0.7 <= time.monotonic() - begun < 5
    server.wait_for_log("WSGI231.*queue is full.*connect-timeout")


@pytest.mark.ours
def test_a_place_in_the_queue_that_becomes_free_in_time_is_taken(serve_once):
    server = serve_once(ONE_SOCKET.replace("@OPTIONS@", "listen-backlog=1 connect-timeout=20"))
    with ThreadPoolExecutor(1) as pool, ExitStack() as held:
        with standing_still(server) as path:
            fill(path, held)
            waiting = pool.submit(server.get, "/")
            assert not done_within(waiting, 0.5)
        held.close()
        assert waiting.result().status_code == 200


def done_within(future: Future, seconds: float) -> bool:
    with suppress(TimeoutError):
        future.result(seconds)
    return future.done()


@pytest.mark.ours
@pytest.mark.parametrize("given", [True, False])
def test_buffers_of_the_connection_to_a_process(serve_once, given: bool):
    """The kernel doubles what it is told."""
    options = "send-buffer-size=50000 receive-buffer-size=30000" if given else ""
    server = serve_once(ONE_SOCKET.replace("@OPTIONS@", options))
    assert server.get("/").status_code == 200
    (path,) = server.socket_places()
    name = os.readlink(path).removesuffix(" (deleted)")
    found = set()
    for child in server.children():
        for connection in child.sockets():
            with connection:
                if connection.family == socket.AF_UNIX and peer(connection) == name:
                    sizes = (socket.SO_SNDBUF, socket.SO_RCVBUF)
                    found.add(tuple(connection.getsockopt(socket.SOL_SOCKET, size) for size in sizes))
    usual = tuple(int(Path(f"/proc/sys/net/core/{name}_default").read_text()) for name in ("wmem", "rmem"))
    assert found == {(100_000, 60_000) if given else usual}


def peer(connection: socket.socket) -> str | bytes | None:
    with suppress(OSError):
        return connection.getpeername()


@NEEDS_ROOT
@pytest.mark.ours
def test_socket_user(serve_once):
    server = serve_once(
        "WSGIDaemonProcess usual python-home=@PYTHON@\nWSGIScriptAlias /usual @APPS@/hello.wsgi process-group=usual\n"
        + ONE_SOCKET.replace("@OPTIONS@", "socket-user=daemon")
    )
    assert server.get("/usual").status_code == 200
    owners = sorted(path.owner() for path in server.socket_places())
    assert owners == sorted(["daemon", server.fill_in("@USER@")])
    # httpd's own user may not connect any more; where children run as others, theirs may.
    assert [server.get(path).status_code for path in ("/usual", "/")] == [200, 503]
    server.wait_for_log("WSGI231.*Permission denied")


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
@pytest.mark.ours
def test_scripts_of_a_stranger_are_refused(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess users python-home=@PYTHON@ script-user=@USER@\n"
        "WSGIDaemonProcess groups python-home=@PYTHON@ script-group=@USER@\n"
        "WSGIScriptAlias /users @ROOT@/site/hello.wsgi process-group=users\n"
        "WSGIDaemonProcess service python-home=@PYTHON@ script-user=@USER@ threads=0\n"
        "WSGIScriptAlias /groups @ROOT@/site/hello.wsgi process-group=groups\n"
        "WSGIImportScript @ROOT@/site/hello.wsgi process-group=service application-group=%{GLOBAL}\n"
    )
    site = server.root / "site"
    site.mkdir()
    (site / "hello.wsgi").write_text((server.root / "apps/hello.wsgi").read_text() + "print('executed')\n")
    server.start()
    for group in ("users", "groups"):
        server.wait_for_log(f"group '{group}'.*is ready in")
    server.wait_for_log("process group 'service'.*no process can be started.*by its script-user=")
    assert server.error_log().count("may not run in process group") == 3, "said of each group, before any request"

    def statuses() -> list[int]:
        return [server.get(path).status_code for path in ("/users", "/groups")]

    assert statuses() == [403, 403]
    server.wait_for_log(r"WSGI220.*script-user= \(WSGIDaemonProcess at")
    assert "executed" not in server.error_log()
    for path in (site, site / "hello.wsgi"):
        shutil.chown(path, server.fill_in("@USER@"), server.fill_in("@USER@"))
        path.chmod(0o775)
    assert statuses() == [403, 200]
    for path in (site, site / "hello.wsgi"):
        path.chmod(0o755)
    assert statuses() == [200, 200]
    wait_for(lambda: server.error_log().count("] executed") >= 3, "the service is executed", timeout=20)
    site.chmod(0o757)
    assert statuses() == [403, 403]
