"""Credentials on their way to a script: digests, httpd's cache, TLS, .htaccess, groups in trouble; and that no log has a password."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path

import httpx
import pytest

from httpd import Httpd
from machine import libexec
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

RIGHT, WRONG = "pass-right-7391", "pass-wrong-2846"

CONFIGURATION = f"""
LoadModule auth_digest_module {libexec()}/mod_auth_digest.so
LoadModule authn_socache_module {libexec()}/mod_authn_socache.so
LogLevel info wsgi:trace8
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIDaemonProcess slow python-home=@PYTHON@ threads=2 request-timeout=1 graceful-timeout=1 shutdown-timeout=1
WSGIDaemonProcess broken python-home=@ROOT@/htdocs connect-timeout=1
WSGIScriptAlias /app @APPS@/environ.wsgi process-group=site
WSGIScriptAlias /hello @APPS@/hello.wsgi process-group=site
AuthnCacheSOCache shmcb
<Location /app>
    AuthType Basic
    AuthName private
    AuthBasicProvider wsgi
    WSGIAuthUserScript @APPS@/access.wsgi process-group=site
    Require valid-user
</Location>
<Location /app/cached>
    AuthBasicProvider socache wsgi
    AuthnCacheProvideFor wsgi
</Location>
<Location /app/digest>
    AuthType Digest
    AuthName "the realm"
    AuthDigestProvider wsgi
</Location>
<Location /app/digest/cached>
    AuthDigestProvider socache wsgi
    AuthnCacheProvideFor wsgi
</Location>
<Location /app/slow>
    WSGIAuthUserScript @APPS@/access.wsgi process-group=slow
</Location>
<Location /app/broken>
    WSGIAuthUserScript @APPS@/access.wsgi process-group=broken
</Location>
<Location /hello>
    WSGIAccessScript @ROOT@/told/changing.wsgi process-group=site
</Location>
<Directory @ROOT@/htdocs/own>
    AllowOverride AuthConfig
</Directory>
<Directory @ROOT@/htdocs/other>
    AllowOverride FileInfo
</Directory>
@HTTPS@
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    told = server.writable_folder("told")
    (told / "calls").touch()
    (told / "calls").chmod(0o666)
    replace(told / "changing.wsgi", "True")
    for folder in ("own", "other"):
        (server.root / "htdocs" / folder).mkdir()
        (server.root / "htdocs" / folder / "page.html").write_text("page")
    return server.start()


def replace(script: Path, said: str) -> None:
    script.with_suffix(".new").write_text(f"def allow_access(environ, host):\n    return {said}\n")
    os.utime(script.with_suffix(".new"), (1_700_000_000 + len(said),) * 2)
    script.with_suffix(".new").rename(script)


def calls(server: Httpd) -> list[dict]:
    return [json.loads(line) for line in (server.root / "told/calls").read_text().splitlines()]


class Digest(httpx.DigestAuth):
    """With names in UTF-8."""

    def auth_flow(self, request: httpx.Request):
        request.headers.encoding = "utf-8"
        yield from super().auth_flow(request)


def status(server: Httpd, path: str, *auth: str, **options) -> int:
    return server.get(path, auth=auth or None, **options).status_code


@pytest.mark.parametrize("user, expected", [("alice", 200), ("bytes", 200), ("Иван", 200), ("None", 401), ("1", 500), ("empty", 500), ("text", 500), ("raise", 500)])
def test_digests(server: Httpd, user: str, expected: int):
    answer = server.get("/app/digest?a=b", auth=Digest(user, RIGHT))
    assert answer.status_code == expected
    if expected == 200:
        assert answer.json()["AUTH_TYPE"][1] == "Digest"
        assert server.get("/app/digest", auth=Digest(user, WRONG)).status_code == 401
    call = calls(server)[-1]
    assert (call["function"], call["user"], call["realm"]) == ("get_realm_hash", user, "the realm")


def test_an_answer_of_httpds_cache(server: Httpd):
    before = len(calls(server))
    assert [status(server, "/app/cached", "alice", RIGHT) for _ in range(3)] == [200] * 3
    assert len(calls(server)) == before + 1
    assert status(server, "/app/cached", "alice", WRONG) == 401
    assert status(server, "/app/cached", "alice", RIGHT) == 200
    assert status(server, "/app/cached", "bob", WRONG) == 401
    assert status(server, "/app/cached", "bob", RIGHT) == 200


def test_a_replaced_name_is_not_cached(server: Httpd):
    before = len(calls(server))
    seen = [server.get("/app/cached", auth=("renamed", RIGHT)).json()["REMOTE_USER"][1] for _ in range(2)]
    assert seen == ["Иван".encode().decode("latin-1")] * 2
    assert len(calls(server)) == before + 2


