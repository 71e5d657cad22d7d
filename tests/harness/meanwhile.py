"""Requests that go on while a test does something else to the server: none may fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from httpd import Httpd


class Meanwhile:
    """Requests, one after another, for as long as the block lasts: all must be answered, none waits for long."""

    def __init__(self, server: Httpd, clients: int = 2) -> None:
        self.server, self.clients = server, clients
        self.slowest, self.count, self.failures = 0.0, 0, []

    def __enter__(self) -> Meanwhile:
        self.ends = False
        self.pool = ThreadPoolExecutor(self.clients)
        self.futures: list[Future] = [self.pool.submit(self.work) for _ in range(self.clients)]
        return self

    def work(self) -> None:
        with self.server.client() as client:
            while not self.ends:
                begun = time.monotonic()
                answer = client.get("/", headers={"Connection": "close"})
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.count += 1
                if answer.status_code != 200:
                    self.failures.append(answer.status_code)

    def __exit__(self, *exception) -> None:
        self.ends = True
        for future in self.futures:
            future.result()
        self.pool.shutdown()
        assert not self.failures and self.count > 0


@contextmanager
def requests_of(server: Httpd, path: str = "/") -> Iterator[list[int | str]]:
    """Requests one after another, by three clients; what they got."""
    over, statuses = threading.Event(), []

    def work() -> None:
        while not over.is_set():
            try:
                # On a connection of its own: httpd's idle ones end with a restart.
                statuses.append(server.get(path).status_code)
            except httpx.HTTPError as error:
                statuses.append(repr(error))
                return

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert statuses and set(statuses) == {200}
