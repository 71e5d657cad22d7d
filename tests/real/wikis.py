"""MoinMoin, Mailman's web interface, privacyIDEA and MapProxy."""

from __future__ import annotations

import json
import re

import httpx

from application import Application, ask, disk, program, site_packages
from httpd import Httpd
from published import PASSWORD, give, lay
from pythons import Python


def set_up_moin(server: Httpd, python: Python) -> None:
    instance = disk(server, "/path/to/config")
    program(server, python, "moin", "create-instance", "--path", instance)
    for command in ("index-create", "welcome"):
        program(server, python, "moin", command, MOINCFG=instance / "wikiconfig.py")
    lay(server, "/some/path/moin.wsgi", (site_packages(python) / "moin/contrib/deployment/moin.wsgi").read_text("latin-1"))
    give(server, "/path/to/config")


def check_moin(server: Httpd) -> None:
    home = ask(server, "http://localhost/Home")
    assert home.status_code == 200 and "My MoinMoin" in home.text and "Welcome" in home.text
    assert ask(server, "http://localhost/static/css/common.css").headers["Content-Type"].startswith("text/css")
    assert ask(server, "http://localhost/NoSuchItem").status_code == 404


MOIN = Application(("moin==2.0.0b5",), "moin2", set_up_moin, check_moin)

