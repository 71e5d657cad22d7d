"""A panic in Rust costs one request (500, logged), never the process: shown with the fault-injection build.

The build has the header X-Fault, which asks for a panic in httpd's child or in a daemon's worker, and a callable's name
that asks for one where sections are merged. `make live` makes it; FAULT_SO names another.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from httpd import Httpd
from machine import PROJECT

BUILD = PROJECT / "target/fault-injection/debug/libmod_wsgi_rs.so"

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIScriptAlias / @APPS@/process.wsgi process-group=site
<Location /merged>
    WSGICallableObject fault_injection_merge
</Location>
"""

pytestmark = pytest.mark.ours


def prepare(servers, configuration: str) -> Httpd:
    module = Path(os.environ.get("FAULT_SO", BUILD))
    if not module.exists():
        text = f"{module} is missing: cargo build --features fault-injection --target-dir target/fault-injection"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    server = servers.prepare(configuration)
    shutil.copy(module, server.root / "mod_wsgi.so")
    return server


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return prepare(serve, CONFIGURATION).start()


@pytest.mark.parametrize("place, number", [("handler", "WSGI205"), ("daemon", "WSGI409")])
def test_a_panic_costs_one_request(server: Httpd, place: str, number: str):
    before = server.get("/").json()["pid"]
    children = set(server.children())
    start = len(server.error_log())
    for _ in range(3):
        assert server.get("/", headers={"X-Fault": place}).status_code == 500
        assert server.get("/").json()["pid"] == before
    assert children <= set(server.children())
    server.wait_for_log(number, start=start)
    log = server.error_log()[start:]
    assert log.count(number) == 3
    assert "asked for by the header X-Fault" in server.error_log()


def test_a_panic_where_sections_are_merged_costs_the_request(server: Httpd):
    assert server.get("/").status_code == 200
    children, start = set(server.children()), len(server.error_log())
    for _ in range(3):
        assert server.get("/merged").status_code == 500, "what protects the place is not known"
        assert server.get("/").status_code == 200
    assert children <= set(server.children())
    server.wait_for_log("WSGI205", start=start)


def test_a_panic_where_servers_are_merged_refuses_the_configuration(serve_once):
    host = "<VirtualHost *:@PORT2@>\nWSGICallableObject fault_injection_merge\n</VirtualHost>\n"
    status, output = prepare(serve_once, CONFIGURATION + host).configtest()
    assert status != 0 and "check_config" in output, output
