"""Scripts for access control, in both modes: what they say is what clients get, and no mishap of theirs ever grants access."""

from __future__ import annotations

import json
import time

import pytest

from httpd import Httpd
from machine import libexec

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

RIGHT = "pass-right-7391"

BASIC = """
    AuthType Basic
    AuthName private
    AuthBasicProvider wsgi
    WSGIAuthUserScript @APPS@/access.wsgi process-group=site
"""

GROUPS = BASIC + "    WSGIAuthGroupScript @APPS@/access.wsgi process-group=site\n"

CONFIGURATION = f"""
LoadModule include_module {libexec()}/mod_include.so
LoadModule access_compat_module {libexec()}/mod_access_compat.so
LoadModule authn_anon_module {libexec()}/mod_authn_anon.so
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 socket-timeout=1 processes=2
WSGIScriptAlias /app @APPS@/environ.wsgi process-group=site
WSGIScriptAlias /passed-on @APPS@/passed_on.wsgi process-group=site
WSGIPassAuthorization On
DirectoryIndex index.html
<Location /access>
    WSGIAccessScript @APPS@/access.wsgi process-group=site
</Location>
<Location /app/basic>{BASIC}
    Require valid-user
</Location>
<Location /basic>{BASIC}
    Require valid-user
    CGIPassAuth On
</Location>
<Location /others-too>{BASIC}
    AuthBasicProvider wsgi anon
    Anonymous stranger alice
    Require valid-user
</Location>
<Location /group>{GROUPS}
    Require wsgi-group users "two words" отдел
</Location>
<Location /any>{GROUPS}
    <RequireAny>
        Require wsgi-group staff
        Require user bob
    </RequireAny>
</Location>
<Location /not>{GROUPS}
    <RequireAll>
        Require valid-user
        Require not wsgi-group banned
    </RequireAll>
</Location>
<Location /satisfy>{BASIC}
    Require valid-user
    Order deny,allow
    Deny from all
    Satisfy Any
</Location>
<Location /either>{BASIC}
    WSGIAccessScript @APPS@/access.wsgi process-group=site
    Require valid-user
    Satisfy Any
</Location>
<Location /no-user-script>
    AuthType Basic
    AuthName private
    AuthBasicProvider wsgi
    Require valid-user
</Location>
<Location /no-group-script>{BASIC}
    Require wsgi-group staff
</Location>
<Location /missing-script>
    WSGIAccessScript @APPS@/nowhere.wsgi process-group=site
</Location>
<Location /missing-function>
    WSGIAccessScript @APPS@/hello.wsgi process-group=site
</Location>
<Location /broken-script>
    WSGIAccessScript @APPS@/syntax_error.wsgi process-group=site
</Location>
<Location /with-page>
    WSGIAccessScript @APPS@/access.wsgi process-group=site
    ErrorDocument 403 /app/page
</Location>
<Location /with-guarded-page>
    WSGIAccessScript @APPS@/access.wsgi process-group=site
    ErrorDocument 403 /access/index.html
</Location>
<Directory @ROOT@/htdocs/including>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
"""

PLACES = (
    "access", "basic", "others-too", "group", "any", "not", "satisfy", "either", "no-user-script", "no-group-script",
    "missing-script", "missing-function", "broken-script", "with-page", "with-guarded-page",
)  # fmt: skip
CONTENT = "the guarded page"


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    server.writable_folder("told")
    for place in PLACES:
        folder = server.root / "htdocs" / place
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(CONTENT)
    folder = server.root / "htdocs/including"
    folder.mkdir()
    for place in ("access", "basic"):
        (folder / f"{place}.shtml").write_text(f'[<!--#include virtual="/{place}/index.html" -->]')
    return server.start()


def calls(server: Httpd) -> list[dict]:
    return [json.loads(line) for line in (server.root / "told/calls").read_text().splitlines()]


