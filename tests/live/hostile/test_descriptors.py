"""No descriptor of a site's gets into a child of httpd, unless WSGIEnableSendfile is On for the request.

A descriptor that is closed asks its file system, which may be a program of the site's (FUSE) that never answers, and
takes the locks with it that code in the child holds on the same file. So what is passed is lost on its way, or from
Linux 6.16 on refused.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import raw_http
import wire
from httpd import Httpd
from waiting import wait_for
from wire import data, end, file, head, length, passing, repeat

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

CONFIGURATION = wire.CONFIGURATION.replace(
    "    WSGIEnableSendfile On\n",
    """
    <Location /passes>
        WSGIEnableSendfile On
    </Location>
    <Directory @ROOT@/asks>
        AllowOverride FileInfo
        Require all granted
    </Directory>
    WSGIScriptAlias /asks @ROOT@/asks/wire.wsgi process-group=evil application-group=%{GLOBAL}
""",
) + """
<VirtualHost *:@PORT@>
    ServerName embedded.example
    WSGIScriptAlias / @APPS@/locks.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}
</VirtualHost>
"""  # fmt: skip

WHOLE = [head(b"200 OK", length(4)), data(b"wire"), end()]
MEMORY = "/memfd:memory (deleted)"
# Sockets that linger keep a thread before Linux 6.16.
KINDS = [
    "regular", "memory", "O_PATH", "write only", "fifo", "pipe", "pair", "event", "epoll", "zero", "terminal", "directory", "proc", "listener",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(serve) -> Iterator[Httpd]:
    server = serve.prepare(CONFIGURATION)
    folder = server.root / "asks"
    folder.mkdir()
    (folder / "wire.wsgi").write_text((server.root / "apps/wire.wsgi").read_text())
    (folder / ".htaccess").write_text("WSGIEnableSendfile On\n")
    server.writable_folder("locked")
    yield wire.take_over(server.start())


def held(server: Httpd) -> int:
    return sum(len(child.descriptors) for child in server.children())


@pytest.mark.parametrize("path", ["/", "/asks"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_descriptor_costs_no_more_than_its_answer(server: Httpd, kind: str, path: str):
    """A .htaccess file is the site's own."""
    wire.ask(server, plan=WHOLE)
    before, begun = held(server), time.monotonic()
    for plan in (
        [passing(WHOLE[0], kind), *WHOLE[1:]],
        [*WHOLE[:1], repeat(30, passing(data(b"w"), *[kind] * 20)), end()],
        [*WHOLE, passing(end(), *[kind] * 100)],
        WHOLE,
    ):
        answer = wire.ask(server, path, plan)
        assert answer.status in (200, 502)
    assert raw_http.get(server.ports["PORT"], "/", "Connection: close", host="good.example").body == wire.HELLO
    assert time.monotonic() - begun < 10, "a thread of httpd's was kept"
    wait_for(lambda: held(server) <= before + 4, f"descriptors are closed: {before} before")


def test_it_is_in_the_child_at_no_time(server: Httpd):
    def is_seen(path: str) -> bool:
        plan = [head(b"200 OK", length(4)), passing(data(b"wi"), "memory"), ["pause", 0.5], data(b"re"), end()]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(wire.ask, server, path, plan)
            seen = False
            while not asked.done():
                seen |= any(MEMORY in child.descriptors for child in server.children())
                time.sleep(0.01)
            assert asked.result().status in (200, 502)
        return seen

    assert (is_seen("/passes"), is_seen("/"), is_seen("/asks")) == (True, False, False)


@pytest.mark.parametrize("path", ["/", "/asks"])
def test_a_file_is_refused(server: Httpd, path: str):
    start = len(server.error_log())
    assert wire.ask(server, path, [head(b"200 OK", length(9)), file(9), end()]).status == 502
    assert "a file, where WSGIEnableSendfile is Off" in server.wait_for_log("WSGI234", start=start)
    whole = [head(b"200 OK", length(9)), file(9, "regular"), end()]
    assert wire.ask(server, "/passes", whole).body == b"f" * 9
    assert wire.ask(server, path, whole).status == 502


def test_requests_of_both_kinds_share_their_connections(server: Httpd):
    for _ in range(5):
        assert wire.ask(server, "/passes", [head(b"200 OK", length(9)), file(9, "regular"), end()]).body == b"f" * 9
        assert wire.ask(server, plan=WHOLE).body == b"wire"


def test_locks_of_code_in_the_child_stay(server: Httpd):
    """close(2) of any descriptor of a file gives back all locks that the process has on it."""
    place = server.root / "locked/file"
    locked = raw_http.get(server.ports["PORT"], f"/?{place}", "Connection: close", host="embedded.example")
    assert locked.body == b"locked"

    def is_locked() -> bool:
        with open(place, "r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    assert is_locked()
    wire.ask(server, plan=[head(b"200 OK", length(4)), passing(data(b"wire"), f"file {place}"), end()])
    wire.ask(server, plan=WHOLE)
    assert is_locked()
