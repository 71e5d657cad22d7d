"""Embedded mode: what only it does. The files that are marked `both_modes` test what it shares with daemon mode."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

import pythons
from httpd import IS_ROOT, LIVE_PYTHON, MPM, Httpd
from waiting import wait_for

pytestmark = pytest.mark.ours

CONFIGURATION = """
<IfModule !mpm_prefork_module>
    MinSpareThreads 1
</IfModule>
<IfModule mpm_prefork_module>
    MinSpareServers 1
    MaxSpareServers 1
</IfModule>
WSGIPythonHome @PYTHON@
WSGIDaemonProcess group python-home=@PYTHON@
WSGIScriptAlias /daemon @APPS@/hello.wsgi process-group=group
WSGIScriptAlias /here @ROOT@/reloaded.wsgi
WSGIScriptAlias /main @APPS@/interpreter.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /own @APPS@/interpreter.wsgi
"""


@pytest.fixture
def server(serve_once) -> Httpd:
    server = serve_once.prepare(CONFIGURATION)
    write(server, 1)
    return server.start()


def write(server: Httpd, generation: int, text: str | None = None) -> None:
    """Puts the next generation of the script in place, with a time of its own."""
    source = (server.root / "apps/reloaded.wsgi").read_text().replace("GENERATION = 1", f"GENERATION = {generation}")
    fresh = server.root / "reloaded.new"
    fresh.write_text(text or source)
    os.utime(fresh, (1_700_000_000 + generation,) * 2)
    fresh.rename(server.root / "reloaded.wsgi")


def generation(server: Httpd) -> int:
    answer = server.get("/here")
    assert answer.status_code == 200
    return int(answer.text.split()[0])


def maps_python(process) -> bool:
    return "libpython3" in process.maps


def test_only_a_child_that_serves_embedded_locations_holds_python(server: Httpd):
    assert server.get("/daemon").status_code == 200
    assert not any(maps_python(process) for process in server.note_processes() if process not in server.daemons())
    assert generation(server) == 1
    assert any(maps_python(child) for child in server.children())
    others = [*server.supervisors(), server.note_processes()[0]]
    assert not any(maps_python(process) for process in others)


def test_a_script_that_has_changed_is_executed_in_the_same_process(server: Httpd):
    assert generation(server) == 1
    children = {child.pid for child in server.children()}
    for number in (2, 3):
        write(server, number)
        assert generation(server) == number
    assert children <= {child.pid for child in server.children()}


def test_a_script_that_cannot_be_loaded_keeps_the_old_one(server: Httpd):
    assert generation(server) == 1
    children = {child.pid for child in server.children()}
    write(server, 2, "import a_module_that_nobody_has_written\n")
    start = len(server.error_log())
    answers = [server.get("/here") for _ in range(5)]
    if MPM == "prefork":  # a child that had not loaded the script before has nothing older
        answers = [answer for answer in answers if answer.status_code == 200]
    assert {answer.text.split()[0] for answer in answers} <= {"1"}
    server.wait_for_log("a_module_that_nobody_has_written", start=start)
    if MPM != "prefork":
        assert len(re.findall("WSGI411", server.error_log()[start:])) == 1
    write(server, 3)
    assert generation(server) == 3
    assert children <= {child.pid for child in server.children()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGWINCH])
def test_exit_functions_run_when_the_child_ends(server: Httpd, number: int):
    folder = server.writable_folder("left")
    for name in ("main", "own"):
        assert server.get(f"/{name}/leaves_at_exit?{folder}").status_code == 200
        assert server.get(f"/{name}/starts_daemon_thread?{folder}").status_code == 200
    server.stop(number)
    assert {path.name for path in folder.iterdir()} == {"main", "own"}
    assert "exit signal" not in server.error_log()
    for name in ("main", "own"):
        server.wait_for_log(f"exit function of /{name}$")


def test_a_graceful_restart_gives_new_children_and_ends_the_old(server: Httpd):
    folder = server.writable_folder("left")
    assert server.get(f"/main/leaves_at_exit?{folder}").status_code == 200
    before = server.children()
    server.graceful()
    wait_for((folder / "main").exists, "the exit function of the old child")
    wait_for(lambda: not any(child.alive for child in before), "the old children end")
    assert generation(server) == 1


def broken_home(folder: Path, what: str) -> Path:
    """A virtual environment of which something is wrong."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin/python3"
    if what == "encodings":  # a program and its library, and nothing of the standard library
        prefix = (pythons.environment("3.13").home / "bin/python").resolve().parents[1]
        shutil.copy(prefix / "bin/python3.13", python)
        (folder / "lib").mkdir()
        for library in prefix.glob("lib/libpython3.13.so*"):
            shutil.copy(library, folder / "lib")
    elif what == "pyvenv.cfg":
        python.symlink_to(pythons.environment("3.11").executable.resolve())
        (folder / "pyvenv.cfg").write_bytes(b"home = \xff")
        return folder
    elif what == "unreadable":
        python.write_text("")
        python.chmod(0o755)
        folder.chmod(0o700)
        return folder
    elif what == "another platform":
        python.write_bytes(b"\x7fELF\x02\x01\x01\x00" + b"\0" * 56)
    elif what == "static":
        python.write_text("#!/bin/sh\nprintf '3.11.9\\n'\n")
    elif what == "old":
        python.write_text("#!/bin/sh\nprintf '3.8.18\\n'\n")
    python.chmod(0o755)
    return folder


