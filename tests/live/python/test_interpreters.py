"""Several interpreters in one process: nothing in common by default, and each comes to its proper end.

Exit functions run in all of them when a process ends for any ordinary reason, whatever its threads are doing.
"""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from httpd import Httpd
from waiting import wait_for

NAMES = ["own-one", "own-two", "shared-one", "shared-two", "main"]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=4 display-name=%{GROUP}
WSGIProcessGroup site
WSGIScriptAlias /own-one @APPS@/interpreter.wsgi
WSGIScriptAlias /own-two @APPS@/interpreter.wsgi
WSGIScriptAlias /shared-one @APPS@/interpreter.wsgi application-group=shared
WSGIScriptAlias /shared-two @APPS@/interpreter.wsgi application-group=shared
WSGIScriptAlias /main @APPS@/interpreter.wsgi application-group=%{GLOBAL}
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def prepared(server: Httpd) -> Path:
    """A folder for what the interpreters leave at their end."""
    folder = server.writable_folder("left")
    return folder


def ask(server: Httpd, name: str, way: str, folder: Path | str = "") -> dict:
    answer = server.get(f"/{name}/{way}?{folder}")
    assert answer.status_code == 200
    return answer.json()


def ended_well(server: Httpd) -> None:
    log = server.error_log() + server.output()
    assert not re.search("Fatal Python error|Segmentation|signal 6|signal 11|Aborted|WSGI32[2-6]", log), log[-3000:]


# What interpreters share


def test_scripts_of_one_group_have_interpreters_of_their_own(server: Httpd):
    before = {name: ask(server, name, "looks") for name in NAMES}
    assert len({seen["pid"] for seen in before.values()}) == 1
    assert {seen["group"] for seen in before.values()} > {"", "shared"}
    assert len({seen["group"] for seen in before.values()}) == 4
    ask(server, "own-one", "sets")
    ask(server, "shared-one", "sets")
    for name in ("own-two", "main"):
        assert ask(server, name, "looks") == before[name]
    for name, by in (("own-one", "/own-one"), ("shared-one", "/shared-one"), ("shared-two", "/shared-one")):
        seen = ask(server, name, "looks")
        assert [seen[key] for key in ("environment", "modules", "builtins", "json")] == [by, True, by, by]
        assert seen["path"] == ([by] if by.startswith("/own") else [])


def test_interpreters_stay_from_request_to_request(server: Httpd):
    ask(server, "own-two", "sets")
    assert {ask(server, "own-two", "looks")["environment"] for _ in range(8)} == {"/own-two"}


# Their end


def end(server: Httpd, how: str) -> None:
    ways = {
        "graceful": server.graceful,
        "restart": server.restart,
        "stop": server.stop,
        "graceful-stop": lambda: server.stop(signal.SIGWINCH),
    }
    ways[how]()


@pytest.mark.parametrize("how", ["graceful", "restart", "stop", "graceful-stop"])
def test_exit_functions_of_every_interpreter_run(serve_once, how: str):
    server = serve_once(CONFIGURATION)
    folder = prepared(server)
    for name in NAMES:
        ask(server, name, "leaves_at_exit", folder)
    seen = {name: ask(server, name, "looks") for name in NAMES}
    end(server, how)
    wait_for(lambda: len(list(folder.iterdir())) == len(NAMES), "a file of each interpreter")
    for name in NAMES:
        assert (folder / name).read_text() == f"{seen[name]['pid']} colorsys {seen[name]['group']}\n"
        server.wait_for_log(f"exit function of /{name}$")
    ended_well(server)


@pytest.mark.ours
@pytest.mark.parametrize("how", ["graceful", "stop"])
def test_daemon_threads_do_not_abort_the_process(serve_once, how: str):
    server = serve_once(CONFIGURATION)
    folder = prepared(server)
    for name in NAMES:
        ask(server, name, "starts_daemon_thread", folder)
        ask(server, name, "leaves_at_exit", folder)
    end(server, how)
    wait_for(lambda: len(list(folder.iterdir())) == len(NAMES), "a file of each interpreter")
    if how == "graceful":
        server.stop()
    ended_well(server)


@pytest.mark.ours
def test_threads_are_waited_for(serve_once):
    server = serve_once(CONFIGURATION)
    folder = prepared(server)
    for name in ("own-one", "shared-one", "main"):
        ask(server, name, "starts_thread", folder)
    server.stop()
    assert {path.name for path in folder.iterdir()} == {"own-one-thread", "shared-one-thread", "main-thread"}
    assert "Traceback" not in server.error_log()
    ended_well(server)


# Settings that are the process's own elsewhere

SETTINGS = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "{name}.settings"

def application(environ, start_response):
    body = json.dumps([os.environ["DJANGO_SETTINGS_MODULE"], os.getpid()]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.mark.parametrize("mode", ["daemon", "embedded"], indirect=True)
def test_two_scripts_in_one_group_each_with_its_settings(serve_once, mode: str):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ threads=4\nWSGIProcessGroup site\n"
        "WSGIScriptAlias /blog @ROOT@/blog.wsgi\nWSGIScriptAlias /shop @ROOT@/shop.wsgi\n"
    )
    for name in ("blog", "shop"):
        (server.root / f"{name}.wsgi").write_text(SETTINGS.format(name=name))
    server.start()
    with server.client() as client, ThreadPoolExecutor(8) as pool:
        names = ["blog", "shop", "shop", "blog"] * 500
        answers = list(pool.map(lambda name: client.get(f"/{name}").json(), names))
    assert [settings for settings, _ in answers] == [f"{name}.settings" for name in names]
    assert mode == "embedded" or len({pid for _, pid in answers}) == 1


EXTENSIONS = """
import json
import cryptography.hazmat.primitives.hashes, numpy, psycopg, pydantic_core, pydantic

def application(environ, start_response):
    body = json.dumps([float(numpy.arange(4).sum()), psycopg.pq.__impl__, environ["mod_wsgi.application_group"]]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


def test_extension_modules_of_the_main_interpreter_work_in_a_group_of_one_site(serve_once, python):
    """Without a word about interpreters in the configuration. A second interpreter is told what would help."""
    home = python("3.11", packages=("numpy", "cryptography", "pydantic", "psycopg[binary]")).home
    server = serve_once.prepare(
        f"WSGIDaemonProcess site python-home={home} threads=4\nWSGIDaemonProcess two python-home={home}\n"
        "WSGIScriptAlias /site @ROOT@/extensions.wsgi process-group=site\n"
        "WSGIScriptAlias /main @ROOT@/extensions.wsgi process-group=two application-group=%{GLOBAL}\n"
        "WSGIScriptAlias /other @ROOT@/extensions.wsgi process-group=two application-group=other\n"
    )
    (server.root / "extensions.wsgi").write_text(EXTENSIONS)
    server.start()
    assert server.get("/site").json() == [6.0, "binary", ""]
    assert (server.get("/main").status_code, server.get("/other").status_code) == (200, 500)
    server.wait_for_log("WSGI401.*application-group=%{GLOBAL}")
