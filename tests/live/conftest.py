"""Fixtures of the live tests: a private Apache (`serve`, `serve_once`) and the Pythons of its sites (`python`).

`serve(configuration)` starts an Apache that the tests of one file share, `serve_once` one for a single
test; `.prepare(configuration)` of both only writes its files. They check at their end that no process,
socket or port is left.

`access` has scripts for access control, handlers and dispatch, `config` what directives mean and refuse, `requests`
how requests and answers travel, `wsgi` what an application sees of PEP 3333, `processes` how processes start, live,
are replaced and end, `failures` what goes wrong, `hostile` attacks on httpd by sites, by other processes and by
clients, `python` the Pythons, interpreters and frameworks of sites, `real` what others have written for mod_wsgi:
configurations from the documentation of applications, the applications, mod_wsgi-express; `apps` the applications of
the tests.

Run with `python -m pytest tests/live` in an environment that has tests/requirements.txt; tests/harness/httpd.py says
which environment variables choose module, MPM and server.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import httpd
import pythons
from httpd import Httpd

pytest.register_assert_rewrite("meanwhile")  # it asserts for tests, and says what it found

_running: list[Httpd] = []


class Servers:
    """Makes servers and closes them all at the end."""

    def __init__(self, mode: str = "daemon") -> None:
        self.mode = mode
        self.made: list[Httpd] = []

    def __call__(self, configuration: str, **options) -> Httpd:
        return self.prepare(configuration, **options).start()

    def prepare(self, configuration: str, kind: type[Httpd] = Httpd, **options) -> Httpd:
        """The files of a server that is not started."""
        server = kind(configuration, mode=self.mode, **options)
        self.made.append(server)
        _running.append(server)
        return server

    def close(self) -> None:
        failures = []
        for server in self.made:
            _running.remove(server)
            try:
                server.close()
            except AssertionError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


@pytest.fixture(scope="module")
def mode(request: pytest.FixtureRequest) -> str:
    """Where applications run: "daemon", or "embedded" too in the files that are marked `both_modes`."""
    return getattr(request, "param", "daemon")


@pytest.fixture(scope="module")
def serve(mode: str) -> Iterator[Servers]:
    servers = Servers(mode)
    yield servers
    servers.close()


@pytest.fixture
def serve_once(mode: str) -> Iterator[Servers]:
    servers = Servers(mode)
    yield servers
    servers.close()


@pytest.fixture
def limited(serve_once) -> Callable[[str], Httpd]:
    """`limited(options)`: a server with one process group `site` that has these options and serves apps/limits.wsgi."""

    def start(options: str, directives: str = "") -> Httpd:
        server = serve_once.prepare(
            f"WSGIDaemonProcess site python-home=@PYTHON@ env=FOLDER=@ROOT@/told {options}\n"
            "WSGIScriptAlias / @APPS@/limits.wsgi process-group=site\n" + directives
        )
        server.writable_folder("told")
        server.start()
        assert server.get("/").status_code == 200
        return server

    return start


@pytest.fixture
def marks(server: Httpd, request: pytest.FixtureRequest) -> Path:
    """A folder of the test's own below its file's `server`, for the marks that test and application leave for each other."""
    return server.writable_folder(f"marks/{abs(hash(request.node.name))}")


@pytest.fixture(scope="session")
def python() -> Callable[..., pythons.Python]:
    """`python("3.9")`: the environment of this version with Django and Flask."""
    return pythons.environment


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))  # so that the servers end too
    config.addinivalue_line("markers", "both_modes: runs in daemon mode and in embedded mode")
    config.addinivalue_line("markers", "daemon_mode: in such a file, is about processes of a group")
    config.addinivalue_line("markers", "one_process: in such a file, has several requests meet in one process")
    config.addinivalue_line("markers", "ours: a deliberate difference from mod_wsgi 6.1.1; skipped with REFERENCE=1")
    config.addinivalue_line("markers", "any_mpm: is the same under every MPM; runs under event only")
    config.addinivalue_line("markers", "waits: takes long, mostly by waiting; left out by `make quick`")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.get_closest_marker
    if marked("both_modes") and "mode" in metafunc.fixturenames:
        in_daemons_only = marked("daemon_mode") or (marked("one_process") and httpd.MPM == "prefork")
        modes = ["daemon"] if in_daemons_only else ["daemon", "embedded"]
        metafunc.parametrize("mode", modes, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if httpd.MPM != "event":
        for item in items:
            if item.get_closest_marker("any_mpm"):
                item.add_marker(pytest.mark.skip(reason="is the same under every MPM, runs under event"))
    if httpd.REFERENCE:
        for item in items:
            if item.get_closest_marker("ours"):
                item.add_marker(pytest.mark.skip(reason="a deliberate difference from mod_wsgi"))


def pytest_report_header() -> str:
    module = "mod_wsgi 6.1.1 (REFERENCE)" if httpd.REFERENCE else httpd._module_under_test()
    return f"module: {module}, MPM: {httpd.MPM}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = (yield).get_result()
    if report.failed:
        for server in _running:
            report.sections.append((f"error log of {server.root}", server.error_log()[-3000:]))
