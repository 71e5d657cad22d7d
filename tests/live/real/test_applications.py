"""Trac, Radicale, pypiserver and Mercurial behind the configurations that they publish, with their scripts.

Each does what its users ask of it first: a page and a login, an event in a calendar, an upload, a clone.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import pythons
from published import PASSWORD, ask, give, lay

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours, pytest.mark.waits]

TRAC = """
import os

os.environ['TRAC_ENV'] = '/usr/local/trac/mysite'
os.environ['PYTHON_EGG_CACHE'] = '/usr/local/trac/mysite/eggs'

import trac.web.main
application = trac.web.main.dispatch_request
"""


def test_trac_and_its_login(deploy):
    server, python = deploy("trac")
    environment = server.root / "disk/usr/local/trac/mysite"
    shutil.rmtree(environment)
    python.run("-W", "ignore", "-m", "trac.admin.console", environment, "initenv", "My project", "sqlite:db/trac.db")
    lay(server, "/usr/local/trac/mysite/apache/mysite.wsgi", TRAC)
    give(server, "/usr/local/trac/mysite")
    server.start()
    assert "Welcome to Trac" in ask(server, "http://localhost/trac/wiki").text
    assert ask(server, "http://localhost/trac/chrome/common/css/trac.css").headers["Content-Type"].startswith("text/css")
    assert ask(server, "http://localhost/trac/login", user="ann", password="wrong").status_code == 401
    entered = ask(server, "http://localhost/trac/login", user="ann")
    assert entered.status_code in (302, 303)
    cookie = "; ".join(value.partition(";")[0] for value in entered.headers.get_list("Set-Cookie"))
    assert "ann" in ask(server, "http://localhost/trac/wiki", headers={"Cookie": cookie}).text


RADICALE = """
import os

os.environ["RADICALE_CONFIG"] = "/etc/radicale/config"

from radicale import application
"""
RADICALE_SETTINGS = """
[auth]
type = none

[rights]
type = authenticated

[storage]
filesystem_folder = /var/lib/radicale/collections
"""
CALENDAR = b'<mkcalendar xmlns="urn:ietf:params:xml:ns:caldav"/>'
EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//test//EN\r
BEGIN:VEVENT\r
UID:1\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260101T100000Z\r
SUMMARY:Tea\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_radicale_keeps_an_event(deploy):
    server, _ = deploy("radicale")
    lay(server, "/etc/radicale/config", RADICALE_SETTINGS)
    lay(server, "/var/www/radicale.wsgi", RADICALE)
    give(server, "/var/lib/radicale")
    server.start()
    calendar = "http://cal.yourdomain.org/ann/calendar/"
    assert ask(server, calendar, method="PROPFIND").status_code == 404
    assert ask(server, "http://cal.yourdomain.org/ann/", method="MKCOL").status_code == 201
    assert ask(server, calendar, method="MKCALENDAR", content=CALENDAR).status_code == 201
    assert ask(server, calendar + "1.ics", method="PUT", content=EVENT).status_code == 201
    found = ask(server, calendar, method="PROPFIND", headers={"Depth": "1"})
    assert found.status_code == 207 and "/ann/calendar/1.ics" in found.text
    assert "SUMMARY:Tea" in ask(server, calendar + "1.ics").text


def wheel() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\n")
    return data.getvalue()


PYPISERVER = """
PACKAGES = "/srv/yoursite/packages"
HTPASSWD = "/srv/yoursite/htpasswd"
import pypiserver
application = pypiserver.app(roots=[PACKAGES], password_file=HTPASSWD, authenticate=["update"])
"""


def test_pypiserver_takes_an_upload_with_a_password(deploy):
    server, python = deploy("pypiserver")
    lay(server, "/srv/yoursite/cfg/pypiserver.wsgi", PYPISERVER)
    hashed = python.run("-c", f"from passlib.hash import sha256_crypt; print(sha256_crypt.hash({PASSWORD!r}))")
    lay(server, "/srv/yoursite/htpasswd", f"ann:{hashed}")
    give(server, "/srv/yoursite/packages")
    server.start()
    package = wheel()

    def upload(password: str) -> int:
        sent = {"files": {"content": ("tea-1.0-py3-none-any.whl", package)}, "data": {":action": "file_upload"}}
        return ask(server, "http://localhost/", method="POST", user="ann", password=password, **sent).status_code

    assert upload("wrong") in (401, 403)
    assert upload(PASSWORD) == 200
    assert "tea-1.0-py3-none-any.whl" in ask(server, "http://localhost/simple/tea/").text
    assert ask(server, "http://localhost/packages/tea-1.0-py3-none-any.whl").content == package


HGWEB = """
config = "/var/www/vhosts/hg.example.net/hgweb.config"

from mercurial import demandimport
demandimport.enable()

from mercurial.hgweb import hgweb
application = hgweb(config.encode())
"""


def test_mercurial_clones_a_repository(deploy, tmp_path: Path):
    server, python = deploy("mercurial")
    lay(server, "/var/www/vhosts/hg.example.net/cgi-bin/hgwebdir.wsgi", HGWEB)
    lay(server, "/var/www/vhosts/hg.example.net/hgweb.config", "[paths]\ntea = /srv/hg/tea\n")
    repository = server.root / "disk/srv/hg/tea"
    hg(python, "init", repository)
    (repository / "leaf").write_text("green\n" * 1000)
    hg(python, "commit", "--addremove", "--message=one", "--user=ann", "--cwd", repository)
    give(server, "/srv/hg")
    server.start()
    assert "tea" in ask(server, "http://hg.example.net/").text
    hg(python, "clone", server.url("/tea"), tmp_path / "clone")
    assert (tmp_path / "clone/leaf").read_text() == "green\n" * 1000


def hg(python: pythons.Python, *arguments) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HGRCPATH": ""}
    command = list(map(str, (python.home / "bin/hg", *arguments)))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
