"""What becomes of the processes of a site that reaches its limits, which is what the fixture `limited` starts."""

from __future__ import annotations

from httpd import Httpd
from waiting import wait_for


def pid(server: Httpd, path: str = "/") -> int:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return int(answer.text.split()[0])


def told(server: Httpd, name: str = "told") -> list[str]:
    """What the application has written down under this name."""
    file = server.root / "told" / name
    return file.read_text().splitlines() if file.exists() else []


def pids(server: Httpd) -> set[int]:
    return {process.pid for process in server.daemons("site")}


def wait_for_others(server: Httpd, old: set[int], timeout: float = 10) -> set[int]:
    def others() -> set[int] | None:
        now = pids(server)
        return now if now and not now & old else None

    return wait_for(others, f"other processes than {old}", timeout)
