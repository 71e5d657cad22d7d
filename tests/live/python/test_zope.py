"""Zope with its default storage, a file that one process may have open: served, edited, deployed, reloaded, restarted."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
from collections.abc import Callable

import httpx
import pytest

import pythons
from httpd import LIVE_PYTHON, Httpd
from machine import daemon_account
from meanwhile import requests_of
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

CONFIGURATION = """
WSGIDaemonProcess zope python-home=@HOME@ threads=4 @OPTIONS@
WSGIScriptAlias / @ROOT@/zope.wsgi process-group=zope application-group=%{GLOBAL}
WSGIPassAuthorization On
"""
SCRIPT = """
import os
from Zope2.Startup.run import make_wsgi_app

zope = make_wsgi_app({{}}, "{instance}/etc/zope.conf")


def application(environ, start_response):
    def start(status, headers, exc_info=None):
        return start_response(status, [*headers, ("X-Process", "{deploy} %d" % os.getpid())], exc_info)

    return zope(environ, start)
"""
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()}


def deploy(server: Httpd, number: str) -> None:
    fresh = server.root / "zope.new"
    fresh.write_text(SCRIPT.format(instance=server.root / "instance", deploy=number))
    fresh.rename(server.root / "zope.wsgi")


def start(serve_once, options: str) -> Httpd:
    home = pythons.environment(LIVE_PYTHON, ("Zope",)).home
    server = serve_once.prepare(CONFIGURATION.replace("@HOME@", str(home)).replace("@OPTIONS@", options))
    instance = server.root / "instance"
    subprocess.run([home / "bin/mkwsgiinstance", "-d", instance, "-u", "admin:admin"], check=True, capture_output=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", daemon_account(), instance], check=True)
    deploy(server, "first")
    server.start()
    post(server, "/manage_addProduct/OFSP/addDTMLMethod", id="page", file="new")
    return server


def page(server: Httpd) -> httpx.Response:
    answer = server.get("/page")
    assert answer.status_code == 200, answer.text
    return answer


def post(server: Httpd, path: str, **fields: str) -> None:
    answer = server.post(path, data=fields, headers=LOGIN)
    assert answer.status_code in (200, 302), answer.text


def edit(server: Httpd, text: str) -> None:
    post(server, "/page/manage_edit", title="", data=text)
    assert page(server).text == text


def process(server: Httpd) -> list[str]:
    return page(server).headers["X-Process"].split()


WAYS = {
    "touch": lambda server: os.utime(server.root / "zope.wsgi"),
    "SIGUSR1": lambda server: os.kill(int(process(server)[1]), signal.SIGUSR1),
    "graceful": Httpd.graceful,
    "restart": Httpd.restart,
}


@pytest.mark.parametrize("options", ["", "overlap=Off"])
def test_zope_is_served_edited_deployed_and_reloaded(serve_once, options: str):
    server = start(serve_once, options)
    for way, act in WAYS.items():
        replace(server, way, act)
    log = server.error_log()
    assert log.count("WSGI328") == (0 if options else 1)
    assert not re.search("WSGI3(29|32|33)", log)
    if not options:
        line = server.wait_for_log("WSGI328")
        assert re.search(r"by process \d+, an old one of this group: a lock on '.*/var/Data.fs.lock' \(LockError", line)


def replace(server: Httpd, way: str, act: Callable[[Httpd], None]) -> None:
    edit(server, f"before {way}")
    before = process(server)
    if way == "restart":  # httpd cuts what its children have
        deploy(server, way)
        act(server)
        wait_for(lambda: process(server)[0] == way, "the new code answers", timeout=20)
    else:
        with requests_of(server, "/page"):
            deploy(server, way)
            act(server)
            wait_for(lambda: process(server)[0] == way, "the new code answers", timeout=20)
    assert process(server)[1] != before[1]
    assert page(server).text == f"before {way}"
    wait_for(lambda: [str(p.pid) for p in server.daemons("zope")] == process(server)[1:], "no other is left")
