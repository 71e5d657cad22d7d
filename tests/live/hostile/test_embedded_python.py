"""What another process of httpd's user could say in the place of the configured Python is not loaded into httpd."""

from __future__ import annotations

import pwd
import shutil

import pytest

import pythons
from httpd import IS_ROOT, Httpd
from machine import daemon_account

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

CONFIGURATION = "WSGIPythonHome @ROOT@/home\nWSGIScriptAlias / @APPS@/hello.wsgi\n"
# An interpreter into which another process has reached: it names a library of that process's.
LIAR = """#!/bin/sh
output=$(readlink /proc/$$/fd/1)
echo "$output" > {told}/output
echo "$@" > {told}/arguments
printf '3.11.9\\n%s\\n' {library}
"""


def lied_to(serve_once, library: str) -> Httpd:
    server = serve_once.prepare(CONFIGURATION)
    told, home = server.writable_folder("told"), server.root / "home"
    (home / "bin").mkdir(parents=True)
    (home / "bin/python3").write_text(LIAR.format(told=told, library=server.root / library))
    (home / "bin/python3").chmod(0o755)
    return server


def refused(server: Httpd, number: int) -> str:
    server.start()
    assert server.get("/").status_code == 500
    return server.wait_for_log(f"WSGI{number}")


@pytest.mark.parametrize("mode, place", [(0o777, "evil"), (0o1777, "evil"), (0o755, "evil/libpython3.so")])
def test_a_library_that_others_can_change(serve_once, mode: int, place: str):
    server = lied_to(serve_once, "evil/libpython3.so")
    (server.root / "evil").mkdir(mode=0o755)
    (server.root / "evil/libpython3.so").write_text("no library")
    (server.root / place).chmod(mode if place == "evil" else 0o666)
    line = refused(server, 444)
    assert f"{server.root}/{place}: lets others write" in line and "chmod go-w" in line


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
@pytest.mark.parametrize("place", ["evil", "evil/libpython3.so"])
def test_a_library_of_httpds_user(serve_once, place: str):
    server = lied_to(serve_once, "link/libpython3.so")
    (server.root / "evil").mkdir()
    (server.root / "evil/libpython3.so").write_text("no library")
    (server.root / "link").symlink_to(server.root / "evil")
    shutil.chown(server.root / place, daemon_account())
    assert f"{server.root}/{place}: belongs to user" in refused(server, 444)


def test_the_probe_prints_to_a_socket_and_reads_no_packages_of_a_user(serve_once):
    """A pipe could be opened through /proc by any process of httpd's user."""
    server = lied_to(serve_once, "none")
    refused(server, 432)
    told = server.root / "told"
    assert (told / "output").read_text().startswith("socket:")
    assert ("-s" in (told / "arguments").read_text().split()) == IS_ROOT


def test_embedded_python_reads_no_packages_of_a_user(serve_once):
    server = serve_once.prepare("WSGIPythonHome @PYTHON@\nWSGIScriptAlias / @ROOT@/flags.wsgi\n")
    (server.root / "flags.wsgi").write_text(
        "import sys\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [b'%d' % sys.flags.no_user_site]\n"
    )
    server.start()
    assert server.get("/").text == ("1" if IS_ROOT else "0")


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_a_python_of_a_user_who_deploys(serve_once):
    """Its directories have the modes of umask 002, and the environment is that user's too."""
    prefix = (pythons.environment("3.13").home / "bin/python").resolve().parents[1]
    server = serve_once.prepare("WSGIPythonHome @ROOT@/venv\nWSGIScriptAlias / @APPS@/hello.wsgi\n")
    python, venv = server.root / "python", server.root / "venv"
    for folder in ("bin", "lib"):
        (python / folder).mkdir(parents=True)
    shutil.copy(prefix / "bin/python3.13", python / "bin/python3")
    for library in prefix.glob("lib/libpython3.13.so*"):
        shutil.copy(library, python / "lib")
    (python / "lib/python3.13").symlink_to(prefix / "lib/python3.13")
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python3").symlink_to(python / "bin/python3")
    (venv / "pyvenv.cfg").write_text(f"home = {python}/bin\n")
    for place in [python, venv, *python.rglob("*"), *venv.rglob("*")]:
        if not place.is_symlink():
            shutil.chown(place, "nobody", pwd.getpwnam("nobody").pw_gid)
            place.chmod(0o775)
    server.start()
    assert server.get("/").status_code == 200, server.error_log()
    assert any(str(python / "lib/libpython3.13.so.1.0") in child.maps for child in server.children())