def status(server: Httpd, path: str, user: str | None = None, password: str | bytes = RIGHT, **headers: str) -> int:
    """Of a request for this path; wherever access is not granted, nothing of the page is in the answer."""
    answer = server.get(path, auth=(user, password) if user else None, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert (CONTENT in answer.text) == (answer.status_code == 200)
    return answer.status_code


@pytest.mark.parametrize("said, expected", [("True", 200), ("None", 200), ("False", 403), ("1", 500), ("text", 500), ("list", 500), ("raise", 500)])
def test_what_an_access_script_says(server: Httpd, said: str, expected: int):
    start = len(server.error_log())
    assert status(server, "/access/", X_Access=said) == expected
    reason = {403: "WSGI255: access to '/access/'", 500: "WSGI452: allow_access"}.get(expected)
    reason = "the script does not know" if said == "raise" else reason
    if reason:
        server.wait_for_log(reason, start=start)


@pytest.mark.parametrize("user, expected", [
    ("alice", 200), ("True", 200), ("renamed", 200), ("text", 200), ("False", 401), ("None", 401), ("stranger", 401),
    ("1", 500), ("list", 500), ("empty", 500), ("raise", 500),
])  # fmt: skip
def test_what_a_script_for_users_says(server: Httpd, user: str, expected: int):
    assert status(server, "/basic/", user) == expected
    assert status(server, "/basic/") == 401


def test_the_exceptions_place_is_told(server: Httpd):
    start = len(server.error_log())
    assert status(server, "/basic/?q", "raise") == 500
    line = server.wait_for_log("was raised by check_password", start=start)
    assert line.endswith("access.wsgi', asked about the request GET /basic/")
    server.wait_for_log("RuntimeError: the script does not know", start=start)


def test_a_name_in_place_of_the_users(server: Httpd):
    seen = server.get("/app/basic", auth=("renamed", RIGHT)).json()
    assert seen["REMOTE_USER"] == ["str", "Иван".encode().decode("latin-1")]
    assert server.get("/app/basic", auth=("renamed", "wrong")).status_code == 401
    assert status(server, "/group/", "renamed") == 200


def test_users_whom_the_script_does_not_know_are_the_next_providers(server: Httpd):
    assert status(server, "/others-too/", "stranger") == 200
    assert status(server, "/others-too/", "nobody-knows-me", "wrong") == 401
    assert status(server, "/others-too/", "alice", "wrong") == 401
    assert status(server, "/others-too/", "raise") == 500


@pytest.mark.parametrize("user, expected", [
    ("alice", 200), ("carol", 200), ("Иван", 200), ("bob", 401), ("other", 401),
    ("nothing", 500), ("letters", 500), ("numbers", 500), ("mixed", 500), ("stumble", 500),
])  # fmt: skip
def test_groups(server: Httpd, user: str, expected: int):
    assert status(server, "/group/", user) == expected


@pytest.mark.parametrize("place, answers", {
    "any": {"alice": 200, "bob": 200, "carol": 401, "nothing": 500},
    "not": {"alice": 200, "bob": 200, "carol": 401, "nothing": 500, "letters": 500, "stumble": 500},
}.items())  # fmt: skip
def test_groups_among_other_requirements(server: Httpd, place: str, answers: dict[str, int]):
    assert {user: status(server, f"/{place}/", user) for user in answers} == answers
    assert status(server, f"/{place}/", "alice", "wrong") == 401
    assert status(server, f"/{place}/") == 401


def test_satisfy_any(server: Httpd):
    assert (status(server, "/satisfy/"), status(server, "/satisfy/", "alice"), status(server, "/satisfy/", "alice", "wrong")) == (401, 200, 401)
    assert status(server, "/satisfy/", "raise") == 500
    assert status(server, "/either/", X_Access="True") == 200
    for said, expected in (("False", 401), ("raise", 401), ("text", 401)):
        assert status(server, "/either/", X_Access=said) == expected
        assert status(server, "/either/", "alice", X_Access=said) == 200
        assert status(server, "/either/", "alice", "wrong", X_Access=said) == 401


@pytest.mark.parametrize("path, message", {
    "/no-user-script/": r"WSGI253: the provider 'wsgi' .* \(AuthBasicProvider at .*httpd.conf:@LINE@\)",
    "/no-group-script/": r"WSGI254: 'Require wsgi-group' needs .* \(Require at .*httpd.conf:@LINE@\)",
    "/missing-script/": "WSGI252: the script '.*nowhere.wsgi' of WSGIAccessScript \\(at .*\\) cannot be read",
    "/missing-function/": "WSGI451: the script '.*hello.wsgi' has no function allow_access\\(\\), which WSGIAccessScript calls",
    "/broken-script/": "SyntaxError",
}.items())  # fmt: skip
def test_a_script_that_cannot_answer(server: Httpd, path: str, message: str):
    start = len(server.error_log())
    assert status(server, path, "alice") == 500
    lines = {"/no-user-script/": "AuthBasicProvider wsgi", "/no-group-script/": "Require wsgi-group staff"}
    section = server.configuration_file.read_text().partition(f"<Location {path.rstrip('/')}>")[0].count("\n") + 1
    after = server.configuration_file.read_text().splitlines()[section:]
    offset = next((at for at, line in enumerate(after, 1) if line.strip() == lines.get(path)), 0)
    server.wait_for_log(message.replace("@LINE@", str(section + offset)), start=start)


@pytest.mark.daemon_mode
def test_a_script_that_hangs(server: Httpd):
    start, begun = len(server.error_log()), time.monotonic()
    assert status(server, "/access/", X_Access="hang") == 500
    assert 1 <= time.monotonic() - begun < 5
    server.wait_for_log("socket-timeout", start=start)
    (server.root / "told/go").touch()
    assert status(server, "/access/") == 200


def test_error_documents(server: Httpd):
    answer = server.get("/with-page/", headers={"X-Access": "False"})
    seen = answer.json()  # with the application's own status, as for CGI scripts
    assert (seen["REDIRECT_URL"][1], seen["REDIRECT_STATUS"][1], CONTENT in answer.text) == ("/with-page/", "403", False)
    assert status(server, "/with-guarded-page/", X_Access="False") == 403
    assert status(server, "/with-guarded-page/", X_Access="True") == 200


def test_an_application_that_redirects_into_a_guarded_section(server: Httpd):
    for said, expected in (("True", 200), ("False", 403), ("raise", 500)):
        answer = json.dumps({"headers": [("Location", "/access/index.html")]})
        assert status(server, "/passed-on", X_Access=said, X_Answer=answer) == expected


def test_requests_within_requests(server: Httpd):
    for said, included in (("True", True), ("False", False), ("raise", False)):
        page = server.get("/including/access.shtml", headers={"X-Access": said})
        assert (page.status_code, CONTENT in page.text) == (200, included)
    for user, included in (("alice", True), ("False", False), ("raise", False)):
        page = server.get("/including/basic.shtml", auth=(user, RIGHT))
        assert (page.status_code, CONTENT in page.text) == (200, included)
    before = len(calls(server))
    assert status(server, "/basic/", "alice") == 200  # DirectoryIndex looks for index.html in a request within
    assert [call["function"] for call in calls(server)[before:]] == ["check_password"] * 2, "each by its own URL"


def test_the_environ(server: Httpd, mode: str):
    assert status(server, "/basic/?a=b", "alice", Proxy_Authorization="Basic eDp5", X_Mine="1") == 200
    seen = calls(server)[-1]
    assert (seen["function"], seen["user"], seen["REQUEST_METHOD"], seen["QUERY_STRING"]) == ("check_password", "alice", "GET", "a=b")
    assert (seen["HTTP_X_MINE"], seen["REMOTE_ADDR"], seen["SERVER_NAME"]) == ("1", "127.0.0.1", "localhost")
    assert (seen["mod_wsgi.process_group"], seen["mod_wsgi.application_group"]) == ("site" if mode == "daemon" else "", "")
    assert seen["types"]["apache.version"] == seen["types"]["mod_wsgi.version"] == "tuple"
    assert "wsgi.errors" in seen["types"] and "wsgi.input" not in seen["types"]
    assert not [name for name in seen["types"] if "AUTHORIZATION" in name]
    assert (seen["https"], seen["protocol"], seen["nothing"]) == (False, "", "")


def test_hosts(server: Httpd):
    assert status(server, "/access/") == 200
    assert calls(server)[-1]["host"] == "127.0.0.1"
