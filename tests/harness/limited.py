"""What becomes of the processes of a site that reaches its limits, which is what the fixture `limited` of the live tests starts."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from httpd import Httpd
from waiting import wait_for


def pid(server: Httpd, path: str = "/") -> int:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return int(answer.text.split()[0])


def told(server: Httpd) -> list[str]:
    file = server.root / "told/told"
    return file.read_text().splitlines() if file.exists() else []


def pids(server: Httpd) -> set[int]:
    return {process.pid for process in server.daemons("site")}


def wait_for_others(server: Httpd, old: set[int], timeout: float = 10) -> set[int]:
    def others() -> set[int] | None:
        now = pids(server)
        return now if now and not now & old else None

    return wait_for(others, f"other processes than {old}", timeout)


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