MAILMAN_SETTINGS = """
from mailman_web.settings.base import *
from mailman_web.settings.mailman import *

BASE_DIR = Path("/path/to/hyperkitty_standalone")
SECRET_KEY = "a secret of many characters that no other site has"
ALLOWED_HOSTS = ["localhost"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "data/mailman.db"}}
STATIC_ROOT = BASE_DIR / "static"
COMPRESS_OFFLINE = True
COMPRESS_PRECOMPILERS = (("text/x-scss", "pysassc -t compressed {infile} {outfile}"),)
LOGGING["handlers"] = {"console": {"class": "logging.StreamHandler"}}
LOGGING["loggers"] = {"django": {"handlers": ["console"], "level": "INFO"}}
HAYSTACK_CONNECTIONS["default"]["PATH"] = str(BASE_DIR / "data/index")
"""
MAILMAN_SCRIPT = """
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""


def set_up_mailman(server: Httpd, python: Python) -> None:
    folder = "/path/to/hyperkitty_standalone"
    lay(server, f"{folder}/settings.py", MAILMAN_SETTINGS)
    lay(server, f"{folder}/wsgi.py", MAILMAN_SCRIPT)
    disk(server, f"{folder}/data")
    told = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": "."}
    for command in (["migrate", "-v0"], ["collectstatic", "--noinput", "-v0"], ["compress"]):
        program(server, python, "django-admin", *command, folder=folder, **told)
    superuser = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, **told}
    named = ("--username", "ann", "--email", "ann@example.com")
    program(server, python, "django-admin", "createsuperuser", "--noinput", *named, folder=folder, **superuser)
    give(server, f"{folder}/data")


def check_mailman(server: Httpd) -> None:
    assert "Available lists" in ask(server, "http://localhost/hyperkitty/archives/").text
    assert "Sign In" in ask(server, "http://localhost/hyperkitty/accounts/login/").text
    style = re.search(r'href="(/static/CACHE/css/[^"]+\.css)"', ask(server, "http://localhost/hyperkitty/archives/").text)[1]
    assert ask(server, f"http://localhost{style}").headers["Accept-Ranges"] == "bytes"  # httpd's


MAILMAN = Application(("mailman-web==0.0.9", "libsass"), "mailman-hyperkitty", set_up_mailman, check_mailman)

PRIVACYIDEA_SETTINGS = """
SUPERUSER_REALM = ["super"]
SQLALCHEMY_DATABASE_URI = "sqlite:////var/lib/privacyidea/privacyidea.sqlite"
SECRET_KEY = "t0p s3cr3t"
PI_PEPPER = "Never know..."
PI_ENCFILE = "/etc/privacyidea/enckey"
PI_AUDIT_KEY_PRIVATE = "/etc/privacyidea/private.pem"
PI_AUDIT_KEY_PUBLIC = "/etc/privacyidea/public.pem"
PI_LOGFILE = "/var/log/privacyidea/privacyidea.log"
"""
PRIVACYIDEA_SCRIPT = """
import sys
sys.stdout = sys.stderr
from privacyidea.app import create_app
application = create_app(config_name="production", config_file="/etc/privacyidea/pi.cfg")
"""


def set_up_privacyidea(server: Httpd, python: Python) -> None:
    settings = lay(server, "/etc/privacyidea/pi.cfg", PRIVACYIDEA_SETTINGS)
    settings.write_text(settings.read_text().replace("sqlite:////var", f"sqlite:///{server.root}/disk/var"))
    lay(server, "/etc/privacyidea/privacyideaapp.wsgi", PRIVACYIDEA_SCRIPT)
    for folder in ("/var/lib/privacyidea", "/var/log/privacyidea"):
        disk(server, folder)
    setup = ("setup", "create_enckey"), ("setup", "create_audit_keys"), ("setup", "create_tables")
    for words in (*setup, ("admin", "add", "ann", "-p", PASSWORD)):
        program(server, python, "pi-manage", *words, PRIVACYIDEA_CONFIGFILE=settings)
    give(server, "/etc/privacyidea", "/var/lib/privacyidea", "/var/log/privacyidea")


def check_privacyidea(server: Httpd) -> None:
    home = httpx.URL(ask(server, "https://localhost/").headers["Location"]).path
    assert "privacyIDEA" in ask(server, f"https://localhost{home}").text
    entered = ask(server, "https://localhost/auth", method="POST", json={"username": "ann", "password": PASSWORD})
    assert entered.status_code == 200, entered.text
    token = {"Authorization": entered.json()["result"]["value"]["token"]}
    assert ask(server, "https://localhost/token/").status_code == 401
    made = ask(server, "https://localhost/token/init", method="POST", json={"type": "hotp", "genkey": 1}, headers=token)
    assert made.json()["result"]["value"], made.text
    assert ask(server, "https://localhost/token/", headers=token).json()["result"]["value"]["count"] == 1


PRIVACYIDEA = Application(("privacyidea==3.14",), "privacyidea", set_up_privacyidea, check_privacyidea)

MAPPROXY_SETTINGS = {
    "services": {"demo": None, "tms": None, "wms": {"md": {"title": "Tea gardens"}}},
    "layers": [{"name": "grid", "title": "A grid", "sources": ["tiles"]}],
    "sources": {"tiles": {"type": "debug"}},
}


def set_up_mapproxy(server: Httpd, python: Python) -> None:
    folder = disk(server, "/path/to/mapproxy")
    lay(server, "/path/to/mapproxy/mapproxy.yaml", json.dumps(MAPPROXY_SETTINGS))
    program(server, python, "mapproxy-util", "create", "-t", "wsgi-app", "-f", folder / "mapproxy.yaml", folder / "config.py")
    give(server, "/path/to/mapproxy")


def check_mapproxy(server: Httpd) -> None:
    wms = "http://localhost/mapproxy/service?service=WMS&version=1.1.1"
    assert "Tea gardens" in ask(server, f"{wms}&request=GetCapabilities").text
    area = "layers=grid&styles=&srs=EPSG:4326&bbox=0,0,10,10&width=200&height=200&format=image/png"
    assert ask(server, f"{wms}&request=GetMap&{area}").content.startswith(b"\x89PNG")
    assert "MapProxy" in ask(server, "http://localhost/mapproxy/demo/").text


MAPPROXY = Application(("MapProxy==7.0.0",), "mapproxy", set_up_mapproxy, check_mapproxy)
