"""Configurations in the styles of mod_wsgi 4.5, 4.9, 5.0 and 6.1 load without a change, obsolete directives included,
and do what they say; each directive that has nothing to do here says so in one line of the log."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from httpd import Httpd
from published import PASSWORD, ask, prepare

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours]

STYLES = Path(__file__).parent / "styles"
SITE = "http://www.example.com"


def start(serve_once, version: str) -> Httpd:
    server = prepare(serve_once, (STYLES / f"mod_wsgi-{version}.conf").read_text())
    code, output = server.configtest()
    assert code == 0 and "Syntax OK" in output, output
    assert not re.search(r"\[(error|crit)\]|:error\]", output), output
    return server


def without_effect(server: Httpd) -> list[str]:
    """The directives that the log says are without effect, in its order."""
    return re.findall(r"WSGI114: (WSGI\w+) at ", server.error_log())


def seen(server: Httpd, path: str, **options) -> dict:
    answer = ask(server, SITE + path, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_4_5(serve_once):
    server = start(serve_once, "4.5")
    private = server.root / "disk/home/user/myproject/static/private"
    private.mkdir()
    (private / "plans.txt").write_text("plans")
    server.start()
    assert seen(server, "/a", user="ann")["HTTP_AUTHORIZATION"].startswith("Basic ")
    assert seen(server, "/a")["mod_wsgi.process_group"] == "example.com"
    plans = f"{SITE}/static/private/plans.txt"
    assert ask(server, plans).status_code == 401
    assert ask(server, plans, user="ann", password="wrong").status_code == 401
    assert ask(server, plans, user="ann").text == "plans"
    assert PASSWORD not in server.error_log()
    obsolete = ["WSGIAcceptMutex", "WSGILazyInitialization", "WSGIVerboseDebugging", "WSGIPy3kWarningFlag"]
    assert without_effect(server) == [*obsolete, "WSGIGroupAuthoritative"]


def test_4_9(serve_once):
    server = start(serve_once, "4.9").start()
    plain = seen(server, "/a", headers={"X-Forwarded-Proto": "https"})
    assert plain["wsgi.url_scheme"] == "https"
    assert (plain["mod_wsgi.process_group"], plain["mod_wsgi.application_group"]) == ("myproject", "")
    assert ask(server, f"{SITE}/health", method="HEAD").status_code == 200
    assert without_effect(server) == ["WSGISocketRotation"]


def test_5_0(serve_once):
    server = start(serve_once, "5.0")
    site = server.root / "disk/opt"
    for name in ("site/report.wsgi", "apps/tea.wsgi"):
        (site / name).parent.mkdir(exist_ok=True)
        text = (site / "site/wsgi.py").read_text()
        (site / name).write_text(text.replace("def application", "def handle_request") if "report" in name else text)
    (site / "reports/one.report").write_text("a template")
    server.start()
    assert seen(server, "/a")["mod_wsgi.process_group"] == "site"
    assert seen(server, "/api/a")["mod_wsgi.process_group"] == "api"
    assert seen(server, "/app/tea/a")["PATH_INFO"] == "/a"
    assert seen(server, "/reports/one.report/a")["SCRIPT_NAME"] == "/reports/one.report"
    assert seen(server, "/api/internal")["mod_wsgi.process_group"] == "api"


DISPATCH = """
def callable_object(environ):
    return "other" if environ["PATH_INFO"].startswith("/other") else None
"""
OTHER = """


def other(environ, start_response):
    return application({**environ, "REMOTE_USER": "other"}, start_response)
"""
DIGEST = f"""
import hashlib


def get_realm_hash(environ, user, realm):
    return hashlib.md5(f"{{user}}:{{realm}}:{PASSWORD}".encode()).hexdigest() if user == "ann" else None
"""


def test_6_1(serve_once):
    server = start(serve_once, "6.1")
    (server.root / "disk/srv/dispatch.wsgi").write_text(DISPATCH)
    www = server.root / "disk/srv/www/wsgi.py"
    www.write_text(www.read_text() + OTHER)
    (server.root / "disk/srv/auth.wsgi").write_text(DIGEST)
    server.start()
    proxied = {"X-Forwarded-Proto": "https"}
    api = seen(server, "/api/a", headers=proxied)
    assert (api["mod_wsgi.process_group"], api["mod_wsgi.application_group"]) == ("parallel", "tenant")
    assert api["wsgi.url_scheme"] == "https"
    assert "REMOTE_USER" not in seen(server, "/www/a")
    assert seen(server, "/www/other")["REMOTE_USER"] == "other"
    assert ask(server, f"{SITE}/www/members").status_code == 401
    members = server.client(auth=httpx.DigestAuth("ann", PASSWORD), headers={"Host": "www.example.com"})
    with members:
        assert members.get("/www/members").json()["REMOTE_USER"] == "ann"
    assert without_effect(server) == ["WSGITelemetryService", "WSGISlowRequests", "WSGITelemetryOptions"]
