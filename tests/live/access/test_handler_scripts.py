"""WSGIHandlerScript: a script answers for the files that httpd's configuration gives to a handler of its name."""

from __future__ import annotations

import base64

import pytest

from httpd import Httpd
from machine import libexec

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

CONFIGURATION = f"""
LoadModule actions_module {libexec()}/mod_actions.so
WSGIDaemonProcess site python-home=@PYTHON@
WSGIHandlerScript by-set @APPS@/handler.wsgi process-group=site application-group=handlers
WSGIHandlerScript by-extension @APPS@/handler.wsgi process-group=site application-group=%{{GLOBAL}}
WSGIHandlerScript by-rule @APPS@/handler.wsgi process-group=site pass-authorization=On
WSGIHandlerScript no-script @APPS@/nowhere.wsgi process-group=site
WSGIHandlerScript no-function @APPS@/hello.wsgi process-group=site
WSGIHandlerScript wsgi-script @APPS@/handler.wsgi process-group=site
AddHandler by-extension .ext
Action by-action /pages/a.ext
AddHandler by-action .act
RewriteEngine On
RewriteRule ^/rewritten/(.*)$ @ROOT@/htdocs/pages/$1 [H=by-rule]
<Location /set>
    SetHandler by-set
</Location>
<Location /virtual>
    SetHandler by-set
</Location>
<Location /no-script>
    SetHandler no-script
</Location>
<Location /no-function>
    SetHandler no-function
</Location>
<Location /set/strict>
    AcceptPathInfo Off
</Location>
<Location /set/other>
    WSGIHandlerScript by-set @APPS@/handler.wsgi process-group=site application-group=inner
</Location>
<Directory @ROOT@/htdocs/pages>
    <Files "*.wsgi">
        SetHandler wsgi-script
    </Files>
</Directory>
"""

FILES = {"set/a.txt": "A", "set/strict/a.txt": "S", "set/other/a.txt": "O", "pages/a.ext": "E", "pages/b.txt": "B", "pages/c.wsgi": "C",
         "pages/d.act": "D", "no-script/x": "", "no-function/x": ""}  # fmt: skip


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    for name, text in FILES.items():
        file = server.root / "htdocs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return server.start()


CREDENTIALS = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}


def seen(server: Httpd, path: str) -> dict:
    answer = server.get(path, headers=CREDENTIALS)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path, file, handler, application_group, info", [
    ("/set/a.txt", "set/a.txt", "by-set", "handlers", ""),
    ("/set/a.txt/more/info?q=1", "set/a.txt", "by-set", "handlers", "/more/info"),
    ("/set/other/a.txt", "set/other/a.txt", "by-set", "inner", ""),
    ("/pages/a.ext", "pages/a.ext", "by-extension", "", ""),
    ("/rewritten/b.txt", "pages/b.txt", "by-rule", None, ""),
    ("/pages/c.wsgi", "pages/c.wsgi", "wsgi-script", None, ""),
])  # fmt: skip
def test_what_a_handler_sees(server: Httpd, mode: str, path: str, file: str, handler: str, application_group: str | None, info: str):
    environ = seen(server, path)
    assert environ["file"] == FILES[file]
    assert environ["SCRIPT_FILENAME"] == str(server.root / "htdocs" / file)
    assert environ["mod_wsgi.handler_script"] == str(server.root / "apps/handler.wsgi")
    assert (environ["mod_wsgi.request_handler"], environ["mod_wsgi.callable_object"]) == (handler, "handle_request")
    assert environ["mod_wsgi.process_group"] == ("site" if mode == "daemon" else "")
    of_script = f"localhost:{server.ports['PORT']}|{environ['mod_wsgi.handler_script']}"  # not of the URL
    assert environ["mod_wsgi.application_group"] == (of_script if application_group is None else application_group)
    path = path.partition("?")[0]
    assert environ["SCRIPT_NAME"] + environ["PATH_INFO"] == path and environ["PATH_INFO"] == info
    assert ("HTTP_AUTHORIZATION" in environ) == (handler == "by-rule")


def test_a_handler_that_an_action_leads_to(server: Httpd):
    environ = seen(server, "/pages/d.act")
    assert (environ["file"], environ["REDIRECT_URL"], environ["PATH_INFO"]) == ("E", "/pages/d.act", "/pages/d.act")
    assert (environ["REDIRECT_HANDLER"], environ["mod_wsgi.request_handler"]) == ("by-action", "by-extension")


def test_bodies_and_methods(server: Httpd):
    answer = server.post("/set/a.txt", content="x" * 100_000).json()
    assert (answer["REQUEST_METHOD"], len(answer["body"])) == ("POST", 100_000)
    assert server.request("HEAD", "/set/a.txt").status_code == 200


def test_path_info_that_is_refused(server: Httpd):
    assert server.get("/set/strict/a.txt").status_code == 200
    assert server.get("/set/strict/a.txt/more").status_code == 404


def test_files_that_are_not_there_are_the_scripts_matter(server: Httpd):
    start = len(server.error_log())
    assert server.get("/virtual/none").status_code == 500
    server.wait_for_log("FileNotFoundError", start=start)


@pytest.mark.parametrize("path, message", {
    "/no-script/x": "WSGI252: the script '.*nowhere.wsgi' of WSGIHandlerScript",
    "/no-function/x": r"WSGI405: the script '.*' has no callable 'handle_request'. Define handle_request\(environ, start_response\)",
}.items())  # fmt: skip
def test_scripts_that_cannot_answer(server: Httpd, path: str, message: str):
    start = len(server.error_log())
    assert server.get(path).status_code == 500
    server.wait_for_log(message, start=start)
    assert "callable-object" not in server.error_log()[start:] and "WSGICallableObject" not in server.error_log()[start:]


@pytest.mark.daemon_mode
def test_no_child_has_a_python(server: Httpd):
    assert server.get("/set/a.txt").status_code == 200
    assert server.children() and not [child.pid for child in server.children() if "lib-dynload" in child.maps or "libpython" in child.maps]
