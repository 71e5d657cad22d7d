"""A debug build of CPython in its development mode, whose assertions end a process that breaks a rule of its C API.

It is Debian's python3.11-dbg (`python3.11d`); DEBUG_PYTHON names another. Skipped where there is none.
"""

from __future__ import annotations

import os
import shutil

import pytest

from httpd import Httpd

PYTHON = os.environ.get("DEBUG_PYTHON") or shutil.which("python3.11d")

CONFIGURATION = f"""
WSGIDaemonProcess site python={PYTHON} threads=4 env=PYTHONDEVMODE=1 env=PYTHONWARNINGS=ignore
WSGIProcessGroup site
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias /process @APPS@/process.wsgi
WSGIScriptAlias /body @APPS@/echo.wsgi
WSGIScriptAlias /file @APPS@/file_wrapper.wsgi
WSGIScriptAlias /own @APPS@/ application-group=own
WSGIImportScript @APPS@/process.wsgi process-group=site application-group=early
WSGIScriptAlias /early @APPS@/process.wsgi application-group=early
WSGIScriptAlias /broken @APPS@/import_error.wsgi
"""

pytestmark = [
    pytest.mark.ours,
    pytest.mark.any_mpm,
    pytest.mark.skipif(PYTHON is None, reason="no debug build of Python: apt-get install python3.11-dbg"),
]


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve(CONFIGURATION)
    (server.root / "file").write_bytes(b"file" * 5000)
    return server


@pytest.mark.parametrize("kind", ["raw", "buffered", "updated", "raw_later", "buffered_later"])
def test_files(server: Httpd, kind: str):
    before = server.get("/process").json()["pid"]
    (server.root / "file").chmod(0o666)
    assert server.get(f"/file/{kind}?path={server.root}/file").status_code == 200
    assert server.get("/process").json()["pid"] == before


def test_nothing_breaks_a_rule_of_the_c_api(server: Httpd):
    before = server.get("/process").json()["pid"]
    for _ in range(20):
        assert server.post("/body", content=b"x" * 300_000).content == b"x" * 300_000
        assert server.post("/body/stream", content=b"x" * 100_000).content == b"x" * 100_000
        assert server.get("/own/process.wsgi").status_code == 200
        assert server.get("/broken").status_code == 500
    assert server.get("/process").json()["pid"] == before
    log = server.error_log()
    assert "Fatal Python error" not in log and "Assertion" not in log


def test_an_interpreter_is_made_before_the_first_request(server: Httpd):
    first, second = server.get("/process").json(), server.get("/early").json()
    assert first["pid"] == second["pid"]
    log = server.error_log()
    assert "Fatal Python error" not in log and "Assertion" not in log


def test_its_end_is_in_order(server: Httpd):
    """Interpreters and threads are taken apart under the same assertions."""
    start = len(server.error_log())
    server.restart()
    assert server.get("/process").status_code == 200
    log = server.error_log()[start:]
    assert "Fatal Python error" not in log and "Assertion" not in log and "SIGABRT" not in log