def test_cached_hashes(server: Httpd):
    before = len(calls(server))
    answers = [server.get("/app/digest/cached", auth=Digest("alice", word)).status_code for word in (RIGHT, RIGHT, WRONG, RIGHT)]
    assert (answers, len(calls(server)) - before) == ([200, 200, 401, 200], 1)


def test_what_mod_ssl_knows(server: Httpd):
    assert status(server, "/app", "alice", RIGHT, port="TLS") == 200
    seen = calls(server)[-1]
    assert (seen["https"], seen["protocol"][:4], seen["certificate"], seen["nothing"]) == (True, "TLSv", "localhost", "")
    assert status(server, "/app", "alice", RIGHT) == 200
    seen = calls(server)[-1]
    assert (seen["https"], seen["protocol"], seen["certificate"]) == (False, "", "")


def test_a_script_that_is_replaced(server: Httpd):
    for said, expected in (("True", 200), ("False", 403), ("None", 200)):
        replace(server.root / "told/changing.wsgi", said)
        wait_for(lambda: status(server, "/hello") == expected, f"{said} is what the script says")
    (server.root / "told/changing.wsgi").rename(server.root / "told/gone.wsgi")
    assert status(server, "/hello") == 500


def test_htaccess_may_not_choose_a_process(server: Httpd):
    (server.root / "htdocs/own/.htaccess").write_text(server.fill_in("WSGIAccessScript @APPS@/access.wsgi process-group=site\n"))
    start = len(server.error_log())
    assert status(server, "/own/page.html") == 500
    server.wait_for_log(r"own/\.htaccess: .*WSGIAccessScript: process-group= may not stand in \.htaccess.*<Directory>", start=start)


def test_htaccess_needs_authconfig(server: Httpd):
    (server.root / "htdocs/other/.htaccess").write_text(server.fill_in("WSGIAccessScript @APPS@/access.wsgi\n"))
    start = len(server.error_log())
    assert status(server, "/other/page.html") == 500
    server.wait_for_log("WSGIAccessScript not allowed here", start=start)


def test_htaccess_with_a_script(server: Httpd, mode: str):
    if mode == "daemon":
        pytest.skip("httpd's children have no Python of the tests")
    (server.root / "htdocs/own/.htaccess").write_text(server.fill_in("WSGIAccessScript @APPS@/access.wsgi\n"))
    answers = {said: status(server, "/own/page.html", headers={"X-Access": said}) for said in ("True", "False", "None", "text")}
    assert answers == {"True": 200, "False": 403, "None": 200, "text": 500}


@pytest.mark.daemon_mode
def test_no_script_of_htaccess_in_httpd_where_embedded_mode_is_forbidden(serve_once):
    server = serve_once.prepare(
        "WSGIRestrictEmbedded On\n<Directory @ROOT@/htdocs>\nAllowOverride AuthConfig\n</Directory>"
    )
    (server.root / "htdocs/page.html").write_text("page")
    (server.root / "htdocs/.htaccess").write_text(server.fill_in("WSGIAccessScript @APPS@/access.wsgi\n"))
    server.start()
    assert server.get("/page.html", headers={"X-Access": "True"}).status_code == 500
    server.wait_for_log("WSGI204: ")


@pytest.mark.daemon_mode
def test_a_group_that_cannot_serve(server: Httpd):
    start, begun = len(server.error_log()), time.monotonic()
    assert status(server, "/app/broken", "alice", RIGHT) == 500
    assert time.monotonic() - begun < 5
    server.wait_for_log("group .broken.", start=start)


@pytest.mark.daemon_mode
def test_a_request_that_times_out(server: Httpd):
    start = len(server.error_log())
    assert status(server, "/app/slow", "hang", RIGHT) == 500
    server.wait_for_log("in check_password", start=start)  # where its thread was


@pytest.mark.daemon_mode
def test_a_process_that_crashes(server: Httpd):
    start = len(server.error_log())
    assert status(server, "/app/slow", "crash", RIGHT) == 500
    server.wait_for_log("SIGSEGV", start=start)
    assert status(server, "/app/slow", "alice", RIGHT) == 200


def test_no_password_in_the_logs(server: Httpd):
    """Those of this file's requests, and of a script that raises an exception."""
    for user in ("alice", "raise", "list"):
        for password in (RIGHT, WRONG):
            status(server, "/app", user, password)
            status(server, "/app/cached", user, password)
    server.wait_for_log("was raised by check_password")
    log = server.error_log() + server.output()
    pairs = [f"{user}:{password}".encode() for user in ("alice", "raise", "list", "hang", "crash", "renamed") for password in (RIGHT, WRONG)]
    hashed = hashlib.md5(f"alice:the realm:{RIGHT}".encode()).hexdigest()
    secrets = [RIGHT, WRONG, hashed, *(base64.b64encode(pair).decode().rstrip("=") for pair in pairs)]
    assert "WSGI" in log and not [secret for secret in secrets if secret in log]
