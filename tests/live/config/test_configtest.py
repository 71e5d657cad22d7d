"""What `httpd -t` tells that would fail only later: closed directories, packages of another Python, hidden aliases.

The cure that a message names is carried out, where that is one command, and the message is gone.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from httpd import IS_ROOT, Httpd
from machine import daemon_account
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can give daemons another user")
GROUP = "WSGIDaemonProcess site python-home=@PYTHON@ user=nobody group=#@GID@ "
ALIAS = "WSGIScriptAlias / @ROOT@/home/app.wsgi process-group=site\n"


def said(server: Httpd, number: int) -> list[str]:
    status, text = server.configtest()
    assert status == 0, text
    return [line for line in text.splitlines() if f"WSGI{number}:" in line]


@pytest.fixture
def of_nobody(serve_once):
    """A server with a group that runs as another user than httpd, and a folder `home` with a script."""

    def prepare(options: str = "", more: str = "") -> Httpd:
        gid = pwd.getpwnam("nobody").pw_gid
        server = serve_once.prepare(f"{GROUP.replace('@GID@', str(gid))}{options}\n{ALIAS}{more}")
        home = server.root / "home"
        (home / "static").mkdir(parents=True)
        shutil.copy(server.root / "apps/hello.wsgi", home / "app.wsgi")
        return server

    return prepare


@NEEDS_ROOT
def test_what_root_alone_may_read_is_not_opened_for_a_site(serve_once):
    """The site may have put a link to it into its environment."""
    gid = pwd.getpwnam("nobody").pw_gid
    server = serve_once.prepare(
        f"WSGIDaemonProcess site python-home=@ROOT@/venv user=nobody group=#{gid}\n"
        "WSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n"
    )
    venv, secret = server.root / "venv", server.root / "secret"
    (venv / "bin").mkdir(parents=True)
    (venv / "lib/python3.9/site-packages").mkdir(parents=True)
    shutil.copy("/bin/true", venv / "bin/python3")
    secret.write_text("version = 3.7.7\n")
    secret.chmod(0o600)
    (venv / "pyvenv.cfg").symlink_to(secret)
    assert said(server, 148) == []
    secret.chmod(0o644)
    (line,) = said(server, 148)
    assert "is Python 3.7.7 now" in line


@NEEDS_ROOT
def test_a_home_that_keeps_both_users_out(of_nobody):
    server = of_nobody("home=@ROOT@/home", "Alias /static @ROOT@/home/static\n")
    home = server.root / "home"
    assert server.configtest()[1].count("WSGI") == 0
    home.chmod(0o700)
    (group,) = said(server, 141)
    assert f"user nobody may not enter {home} (mode 0700, owner root)" in group and str(server.configuration_file) in group
    assert f"home={home}" in group and f"the script {home}/app.wsgi" in group
    (httpd,) = said(server, 142)
    lines = [server.last_line_of(text) for text in ("WSGIScriptAlias /", "Alias /static")]
    assert f"own user {daemon_account()} may not enter {home} (mode 0700" in httpd
    assert all(f"{server.configuration_file}:{line}" in httpd for line in lines), httpd
    server.start()
    assert server.get("/static").status_code == 403 and server.get("/").status_code == 403
    home.chmod(0o711)
    assert not said(server, 141) and not said(server, 142)
    assert server.get("/static/").status_code == 404  # no index
    wait_for(lambda: server.get("/").text == "Hello, world!", "the group starts now", timeout=20)


def let_in(path: Path, users: list[str]) -> None:
    """What `setfacl -m u:USER:x` writes: owner, named users, group, mask and others, by tag, rights and id."""
    nobody = 0xFFFFFFFF
    named = sorted(pwd.getpwnam(user).pw_uid for user in users)
    entries = [(0x01, 7, nobody), *((0x02, 1, uid) for uid in named), (0x04, 0, nobody), (0x10, 1, nobody), (0x20, 0, nobody)]
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries))
    except OSError as error:
        pytest.skip(f"the file system has no access control lists: {error}")


@NEEDS_ROOT
def test_an_access_control_list_opens_what_the_mode_closes(of_nobody):
    server = of_nobody()
    home = server.root / "home"
    home.chmod(0o700)
    cures = [re.search(r"\(setfacl -m u:([\w-]+):x (\S+),", text) for text in said(server, 141) + said(server, 142)]
    assert [(cure[1], cure[2]) for cure in cures] == [("nobody", str(home)), (daemon_account(), str(home))]
    let_in(home, [cure[1] for cure in cures])
    assert not said(server, 141) and not said(server, 142)
    assert server.start().get("/").text == "Hello, world!"


@NEEDS_ROOT
def test_a_python_behind_a_link_into_a_closed_directory(of_nobody):
    server = of_nobody()
    closed = server.root / "root"
    (closed / "bin").mkdir(parents=True)
    real = os.path.realpath(f"{server.fill_in('@PYTHON@')}/bin/python")
    (closed / "bin/python3.11").symlink_to(real)
    environment = server.root / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to(closed / "bin/python3.11")
    text = server.configuration_file.read_text()
    server.configuration_file.write_text(text.replace(server.fill_in("@PYTHON@"), str(environment)))
    assert not said(server, 141)
    closed.chmod(0o700)
    (line,) = said(server, 141)
    assert f"may not enter {closed} (mode 0700, owner root), which it needs for the Python {environment}/bin/python" in line


@NEEDS_ROOT
def test_a_script_that_only_its_owner_reads(of_nobody):
    server = of_nobody()
    script = server.root / "home/app.wsgi"
    script.chmod(0o600)
    (line,) = said(server, 141)
    assert f"may not read {script} (mode 0600, owner root)" in line and f"chmod o+r {script}" in line
    assert not said(server, 142)


@NEEDS_ROOT
def test_who_has_no_rights_claims_nothing(of_nobody):
    """configtest by another user than root: what is closed to that user is not missing, nor open to the group's."""
    server = of_nobody("home=@ROOT@/home/inside python-path=@ROOT@/home/inside")
    (server.root / "home").chmod(0o700)
    (server.root / "home/inside").mkdir()
    command = [*server._command("-t", "-DDUMP_WSGI")]
    identity = pwd.getpwnam("nobody")
    done = subprocess.run(command, capture_output=True, text=True, user=identity.pw_uid, group=identity.pw_gid, extra_groups=[])
    numbers = set(re.findall(r"WSGI(\d+):", done.stderr))
    assert done.returncode == 0 and not numbers, done.stderr
    assert f"(uid {identity.pw_uid}), who starts httpd" in done.stdout


