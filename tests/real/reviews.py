"""Review Board, with the configuration that `rb-site install` writes: as it stands, and with its lines for daemon mode."""

from __future__ import annotations

import re

from application import Application, ask, disk, program
from httpd import Httpd
from published import PASSWORD, give
from pythons import Python

INSTALL = ("ReviewBoard==8.1",)
SITE = "/var/www/reviews.example.com"


def set_up(server: Httpd, python: Python, root: str = "/") -> None:
    site = disk(server, SITE)
    answers = {
        "domain-name": "reviews.example.com", "site-root": root, "static-url": "static/", "media-url": "media/",
        "db-type": "sqlite3", "db-name": site.parent / "reviewboard.db", "cache-type": "file",
        "cache-info": site.parent / "cache", "admin-user": "ann", "admin-password": PASSWORD,
        "admin-email": "ann@example.com", "company": "Tea",
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in answers.items()]
    program(server, python, "rb-site", "install", "--noinput", *words, site)
    give(server, "/var/www")


def set_up_below(server: Httpd, python: Python) -> None:
    set_up(server, python, "/reviews/")


def generated(server: Httpd, python: Python) -> str:
    return (disk(server, SITE) / "conf/webconfs/apache-wsgi.conf").read_text()


def generated_daemon(server: Httpd, python: Python) -> str:
    """Its commented lines for daemon mode take the place of those for embedded mode, as it says."""
    text = re.sub(r"^ *WSGI.*\n", "", generated(server, python), flags=re.M)
    return re.sub(r"(?<=# server.\n)(    #.*\n)+", lambda m: re.sub(r"# (?!See )", "", m[0]), text)


def check(server: Httpd, root: str = "/") -> None:
    site = "http://reviews.example.com" + root
    assert "<title>Log In | Review Board" in ask(server, f"{site}account/login/").text
    described = ask(server, f"{site}api/info/", headers={"Accept": "application/json"}).json()
    assert described["info"]["product"]["package_version"] == "8.1"
    assert ask(server, f"{site}api/users/ann/", user="ann", password="wrong").status_code == 401
    assert ask(server, f"{site}api/users/ann/", user="ann").json()["user"]["username"] == "ann"
    assert ask(server, f"{site}static/rb/images/favicon.png").headers["Accept-Ranges"] == "bytes"  # httpd's


def check_below(server: Httpd) -> None:
    check(server, "/reviews/")
    assert ask(server, "http://reviews.example.com/account/login/").status_code == 404


REVIEWBOARD = Application(INSTALL, generated, set_up, check)
REVIEWBOARD_DAEMON = Application(INSTALL, generated_daemon, set_up, check)
REVIEWBOARD_BELOW = Application(INSTALL, generated, set_up_below, check_below)
