"""Review Board with the configuration that `rb-site install` writes: as it stands, and with its lines for daemon mode.

For a site below a path that file lacks the path behind the script's name, so that no URL of the application fits;
there the file of its former releases is used.
"""

from __future__ import annotations

import re

from application import Application, ask, disk, program
from httpd import Httpd
from published import PASSWORD, give
from pythons import Python

INSTALL = ("ReviewBoard==8.1",)
SITE = "/var/www/reviews.example.com"


def install(server: Httpd, python: Python, folder: str, host: str, root: str) -> None:
    site = disk(server, folder)
    answers = {
        "domain-name": host, "site-root": root, "static-url": "static/", "media-url": "media/",
        "db-type": "sqlite3", "db-name": site.parent / "reviewboard.db", "cache-type": "file",
        "cache-info": site.parent / "cache", "admin-user": "ann", "admin-password": PASSWORD,
        "admin-email": "ann@example.com", "company": "Tea",
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in answers.items()]
    program(server, python, "rb-site", "install", "--noinput", *words, site)
    give(server, "/var/www")
    server.environment["VIRTUAL_ENV"] = str(python.home)  # it is active: the site need not activate it


def set_up(server: Httpd, python: Python) -> None:
    install(server, python, SITE, "reviews.example.com", "/")


def set_up_below(server: Httpd, python: Python) -> None:
    install(server, python, "/var/www/reviews", "intranet.example.com", "/reviews/")


def generated(server: Httpd, python: Python) -> str:
    return (disk(server, SITE) / "conf/webconfs/apache-wsgi.conf").read_text()


def generated_daemon(server: Httpd, python: Python) -> str:
    """Its commented lines for daemon mode take the place of those for embedded mode, as it says."""
    text = re.sub(r"^ *WSGI.*\n", "", generated(server, python), flags=re.M)
    daemon = re.sub(r"(?<=# server.\n)(    #.*\n)+", lambda m: re.sub(r"# (?!See )", "", m[0]), text)
    assert "WSGIDaemonProcess" in re.sub("#.*", "", daemon)
    return daemon


def check(server: Httpd, site: str = "http://reviews.example.com/") -> None:
    assert "<title>Log In | Review Board" in ask(server, f"{site}account/login/").text
    described = ask(server, f"{site}api/info/", headers={"Accept": "application/json"}).json()
    assert described["info"]["product"]["package_version"] == "8.1"
    assert ask(server, f"{site}api/users/ann/", user="ann", password="wrong").status_code == 401
    assert ask(server, f"{site}api/users/ann/", user="ann").json()["user"]["username"] == "ann"
    assert ask(server, f"{site}static/rb/images/favicon.png").headers["Accept-Ranges"] == "bytes"  # httpd's


def check_below(server: Httpd) -> None:
    check(server, "http://intranet.example.com/reviews/")
    assert ask(server, "http://intranet.example.com/account/login/").status_code == 404


REVIEWBOARD = Application(INSTALL, generated, set_up, check)
REVIEWBOARD_DAEMON = Application(INSTALL, generated_daemon, set_up, check)
REVIEWBOARD_BELOW = Application(INSTALL, "reviewboard-below", set_up_below, check_below)
