"""WSGIDispatchScript: a script chooses process group, application group and callable of each request."""

from __future__ import annotations

import pytest

from httpd import Httpd

pytestmark = pytest.mark.any_mpm

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2
WSGIDaemonProcess other python-home=@PYTHON@ threads=2
WSGIDaemonProcess third python-home=@PYTHON@
WSGIRestrictEmbedded On
WSGIRestrictProcess site other sit %{GLOBAL}
WSGIProcessGroup site
WSGIApplicationGroup configured
WSGIScriptAlias /app @APPS@/environ.wsgi
WSGIScriptAlias /some @APPS@/environ.wsgi
WSGIScriptAlias /none @APPS@/environ.wsgi
WSGIScriptAlias /missing @APPS@/environ.wsgi
WSGIScriptAlias /restricted @APPS@/environ.wsgi
WSGIDispatchScript @APPS@/dispatch.wsgi process-group=site
<Location /some>
    WSGIDispatchScript @ROOT@/one.wsgi process-group=other
</Location>
<Location /none>
    WSGIDispatchScript @APPS@/hello.wsgi process-group=site
</Location>
<Location /missing>
    WSGIDispatchScript @APPS@/nowhere.wsgi process-group=site
</Location>
<Location /restricted>
    WSGIRestrictProcess site
</Location>
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    (server.root / "one.wsgi").write_text("def application_group(environ):\n    return 'chosen'\n")
    assert "serves no script" not in server.configtest()[1]  # `third` could be chosen
    return server.start()


def target(server: Httpd, path: str = "/app/x", **said: str) -> tuple[str, str, str]:
    answer = server.get(path, headers={f"X-{name}": value for name, value in said.items()})
    assert answer.status_code == 200, answer.text
    names = ("mod_wsgi.process_group", "mod_wsgi.application_group", "mod_wsgi.callable_object")
    return tuple(answer.json()[name][1] for name in names)


@pytest.mark.parametrize("said, expected", [
    ({}, ("site", "configured", "application")),
    ({"Process": "other"}, ("other", "configured", "application")),
    ({"Process": "bytes"}, ("other", "configured", "application")),
    ({"Application": "mine"}, ("site", "mine", "application")),
    ({"Application": "global"}, ("site", "", "application")),
    ({"Application": "empty"}, ("site", "", "application")),
    ({"Callable": "wsgi_callable"}, ("site", "configured", "wsgi_callable")),
    ({"Process": "other", "Application": "bytes", "Callable": "wsgi_callable"}, ("other", "other", "wsgi_callable")),
])  # fmt: skip
def test_what_the_functions_choose(server: Httpd, said: dict[str, str], expected: tuple[str, str, str]):
    assert target(server, **said) == expected


def test_scripts_with_some_of_the_functions_or_none(server: Httpd):
    assert target(server, "/some/x") == ("site", "chosen", "application")
    assert target(server, "/none/x") == ("site", "configured", "application")


@pytest.mark.parametrize("name, function", [("Process", "process_group"), ("Application", "application_group"), ("Callable", "callable_object")])
@pytest.mark.parametrize("said", ["number", "list", "nul", "raise"])
def test_what_no_function_may_say(server: Httpd, name: str, function: str, said: str):
    start = len(server.error_log())
    assert server.get("/app/x", headers={f"X-{name}": said}).status_code == 500
    server.wait_for_log("was raised by the script '.*dispatch.wsgi', asked about the request GET /app/x", start=start)
    cause = "no such place" if said == "raise" else function + r"\(\) must return a name .* or None, not (int|list|str)"
    server.wait_for_log(cause, start=start)


@pytest.mark.parametrize("said, message", [
    ({"Process": "sit"}, r"there is no process group 'sit' \(chosen by WSGIDispatchScript at .*httpd.conf:\d+\).*site"),
    ({"Process": "global"}, "WSGIRestrictEmbedded forbids"),
    ({"Callable": "no_such"}, "no_such"),
])  # fmt: skip
def test_targets_that_cannot_run(server: Httpd, said: dict[str, str], message: str):
    start = len(server.error_log())
    assert server.get("/app/x", headers={f"X-{name}": value for name, value in said.items()}).status_code == 500
    server.wait_for_log(message, start=start)


def test_a_choice_that_is_not_allowed_here(server: Httpd):
    assert target(server, "/restricted/x") == ("site", "configured", "application")
    start = len(server.error_log())
    assert server.get("/restricted/x", headers={"X-Process": "other"}).status_code == 500
    server.wait_for_log("WSGIRestrictProcess does not allow the process group 'other'", start=start)


def test_a_script_that_is_missing(server: Httpd):
    start = len(server.error_log())
    assert server.get("/missing/x").status_code == 500
    server.wait_for_log("nowhere.wsgi' of WSGIDispatchScript", start=start)


def test_what_it_knows_of_the_request(server: Httpd):
    start = len(server.error_log())
    assert server.get("/app/x", headers={"X-Process": "environ", "Authorization": "Basic eDp5"}).status_code == 200
    server.wait_for_log(f"told: /app /x {server.root}/apps/environ.wsgi site  False", start=start)


def test_the_choice_may_happen_in_a_daemon(server: Httpd):
    assert target(server) == ("site", "configured", "application")
    assert server.children() and not [child.pid for child in server.children() if "lib-dynload" in child.maps or "libpython" in child.maps]


def test_in_a_child_as_in_mod_wsgi(serve_once):
    server = serve_once(
        "WSGIDaemonProcess site python-home=@PYTHON@\nWSGIDaemonProcess other python-home=@PYTHON@\nWSGIPythonHome @PYTHON@\n"
        "WSGIScriptAlias /app @APPS@/environ.wsgi process-group=site application-group=%{GLOBAL}\n"
        "WSGIDispatchScript @APPS@/dispatch.wsgi application-group=chooser\n"
    )
    assert target(server) == ("site", "", "application")
    assert target(server, Process="other", Application="bytes") == ("other", "other", "application")
    start = len(server.error_log())
    assert server.get("/app/x", headers={"X-Process": "environ"}).status_code == 200
    server.wait_for_log(f"told: /app /x {server.root}/apps/environ.wsgi  chooser False", start=start)


@pytest.mark.ours
def test_no_variable_passes_for_where_the_script_runs(serve_once):
    names = ("mod_wsgi.process_group", "mod_wsgi.application_group", "apache.version", "mod_wsgi.version")
    server = serve_once.prepare(
        "WSGIDaemonProcess site python-home=@PYTHON@\n"
        "WSGIScriptAlias /app @APPS@/environ.wsgi process-group=site application-group=%{GLOBAL}\n"
        "WSGIDispatchScript @ROOT@/tells.wsgi process-group=site application-group=chooser\n"
        + "".join(f"SetEnvIf Request_URI . {name}=stranger\n" for name in names)
    )
    tells = f"print('told:', *[environ[name] for name in {names}], file=environ['wsgi.errors'])"
    (server.root / "tells.wsgi").write_text(f"def process_group(environ):\n    {tells}\n")
    server.start()
    assert server.get("/app/x").status_code == 200
    server.wait_for_log(r"told: site chooser \(2, 4, \d+\) \(6, 1, 1\)")
