"""The fixture `serve`: a server for an application from PyPI, behind the configuration that its documentation shows.

The configurations are those of tests/live/real/documented, put on this machine by tests/harness/published.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from httpd import Httpd


class Servers:
    """Makes servers that are not started, and closes them at the end."""

    def __init__(self) -> None:
        self.made: list[Httpd] = []

    def prepare(self, configuration: str) -> Httpd:
        self.made.append(Httpd(configuration))
        return self.made[-1]


@pytest.fixture
def serve() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    for server in servers.made:
        for log in re.findall(r'^\s*ErrorLog\s+"?([^\s"]+)', server.configuration_file.read_text(), re.M):
            print(f"{log}:\n{server.error_log(log)[-3000:]}")  # pytest shows this of a test that failed
        server.close()