BROKEN = {
    "missing": ("WSGI310", "python3 -m venv"),
    "encodings": ("WSGI431", "No module named 'encodings'"),
    "pyvenv.cfg": ("WSGI431", "UnicodeDecodeError"),
    "unreadable": ("WSGI310", "Permission denied"),
    "another platform": ("WSGI431", "Exec format error"),
    "static": ("WSGI432", "Daemon mode"),
    "old": ("WSGI351", "3.8.18"),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=pytest.mark.skipif(what == "unreadable" and not IS_ROOT, reason="only root can hide files"))
        for what in BROKEN
    ],
)
@pytest.mark.waits
def test_an_interpreter_that_cannot_start_is_500_with_the_reason(serve_once, what: str):
    """The child survives and tries again later."""
    server = serve_once.prepare(CONFIGURATION.replace("WSGIPythonHome @PYTHON@", "WSGIPythonHome @ROOT@/home", 1))
    write(server, 1)
    if what != "missing":
        broken_home(server.root / "home", what)
    server.start()
    code, text = BROKEN[what]
    children = {child.pid for child in server.children()}
    assert server.get("/here").status_code == 500
    line = server.wait_for_log(code)
    assert text in line
    assert server.get("/daemon").status_code == 200
    good = Path(server.fill_in("@PYTHON@"))
    (server.root / "home").rename(server.root / "broken") if what != "missing" else None
    (server.root / "home").symlink_to(good)
    wait_for(lambda: server.get("/here").status_code == 200, "the mended interpreter is used", timeout=40, every=0.2)
    assert children <= {child.pid for child in server.children()}


# Directives


SEES = """
import json, os, sys, time
LOADED = time.time()
print("sees.wsgi is loaded", file=sys.stderr)

def application(environ, start_response):
    record = environ.get("apache.request_rec")
    seen = {
        "loaded": LOADED, "optimize": sys.flags.optimize, "bytecode": sys.dont_write_bytecode, "path": sys.path,
        "eggs": os.environ.get("PYTHON_EGG_CACHE"), "seed": os.environ.get("PYTHONHASHSEED"), "hash": hash("text"),
        "warnings": sys.warnoptions, "record": type(record).__name__, "group": environ["mod_wsgi.application_group"],
    }
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


def configured(serve_once, directives: str) -> Httpd:
    server = serve_once.prepare(f"WSGIPythonHome @PYTHON@\nWSGIScriptAlias / @ROOT@/sees.wsgi\n{directives}")
    (server.root / "sees.wsgi").write_text(SEES)
    return server.start()


def test_directives_about_python_hold_inside_httpd(serve_once):
    directives = """
    WSGIPythonOptimize 2
    WSGIDontWriteBytecode On
    WSGIPythonPath /first/of/all:/second
    WSGIPythonEggs /var/cache/eggs
    WSGIPythonHashSeed 7
    WSGIPythonWarnings ignore::DeprecationWarning
    WSGIPassApacheRequest On
    """
    seen = configured(serve_once, directives).get("/").json()
    assert (seen["optimize"], seen["bytecode"], seen["seed"], seen["eggs"]) == (2, True, "7", "/var/cache/eggs")
    assert seen["path"][:2] == ["/first/of/all", "/second"]
    assert "ignore::DeprecationWarning" in seen["warnings"]
    assert seen["record"] == "PyCapsule"
    assert configured(serve_once, "WSGIPythonHashSeed 7").get("/").json()["hash"] == seen["hash"]


def test_the_record_of_the_request_is_passed_only_where_asked_for(serve_once):
    assert configured(serve_once, "").get("/").json()["record"] == "NoneType"


def test_an_import_script_is_there_before_the_first_request(serve_once):
    directives = """
    MaxRequestWorkers 1
    <IfModule !mpm_prefork_module>
        ThreadsPerChild 1
    </IfModule>
    WSGIApplicationGroup %{GLOBAL}
    WSGIImportScript @ROOT@/sees.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}
    """
    server = configured(serve_once, directives)
    server.wait_for_log("sees.wsgi is loaded")
    before = time.time()
    assert server.get("/").json()["loaded"] < before


def test_interpreters_are_left_as_they_are_where_that_is_wanted(serve_once):
    server = serve_once(
        "WSGIPythonHome @PYTHON@\nWSGIDestroyInterpreter Off\nWSGIScriptAlias /main @APPS@/interpreter.wsgi\n"
        "WSGIDaemonProcess group python-home=@PYTHON@\nWSGIScriptAlias /daemon @APPS@/interpreter.wsgi process-group=group\n"
    )
    folder = server.writable_folder("left")
    for name in ("main", "daemon"):
        assert server.get(f"/{name}/leaves_at_exit?{folder}").status_code == 200
    server.stop()
    assert list(folder.iterdir()) == []


def test_embedded_mode_may_be_forbidden(serve_once):
    server = configured(serve_once, "WSGIRestrictEmbedded On")
    assert server.get("/").status_code == 500
    server.wait_for_log("WSGI204")
    assert not any(maps_python(child) for child in server.children())


def test_two_versions_of_python_side_by_side(serve_once, python):
    """One inside httpd, another in a process group; the same script in both."""
    version = "3.9" if LIVE_PYTHON == "3.13" else "3.13"
    other = python(version).home
    lines = f"WSGIDaemonProcess group python-home={other}\nWSGIScriptAliasMatch ^/g$ @ROOT@/sees.wsgi process-group=group\n"
    server = configured(serve_once, "")
    server.write_configuration(f"WSGIPythonHome @PYTHON@\n{lines}WSGIScriptAlias / @ROOT@/sees.wsgi\n")
    server.restart()
    paths = [server.get(path).json()["path"] for path in ("/", "/g")]
    assert [any(f"python{version}" in entry for entry in path) for path in paths] == [False, True]
