"""The applications themselves, from their packages, behind the configurations that they publish and with their scripts.

Each is installed from the package index, once, in one environment for all of them (Django and Flask: that of the
other live tests), and answers what its users ask first: a page, a login, an upload, a clone.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import pythons
import sites
from httpd import LIVE_PYTHON, Httpd
from machine import daemon_account
from published import PASSWORD, ask, placed_paths, prepare
from test_documented import FILES

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours, pytest.mark.waits]

PACKAGES = ("trac", "setuptools<81", "radicale", "pyramid", "bottle", "pypiserver", "mercurial")


def lay(server: Httpd, path: str, text: str) -> Path:
    """A file of the published deployment, at its place on the disk of the test."""
    file = server.root / "disk" / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(server.fill_in(placed_paths(text)))
    return file


def give(server: Httpd, *folders: str) -> None:
    """Make these folders the property of the account that daemons run as."""
    for folder in folders:
        top = server.root / "disk" / folder.lstrip("/")
        top.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            for path in (top, *top.rglob("*")):
                shutil.chown(path, daemon_account())


@pytest.fixture
def deploy(serve_once):
    """`deploy("trac")`: a server with this configuration, not started, and the environment with the applications."""

    def make(name: str, packages: tuple[str, ...] = PACKAGES) -> tuple[Httpd, pythons.Python]:
        python = pythons.environment(LIVE_PYTHON, packages)
        return prepare(serve_once, FILES[name].read_text(), python=python.home), python

    return make


# Django


@pytest.fixture
def django(deploy):
    """`django("django")`: the project of Django's pages where they have it, with the user ann."""

    def make(name: str, script: str = "") -> Httpd:
        server, python = deploy(name, pythons.PACKAGES)
        (server.root / "sites").mkdir()
        shutil.rmtree(server.root / "disk/path/to/mysite.com")
        site = sites.make_django(server, python, "shop")
        site.manage("migrate", "--verbosity=0")
        site.manage("collectstatic", "--noinput", "--verbosity=0")
        site.manage(
            "createsuperuser", "--noinput", DJANGO_SUPERUSER_USERNAME="ann", DJANGO_SUPERUSER_PASSWORD=PASSWORD,
            DJANGO_SUPERUSER_EMAIL="ann@example.com",
        )  # fmt: skip
        (server.root / "disk/path/to").mkdir(parents=True, exist_ok=True)
        site.folder.rename(server.root / "disk/path/to/mysite.com")
        if script:
            lay(server, "/path/to/mysite.com/mysite/wsgi.py", script)
        give(server, "/path/to/mysite.com")
        return server.start()

    return make


def test_django_in_embedded_mode(django):
    server = django("django")
    seen = ask(server, "http://localhost/where").json()
    assert seen["path"] == "/where" and seen["folder"].endswith("/path/to/mysite.com")
    assert len(ask(server, "http://localhost/static/admin/css/base.css").content) > 1000
    assert "Log in" in ask(server, "http://localhost/admin/login/").text


def test_django_in_daemon_mode_below_a_path(django):
    server = django("django-daemon")
    seen = ask(server, "http://localhost/mysite/where").json()
    assert seen["path"] == "/mysite/where" and seen["user"] == daemon_account()


AUTH_SCRIPT = """
import os

os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'

from django.contrib.auth.handlers.modwsgi import check_password, groups_for_user

from django.core.handlers.wsgi import WSGIHandler
application = WSGIHandler()
"""
# The page imports check_password first, and the application last; Django must be set up before either is used.


@pytest.mark.parametrize("name", ["django-auth", "django-auth-groups"])
def test_django_users_at_apaches_door(django, name: str):
    server = django(name, AUTH_SCRIPT)
    assert ask(server, "http://localhost/where").status_code == 200
    assert ask(server, "http://localhost/secret").status_code == 401
    for user, password in (("ann", "wrong"), ("bob", PASSWORD)):
        assert ask(server, "http://localhost/secret", user=user, password=password).status_code == 401
    assert ask(server, "http://localhost/secret", user="ann").status_code == 404  # Django's, behind the door
    assert PASSWORD not in server.error_log()


# Flask, Pyramid, Bottle