def test_packages_of_another_python(serve_once):
    path = "@ROOT@/old/lib/python3.9/site-packages"
    server = serve_once.prepare(
        f"WSGIDaemonProcess site python-home=@PYTHON@ python-path={path}\n"
        "WSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n"
        f"WSGIPythonHome @PYTHON@\nWSGIPythonPath {path}\n"
    )
    (server.root / "old/lib/python3.9/site-packages").mkdir(parents=True)
    lines = said(server, 143)
    assert ["WSGIDaemonProcess site" in line for line in lines] == [True, False], lines
    assert all("the packages of Python 3.9, and Python 3.11" in line for line in lines), lines


def test_a_relative_path_to_nowhere(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@ home=@ROOT@ python-path=apps:no/lib\n"
        "WSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n"
    )
    (line,) = said(server, 144)
    assert f"python-path no/lib does not begin with /, and {server.root}/no/lib, where Python" in line


def test_an_alias_that_never_matches(serve_once):
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@\n"
        "WSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n"
        "WSGIScriptAlias /api @APPS@/echo.wsgi process-group=site\n"
        "<VirtualHost *:1>\nServerName other\nWSGIScriptAlias /own @APPS@/hello.wsgi process-group=site\n</VirtualHost>\n"
    )
    (line,) = said(server, 145)
    first, second = (server.last_line_of(text) for text in ("Alias / ", "Alias /api"))
    assert f"/api at {server.configuration_file}:{second} never" in line and f"/ at {server.configuration_file}:{first} comes" in line
    text = server.configuration_file.read_text().replace("Alias / ", "Alias /other ")
    server.configuration_file.write_text(text)
    assert not said(server, 145)


@NEEDS_ROOT
def test_a_group_that_has_another_users_name(serve_once):
    both = "WSGIDaemonProcess {} python-home=@PYTHON@ user={}\nWSGIScriptAlias /{} @APPS@/hello.wsgi process-group={}\n"
    server = serve_once.prepare(both.format("one", "daemon", 1, "one") + both.format("nobody", "daemon", 2, "nobody"))
    (line,) = said(server, 146)
    assert "process group 'nobody'" in line and "runs as daemon, as 'one'" in line and ":info]" in line
    text = server.configuration_file.read_text()
    server.configuration_file.write_text(text.replace(" user=daemon", ""))
    assert not said(server, 146)


@NEEDS_ROOT
def test_a_user_without_a_group(serve_once):
    line_of = "WSGIDaemonProcess {} python-home=@PYTHON@ {}\nWSGIScriptAlias /{} @APPS@/hello.wsgi process-group={}\n"
    groups = {"one": "user=daemon", "two": "user=nobody", "own": "user=@USER@", "plain": "", "both": "user=daemon group=daemon"}
    server = serve_once.prepare("".join(line_of.format(name, options, name, name) for name, options in groups.items()))
    (line,) = said(server, 149)
    place = f"{server.configuration_file}:{server.last_line_of('WSGIDaemonProcess one')}"
    assert f"process group 'one' at {place} runs as daemon" in line and "(likewise 'two')" in line and ":info]" in line
    assert line.endswith("Write user=daemon group=daemon")
    text = server.configuration_file.read_text()
    gid = pwd.getpwnam("nobody").pw_gid
    server.configuration_file.write_text(text.replace("user=daemon\n", "user=daemon group=daemon\n"))
    (line,) = said(server, 149)
    assert line.endswith(f"Write user=nobody group=#{gid}")
