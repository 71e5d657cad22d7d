"""queue-timeout: a request that no thread begins to read in time gets 504, and its application never runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import connections
from httpd import MPM, Httpd
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.waits]

APPLICATION = """
import os, time

def application(environ, start_response):
    name, _, folder = environ["QUERY_STRING"].partition("@")
    open(os.path.join(folder, name + ".ran"), "x").close()
    until = time.monotonic() + 20
    go_on = os.path.join(folder, "go-on")
    while environ["PATH_INFO"] == "/hold" and not os.path.exists(go_on) and time.monotonic() < until:
        time.sleep(0.01)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

LIMIT = 0.5

CONFIGURATION = """
<IfModule !mpm_prefork_module>
    MinSpareThreads 1
</IfModule>
WSGIDaemonProcess one python-home=@PYTHON@ threads=1 queue-timeout=500ms
WSGIDaemonProcess two python-home=@PYTHON@ processes=2 threads=1 queue-timeout=500ms
WSGIDaemonProcess narrow python-home=@PYTHON@ threads=1 queue-timeout=500ms send-buffer-size=512
WSGIDaemonProcess full python-home=@PYTHON@ threads=1 queue-timeout=500ms listen-backlog=1
WSGIDaemonProcess off python-home=@PYTHON@ threads=1 socket-timeout=1
WSGIScriptAlias /one @ROOT@/waits.wsgi process-group=one
WSGIScriptAlias /two @ROOT@/waits.wsgi process-group=two
WSGIScriptAlias /narrow @ROOT@/waits.wsgi process-group=narrow
WSGIScriptAlias /full @ROOT@/waits.wsgi process-group=full
WSGIScriptAlias /off @ROOT@/waits.wsgi process-group=off
"""


class Scene:
    """Requests to one group of a server, each with a name; what ran leaves a mark in the folder."""

    def __init__(self, server: Httpd, group: str, folder: Path, pool: ThreadPoolExecutor):
        self.server, self.group, self.folder, self.pool = server, group, folder, pool

    def send(self, name: str, path: str = "", size: int = 0) -> int:
        body = b"x" * size
        return self.server.post(f"/{self.group}{path}?{name}@{self.folder}", content=body).status_code

    @contextmanager
    def held(self, *names: str) -> Iterator[list[Future[int]]]:
        """These requests, which run until the block is left."""
        (self.folder / "go-on").unlink(missing_ok=True)
        futures = []
        try:
            for name in names:
                futures.append(self.pool.submit(self.send, name, "/hold"))
                wait_for(lambda name=name: self.ran(name), f"{name} runs")
            yield futures
        finally:
            (self.folder / "go-on").touch()
        assert [future.result() for future in futures] == [200] * len(names)

    def ran(self, name: str) -> bool:
        return (self.folder / f"{name}.ran").exists()

    def refused(self, name: str, size: int = 0) -> None:
        """This request gets 504 when its time is over."""
        begun = time.monotonic()
        assert self.send(name, size=size) == 504
        assert LIMIT <= time.monotonic() - begun < LIMIT + 2


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    script = server.root / "waits.wsgi"
    script.write_text(APPLICATION)
    script.chmod(0o644)
    return server.start()


@pytest.fixture
def scene(server: Httpd, request: pytest.FixtureRequest) -> Iterator:
    def of(group: str) -> Scene:
        name = f"{request.node.name}-{group}".replace("/", "-")
        folder = server.writable_folder(f"marks/{name}")
        return Scene(server, group, folder, pool)

    with ThreadPoolExecutor(8) as pool:
        yield of


@pytest.mark.parametrize("group, held, size", [("one", ["a"], 0), ("two", ["a", "b"], 0), ("narrow", ["a"], 60_000)])
def test_a_request_that_waits_to_be_accepted(server: Httpd, scene, group: str, held: list[str], size: int):
    scene, start = scene(group), len(server.error_log())
    with scene.held(*held):
        before = connections.to_daemons(server)
        scene.refused("late", size=size)
        assert connections.to_daemons(server) == before + 1
    assert f"process group '{group}'" in server.wait_for_log("WSGI225.*within 0.5 s", start=start)
    assert scene.send("next") == 200
    assert not scene.ran("late")


def test_one_free_process_of_two_is_enough(scene):
    scene = scene("two")
    with scene.held("a"):
        assert [scene.send(f"quick-{number}") for number in range(5)] == [200] * 5


@pytest.mark.skipif(MPM == "prefork", reason="a child of prefork has one connection at most")
@pytest.mark.parametrize("group, size", [("one", 0), ("narrow", 60_000)], ids=["small", "large"])
def test_a_request_on_a_connection_whose_process_is_busy(server: Httpd, scene, group: str, size: int):
    """Two requests at once leave two connections behind."""
    scene = scene(group)
    with scene.held("first"):
        count = connections.to_daemons(server)
        second = scene.pool.submit(scene.send, "second")
        wait_for(lambda: connections.to_daemons(server) > count, "it waits to be accepted")
    assert second.result() == 200
    with scene.held("third"):
        count = connections.to_daemons(server)
        scene.refused("late", size=size)
        assert connections.to_daemons(server) == count
    assert scene.send("next", size=size) == 200
    assert not scene.ran("late")


def test_a_request_that_finds_no_place_in_the_queue(server: Httpd, scene):
    """A process that stands still accepts nobody; connect-timeout would be longer."""
    scene = scene("full")
    assert scene.send("first") == 200
    start = len(server.error_log())
    (daemon,) = server.daemons("full")
    with daemon.standing_still():
        begun, names = time.monotonic(), [f"late-{number}" for number in range(6)]
        assert set(scene.pool.map(scene.send, names)) == {504}
        assert LIMIT <= time.monotonic() - begun < LIMIT + 2
    assert server.error_log()[start:].count("WSGI225") == len(names)
    assert scene.send("next") == 200
    assert not any(scene.ran(name) for name in names)


def test_a_request_that_was_read_may_take_longer(scene):
    """On a new connection, and then on the one that it left."""
    scene = scene("one")
    for name in ("new", "pooled"):
        begun = time.monotonic()
        with scene.held(name) as (future,):
            wait_for(lambda: future.done() or time.monotonic() - begun > 2 * LIMIT, "longer than queue-timeout")
            assert not future.done()


def test_without_the_option_socket_timeout_is_the_limit(server: Httpd, scene):
    scene, start = scene("off"), len(server.error_log())
    with scene.pool as pool:
        held = pool.submit(scene.send, "a", "/hold")
        wait_for(lambda: scene.ran("a"), "it runs")
        begun = time.monotonic()
        assert scene.send("late") == 504
        assert time.monotonic() - begun >= 2 * LIMIT
        (scene.folder / "go-on").touch()
        assert held.result() in (200, 504)
    assert "WSGI225" not in server.error_log()[start:]
