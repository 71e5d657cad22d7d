"""Django, Flask, Pyramid and Bottle behind the configurations of their documentation, with its scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pythons
import sites
from httpd import LIVE_PYTHON, Httpd
from machine import daemon_account
from published import PASSWORD, ask, give, lay

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours, pytest.mark.waits]

# Django


@pytest.fixture(scope="module")
def project(serve) -> Path:
    """The project of Django's pages, with the user ann; each test has a copy."""
    site = sites.make_django(serve.prepare(""), pythons.environment(LIVE_PYTHON), "shop")
    site.manage("migrate", "--verbosity=0")
    site.manage("collectstatic", "--noinput", "--verbosity=0")
    site.manage(
        "createsuperuser", "--noinput", DJANGO_SUPERUSER_USERNAME="ann", DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        DJANGO_SUPERUSER_EMAIL="ann@example.com",
    )  # fmt: skip
    return site.folder


@pytest.fixture
def django(deploy, project: Path):
    """`django("django")`: a server with this page's configuration and the project where the page has it."""

    def make(name: str, script: str = "", before: str = "") -> Httpd:
        server, _ = deploy(name, pythons.PACKAGES, before)
        shutil.copytree(project, server.root / "disk/path/to/mysite.com", dirs_exist_ok=True)
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


# The page imports check_password first, as was right before Django 1.7; since then Django is to be set up before.
AUTH_SCRIPT = """
import os

os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'

from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()

from django.contrib.auth.handlers.modwsgi import check_password, groups_for_user
"""


# The second configuration of the page is the first with more lines, and leaves out the one for the path.
PATH = "WSGIPythonPath @ROOT@/disk/path/to/mysite.com\n"


@pytest.mark.parametrize("name, before", [("django-auth", ""), ("django-auth-groups", PATH)], ids=["users", "groups"])
def test_django_users_at_apaches_door(django, name: str, before: str):
    server = django(name, AUTH_SCRIPT, before)
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
