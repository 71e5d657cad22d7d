"""The module's own file is replaced, removed or overwritten while httpd runs, as a package upgrade does.

All processes go on with what httpd has loaded: a daemon that is started later, a supervisor, the children after a
graceful restart. Another build is one whose build id differs, which is all that the copies made here differ in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIScriptAlias / @APPS@/hello.wsgi process-group=site application-group=%{GLOBAL}
"""


def build_id(module: Path) -> bytes:
    notes = subprocess.run(["readelf", "-n", module], capture_output=True, text=True, check=True).stdout
    return bytes.fromhex(re.search(r"Build ID: ([0-9a-f]+)", notes)[1])


def place_of_build_id(module: Path) -> int:
    content, own = module.read_bytes(), build_id(module)
    assert content.count(own) == 1
    return content.index(own)


def other_build(module: Path, path: Path) -> Path:
    shutil.copy(module, path)
    overwrite_build_id(path)
    assert build_id(path) != build_id(module)
    return path


def overwrite_build_id(module: Path) -> None:
    place = place_of_build_id(module)
    with open(module, "r+b") as file:
        file.seek(place)
        file.write(os.urandom(8))


def replace(server: Httpd) -> None:
    module = server.root / "mod_wsgi.so"
    os.replace(other_build(module, server.root / "newer.so"), module)


def remove(server: Httpd) -> None:
    (server.root / "mod_wsgi.so").unlink()


def hello(server: Httpd) -> bool:
    return server.get("/").text == "Hello, world!"


def mapped(process) -> set[str]:
    return set(re.findall(r"/\S*mod_wsgi\.so.*", process.maps))


@pytest.mark.parametrize("change", [replace, remove])
def test_all_goes_on_with_what_was_loaded(serve_once, mode: str, change):
    server = serve_once(CONFIGURATION)
    if mode == "daemon":
        assert hello(server)
    change(server)
    if mode == "daemon":
        (old,) = server.daemons("site")
        old.kill()
        wait_for(lambda: not old.alive, "the daemon is gone")
        assert hello(server), "a daemon that is started later"
        (daemon,) = server.daemons("site")
        assert mapped(daemon) == {f"{server.root}/mod_wsgi.so (deleted)"}
        assert hello(server)
    else:
        assert hello(server), "Python comes into a child by its first request"
    assert "WSGI306" not in server.error_log()
    server.graceful()
    wait_for(lambda: hello(server), "the next generation serves")
    said = server.wait_for_log(r"wsgi:warn.* WSGI306: ")
    assert f"{server.root}/mod_wsgi.so was replaced or removed" in said and "stop and start httpd" in said
    if mode == "daemon":
        (supervisor,) = wait_for(lambda: len(found := server.supervisors()) == 1 and found, "one generation is left")
        supervisor.kill()
        wait_for(lambda: supervisor not in server.supervisors() and server.supervisors(), "another supervisor")
        wait_for(lambda: hello(server), "a supervisor that is started later")
    for number in ("315", "352", "386", "43."):
        assert not re.search(f"WSGI{number}", server.error_log())


@pytest.mark.daemon_mode
def test_a_new_start_takes_the_new_file(serve_once):
    server = serve_once(CONFIGURATION)
    assert hello(server)
    replace(server)
    server.stop()
    server.start()
    assert hello(server)
    (daemon,) = server.daemons("site")
    assert mapped(daemon) == {f"{server.root}/mod_wsgi.so"}
    assert "WSGI306" not in server.error_log()


def test_a_link_that_leads_to_another_version(serve_once, mode: str):
    server = serve_once.prepare(CONFIGURATION)
    link, first, second = (server.root / name for name in ("mod_wsgi.so", "first.so", "second.so"))
    link.rename(first)
    link.symlink_to(first.name)
    other_build(first, second)
    server.start()
    (server.root / "newer").symlink_to(second.name)
    os.replace(server.root / "newer", link)
    assert hello(server)
    for process in server.daemons() + server.children():
        assert str(second) not in process.maps
    server.graceful()
    wait_for(lambda: hello(server), "the next generation serves")
    assert "WSGI306" in server.error_log()
    for process in server.daemons() + server.children():
        assert str(second) not in process.maps


@pytest.mark.daemon_mode
def test_a_daemon_refuses_to_be_of_another_build_than_httpd(serve_once):
    """The open file itself is overwritten, which no package does; a copy in a chroot= can be old in the same way."""
    server = serve_once(CONFIGURATION)
    assert hello(server)
    ours = build_id(server.root / "mod_wsgi.so").hex()
    overwrite_build_id(server.root / "mod_wsgi.so")
    (old,) = server.daemons("site")
    old.kill()
    said = server.wait_for_log(r"wsgi:error.* WSGI315: ")
    assert f"httpd has loaded build 0.1.0-{ours}:" in said and "stop and start httpd" in said
    theirs = build_id(server.root / "mod_wsgi.so").hex()
    assert f"could load is of build 0.1.0-{theirs}, and" in said
    assert server.get("/").status_code == 503
    server.stop()
    server.start()
    assert hello(server)
