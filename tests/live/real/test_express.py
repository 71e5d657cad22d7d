"""What `mod_wsgi-express setup-server` of mod_wsgi 6.1.1 writes runs on this module: one LoadModule line is another.

Its own apachectl starts the server, with everything else as it was generated: the handler script that imports the
package mod_wsgi from the environment, the group with all its options spelled out, and the access scripts.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from bench import install_mod_wsgi
from httpd import IS_ROOT, Httpd
from machine import daemon_account
from waiting import wait_for

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours, pytest.mark.waits]

APPLICATION = """
import os

VERSION = "first"


def application(environ, start_response):
    status = {"/gone": "404 Not Found", "/broken": "500 Internal Server Error"}.get(environ["PATH_INFO"], "200 OK")
    lines = [VERSION, environ["mod_wsgi.process_group"], environ["mod_wsgi.application_group"]]
    lines += [environ["SCRIPT_NAME"] + "|" + environ["PATH_INFO"], environ.get("REMOTE_USER", "nobody")]
    lines += [environ.get("HTTP_AUTHORIZATION", "none")[:5], environ["REMOTE_ADDR"], os.getcwd()]
    start_response(status, [("Content-Type", "text/plain")])
    return ["\\n".join(lines).encode()]
"""
ACCESS = """
def allow_access(environ, host):
    return "denied" not in environ["REQUEST_URI"]


def check_password(environ, user, password):
    return password == "secret of " + user if user in ("ann", "bob") else None


def groups_for_user(environ, user):
    return ["agents", "staff"] if user == "ann" else ["staff"]
"""


class Express(Httpd):
    """The server that setup-server has written, below the root, with its own apachectl."""

    def set_up(self, options: tuple[str, ...]) -> None:
        _, venv = install_mod_wsgi()
        for name, text in FILES.items():
            (self.site / name).parent.mkdir(parents=True, exist_ok=True)
            (self.site / name).write_text(text)
        account = ("--user", daemon_account(), "--group", daemon_account()) if IS_ROOT else ()
        server = ("--host", "127.0.0.1", "--port", str(self.ports["PORT"]), "--server-root", self.root / "express")
        command = [venv / "bin/mod_wsgi-express", "setup-server", "site.wsgi", *server, *account, *options]
        done = subprocess.run(list(map(str, command)), cwd=self.site, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        text, changed = re.subn(
            "^LoadModule wsgi_module .*$", f"LoadModule wsgi_module '{self.root}/mod_wsgi.so'",
            self.configuration_file.read_text(), flags=re.MULTILINE,
        )  # fmt: skip
        assert changed == 1
        self.configuration_file.write_text(text)
        subprocess.run(["chmod", "-R", "a+rX", self.root], check=True)

    @property
    def site(self) -> Path:
        """The folder that the administrator is in."""
        return self.root / "site"

    @property
    def configuration_file(self) -> Path:
        return self.root / "express/httpd.conf" if (self.root / "express").exists() else super().configuration_file

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.root / "express/apachectl"), *arguments]

    def error_log(self, name: str = "express/error_log") -> str:
        return super().error_log(name)


FILES = {
    "site.wsgi": APPLICATION,
    "access.wsgi": ACCESS,
    "documents/page.html": "a page",
    "documents/missing.html": "nothing here",
    "assets/style.css": "body {}",
}
SETUPS = {
    "plain": (
        "--document-root", "documents", "--url-alias", "/assets", "assets", "--url-alias", "/style.css", "assets/style.css",
        "--error-document", "404", "/missing.html", "--error-override",
    ),
    "guarded": (
        "--document-root", "documents", "--host-access-script", "access.wsgi", "--auth-user-script", "access.wsgi",
        "--auth-group-script", "access.wsgi", "--auth-group", "agents",
        "--trust-proxy-header", "X-Forwarded-For", "--trust-proxy", "127.0.0.1",
    ),
}  # fmt: skip
WAYS = {"daemon": (), "embedded": ("--embedded-mode",)}


@pytest.fixture(scope="module")
def started(serve):
    """`started("plain", "daemon")`: the server of this setup, which all tests of the file share."""

    @functools.cache
    def start(setup: str, way: str) -> Express:
        server = serve.prepare("", kind=Express)
        server.set_up((*SETUPS[setup], *WAYS[way]))
        return server.start()

    return start


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Where the application runs."""
    return request.param


@pytest.fixture
def plain(started, way: str) -> Express:
    return started("plain", way)


@pytest.fixture
def guarded(started, way: str) -> Express:
    return started("guarded", way)


def lines(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return answer.text.splitlines()


def test_configtest_accepts_it(plain: Express):
    code, output = plain.configtest()
    assert code == 0 and "Syntax OK" in output, output


def test_hello(plain: Express, way: str):
    _, group, application_group, path, user, _, _, folder = lines(plain.get("/a/b"))
    assert group == (f"127.0.0.1:{plain.ports['PORT']}" if way == "daemon" else "")
    assert (application_group, path, user) == ("", "|/a/b", "nobody")
    if way == "daemon":
        assert folder == str(plain.site)
    assert lines(plain.post("/a", content=b"x"))[3] == "|/a"


def test_files_come_before_the_application(plain: Express):
    assert plain.get("/page.html").text == "a page"
    assert plain.get("/assets/style.css").text == plain.get("/style.css").text == "body {}"
    assert lines(plain.get("/page.htm"))[3] == "|/page.htm"


def test_error_documents(plain: Express):
    gone = plain.get("/gone")
    assert (gone.status_code, gone.text) == (404, "nothing here")
    assert plain.get("/assets/none.css").text == "nothing here"


def test_a_changed_script_is_loaded_anew(started):
    server = started("plain", "daemon")
    assert lines(server.get("/"))[0] == "first"
    (server.site / "site.wsgi").write_text(APPLICATION.replace("first", "second"))
    os.utime(server.site / "site.wsgi", (1_900_000_000, 1_900_000_000))
    wait_for(lambda: lines(server.get("/"))[0] == "second", "the changed script answers", timeout=20)
    assert lines(server.get("/"))[0] == "second"


def test_users_and_groups(guarded: Express):
    assert guarded.get("/a").status_code == 401
    assert guarded.get("/a", auth=("ann", "wrong")).status_code == 401
    assert guarded.get("/a", auth=("eve", "secret of eve")).status_code == 401
    assert guarded.get("/a", auth=("bob", "secret of bob")).status_code == 401  # a user, in another group
    assert lines(guarded.get("/a", auth=("ann", "secret of ann")))[4:6] == ["ann", "Basic"]
    assert guarded.get("/page.html", auth=("ann", "secret of ann")).text == "a page"
    assert guarded.get("/page.html").status_code == 401
    assert "secret of" not in guarded.error_log()


def test_hosts_are_turned_away(guarded: Express):
    assert guarded.get("/denied", auth=("ann", "secret of ann")).status_code == 403
    assert guarded.get("/page.html?denied", auth=("ann", "secret of ann")).status_code == 403


def test_trusted_proxy(guarded: Express):
    answer = guarded.get("/a", auth=("ann", "secret of ann"), headers={"X-Forwarded-For": "192.0.2.7"})
    assert lines(answer)[6] == "192.0.2.7"
