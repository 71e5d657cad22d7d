"""A dispatch script in a site's daemon chooses for that site, and sends no request to httpd or to another site."""

from __future__ import annotations

import pytest

from httpd import Httpd

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

CONFIGURATION = """
WSGIPythonHome @PYTHON@
WSGIDaemonProcess alice python-home=@PYTHON@ threads=2
WSGIDaemonProcess bob python-home=@PYTHON@ threads=2
WSGIDaemonProcess carol python-home=@PYTHON@ threads=2
SetEnvIf Request_URI . OWN=alice
WSGIScriptAlias /app @APPS@/environ.wsgi process-group=alice application-group=%{GLOBAL}
WSGIScriptAlias /listed @APPS@/environ.wsgi process-group=alice application-group=%{GLOBAL}
WSGIScriptAlias /bob @APPS@/environ.wsgi process-group=bob application-group=%{GLOBAL}
WSGIScriptAlias /embedded @APPS@/environ.wsgi
WSGIDispatchScript @APPS@/dispatch.wsgi process-group=alice
<Location /listed>
    WSGIRestrictProcess alice bob %{GLOBAL}
</Location>
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def asked(server: Httpd, path: str, said: dict[str, str]):
    return server.get(path, headers={f"X-{name}": value for name, value in said.items()})


@pytest.mark.parametrize("path, said, elsewhere", [
    ("/app/x", {"Process": "global"}, "inside httpd: choose a process group"),
    ("/app/x", {"Process": "empty"}, "inside httpd"),
    ("/app/x", {"Process": "bob"}, r"in the process group 'bob': list .*\(WSGIRestrictProcess alice bob\)"),
    ("/app/x", {"Process": "bob", "Application": "x"}, "in the process group 'bob'"),
    ("/bob/x", {"Application": "x"}, "in the process group 'bob'"),
    ("/bob/x", {"Callable": "wsgi_callable"}, "in the process group 'bob'"),
    ("/embedded/x", {"Application": "x"}, "inside httpd"),
    ("/embedded/x", {"Callable": "wsgi_callable"}, "inside httpd"),
    ("/listed/x", {"Process": "global"}, "inside httpd"),
])  # fmt: skip
def test_what_is_not_the_sites(server: Httpd, path: str, said: dict[str, str], elsewhere: str):
    start = len(server.error_log())
    assert asked(server, path, said).status_code == 500
    server.wait_for_log(f"WSGI206.* at .*httpd.conf:.* in the process group 'alice' .*which would run {elsewhere}", start=start)


@pytest.mark.parametrize("name", ["Process", "Application", "Callable"])
def test_variables_are_not_the_sites(server: Httpd, name: str):
    start = len(server.error_log())
    assert asked(server, "/app/x", {name: "%{ENV:OWN}"}).status_code == 500
    server.wait_for_log(r"WSGI206.* may not choose %\{ENV:OWN\}", start=start)


@pytest.mark.parametrize("path, said, expected", [
    ("/app/x", {"Process": "alice", "Application": "x", "Callable": "wsgi_callable"}, ("alice", "x", "wsgi_callable")),
    ("/app/x", {"Application": "%{HOST}"}, None),
    ("/bob/x", {}, ("bob", "", "application")),
    ("/listed/x", {"Process": "bob", "Application": "x"}, ("bob", "x", "application")),
])  # fmt: skip
def test_what_is(server: Httpd, path: str, said: dict[str, str], expected: tuple[str, str, str] | None):
    answer = asked(server, path, said)
    assert answer.status_code == 200, answer.text
    names = ("mod_wsgi.process_group", "mod_wsgi.application_group", "mod_wsgi.callable_object")
    assert expected is None or tuple(answer.json()[name][1] for name in names) == expected