FLASK = """
from flask import Flask, request

app = Flask(__name__)


@app.route("/hello", methods=["GET", "POST"])
def hello():
    return f"Hello {request.form.get('name', 'Flask')}!"
"""


def test_flask(deploy):
    server, _ = deploy("flask", pythons.PACKAGES)
    lay(server, "/var/www/yourapplication/yourapplication.py", FLASK)
    script = "import sys\nsys.path.insert(0, '/var/www/yourapplication')\n\nfrom yourapplication import app as application\n"
    lay(server, "/var/www/yourapplication/yourapplication.wsgi", script)
    server.start()
    assert ask(server, "http://example.com/hello").text == "Hello Flask!"
    assert ask(server, "http://example.com/hello", method="POST", data={"name": "Zoë"}).text == "Hello Zoë!"


PYRAMID_SCRIPT = """
from pyramid.paster import get_app, setup_logging
ini_path = '/Users/chrism/myproject/production.ini'
setup_logging(ini_path)
application = get_app(ini_path, 'main')
"""
PYRAMID_SETTINGS = """
[app:main]
use = call:myproject:main

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys =

[logger_root]
level = WARN
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
"""
PYRAMID = """
import logging

from pyramid.config import Configurator
from pyramid.response import Response


def home(request):
    logging.getLogger(__name__).warning("the home page was asked for")
    return Response(f"{request.application_url} for {request.authorization and request.authorization.authtype}")


def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.add_route("home", "/")
        config.add_view(home, route_name="home")
        return config.make_wsgi_app()
"""


def test_pyramid(deploy):
    server, python = deploy("pyramid")
    lay(server, "/Users/chrism/myproject/pyramid.wsgi", PYRAMID_SCRIPT)
    lay(server, "/Users/chrism/myproject/production.ini", PYRAMID_SETTINGS)
    lay(server, "/Users/chrism/myproject/env/lib/python3.5/site-packages/myproject.py", PYRAMID)
    server.start()
    assert ask(server, "http://localhost/myapp/", user="ann").text == "http://localhost/myapp for Basic"
    assert ask(server, "http://localhost/myapp/none").status_code == 404
    server.wait_for_log("the home page was asked for")


BOTTLE = """
import os
# Change working directory so relative paths (and template lookup) work again
os.chdir(os.path.dirname(__file__))

import bottle


@bottle.route("/hello/<name>")
def hello(name):
    return bottle.template("hello", name=name)


# Do NOT use bottle.run() with mod_wsgi
application = bottle.default_app()
"""


def test_bottle_finds_its_templates(deploy):
    server, _ = deploy("bottle")
    lay(server, "/var/www/yourapp/app.wsgi", BOTTLE)
    lay(server, "/var/www/yourapp/views/hello.tpl", "<b>Hello {{name}}</b>")
    server.start()
    assert ask(server, "http://example.com/hello/<you>").text == "<b>Hello &lt;you&gt;</b>"


# Trac, Radicale, pypiserver, Mercurial

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
RADICALE_CONFIG = "[auth]\ntype = none\n[rights]\ntype = authenticated\n[storage]\nfilesystem_folder = /var/lib/radicale/collections\n"
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
    lay(server, "/etc/radicale/config", RADICALE_CONFIG)
    lay(server, "/var/www/radicale.wsgi", RADICALE)
    give(server, "/var/lib/radicale")
    server.start()
    calendar = "http://cal.yourdomain.org/ann/calendar/"
    assert ask(server, calendar, method="PROPFIND").status_code == 401
    # The published lines keep the Authorization header from the script: Radicale asks for a name that httpd has checked.
    assert ask(server, calendar, method="MKCALENDAR", user="ann", content=CALENDAR).status_code == 401


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

    def upload(password: str) -> int:
        sent = {"files": {"content": ("tea-1.0-py3-none-any.whl", wheel())}, "data": {":action": "file_upload"}}
        return ask(server, "http://localhost/", method="POST", user="ann", password=password, **sent).status_code

    assert upload("wrong") in (401, 403)
    assert upload(PASSWORD) == 200
    assert "tea-1.0-py3-none-any.whl" in ask(server, "http://localhost/simple/tea/").text
    assert ask(server, "http://localhost/packages/tea-1.0-py3-none-any.whl").content == wheel()


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
