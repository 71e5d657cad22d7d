"""Directives that are right: their scopes, how scopes merge, which mount wins, what group names mean."""

from __future__ import annotations

import json
import shutil

import pytest

import raw_http
from httpd import LIVE, Httpd

CONFIGURATION = """
# The groups stand at the end of the file: their order does not matter.
WSGIProcessGroup one

WSGIScriptAlias /mounts/inner @APPS@/environ.wsgi application-group=inner
WSGIScriptAlias /mounts @APPS@/environ.wsgi application-group=outer
WSGIScriptAlias /covering @APPS@/environ.wsgi application-group=outer
WSGIScriptAlias /covering/inner @APPS@/environ.wsgi application-group=inner
WSGIScriptAlias /where @APPS@/environ.wsgi application-group=main-server
WSGIScriptAlias /static @APPS@/environ.wsgi
Alias /static @ROOT@/htdocs/static

WSGIScriptAlias /scope/option @APPS@/environ.wsgi process-group=one
WSGIScriptAlias /scope @APPS@/environ.wsgi
WSGIScriptAlias /directory @ROOT@/folder/environ.wsgi
WSGIScriptAlias /denied @ROOT@/denied/environ.wsgi
WSGIScriptAlias /strict @APPS@/environ.wsgi
WSGIScriptAlias /foreign @APPS@/environ.wsgi

<Location /scope/two>
    WSGIProcessGroup two
</Location>
<Location /scope/two/deep>
    WSGIApplicationGroup deep
</Location>
<Location /scope/two/back>
    WSGIProcessGroup one
</Location>
<Location /scope/option>
    WSGIProcessGroup two
</Location>
<Directory @ROOT@/folder>
    WSGIProcessGroup two
    WSGICallableObject wsgi_callable
</Directory>
<Location /directory/location>
    WSGIProcessGroup one
</Location>
<Directory @ROOT@/denied>
    Require all denied
</Directory>
<Location /strict>
    AcceptPathInfo Off
</Location>
<Location /foreign>
    WSGIProcessGroup of-the-host
</Location>

<Location /scope/global>
    WSGIApplicationGroup %{GLOBAL}
</Location>
<Location /scope/server>
    WSGIApplicationGroup %{SERVER}
</Location>
<Location /scope/host>
    WSGIApplicationGroup %{HOST}
</Location>
<Location /scope/resource>
    WSGIApplicationGroup %{RESOURCE}
</Location>
<Location /scope/env>
    SetEnv GROUP_OF_PROCESS two
    SetEnv GROUP_OF_APPLICATION %{GLOBAL}
    SetEnv NAME_OF_CALLABLE wsgi_callable
    WSGIProcessGroup %{ENV:GROUP_OF_PROCESS}
    WSGIApplicationGroup %{ENV:GROUP_OF_APPLICATION}
    WSGICallableObject %{ENV:NAME_OF_CALLABLE}
</Location>
RewriteEngine On
RewriteRule ^/scope/rewritten - [E=CHOSEN:two]
<Location /scope/rewritten>
    WSGIProcessGroup %{ENV:CHOSEN}
</Location>

<Directory @ROOT@/htdocs/handler>
    AddHandler wsgi-script .wsgi
    Options ExecCGI
</Directory>
<Directory @ROOT@/htdocs/noexec>
    AddHandler wsgi-script .wsgi
    Options None
</Directory>
<Directory @ROOT@/htdocs/type>
    SetHandler application/x-httpd-wsgi
    Options ExecCGI
</Directory>
<Directory @ROOT@/htdocs/ht>
    AddHandler wsgi-script .wsgi
    Options ExecCGI
    AllowOverride FileInfo
</Directory>
<Directory @ROOT@/htdocs/ht/forbidden>
    AllowOverride AuthConfig
</Directory>
<Directory @ROOT@/htdocs/ht/ignored>
    AllowOverride None
</Directory>

<IfModule mod_wsgi.c>
    WSGIScriptAlias /by-file @APPS@/hello.wsgi
</IfModule>
<IfModule wsgi_module>
    WSGIScriptAlias /by-name @APPS@/hello.wsgi
</IfModule>
<IfModule !wsgi_module>
    WSGIScriptAlias /by-absence @APPS@/hello.wsgi
</IfModule>

Listen 127.0.0.1:@PORT2@
<VirtualHost *:@PORT2@>
    ServerName host.example
    WSGIProcessGroup of-the-host
    WSGIScriptAlias /inherited @APPS@/environ.wsgi process-group=one
    WSGIScriptAlias / @APPS@/environ.wsgi application-group=virtual-host
    WSGIDaemonProcess of-the-host python-home=@PYTHON@ threads=2
</VirtualHost>
WSGIDaemonProcess one python-home=@PYTHON@ threads=2
WSGIDaemonProcess two python-home=@PYTHON@ threads=2
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    script = LIVE / "apps" / "environ.wsgi"
    htdocs = server.root / "htdocs"
    folders = [server.root / "folder", server.root / "denied"]
    folders += [htdocs / name for name in ("handler", "noexec", "type", "ht", "ht/forbidden", "ht/ignored", "ht/group")]
    for folder in folders:
        folder.mkdir()
        shutil.copy(script, folder)
    (htdocs / "static").mkdir()
    (htdocs / "static" / "style.css").write_text("body {}")
    (htdocs / "ht" / ".htaccess").write_text(
        "WSGICallableObject wsgi_callable\nWSGIPassAuthorization On\nWSGIScriptReloading Off\n"
    )
    (htdocs / "ht" / "forbidden" / ".htaccess").write_text("WSGICallableObject application\n")
    (htdocs / "ht" / "ignored" / ".htaccess").write_text("WSGICallableObject no_such_callable\n")
    (htdocs / "ht" / "group" / ".htaccess").write_text("WSGIProcessGroup two\n")
    return server.start()


def environ(
    server: Httpd, path: str, *, port: str = "PORT", host: str = "localhost", headers: tuple[str, ...] = ()
) -> dict:
    answer = raw_http.get(server.ports[port], path, *headers, host=host)
    assert answer.status == 200, answer
    return {key: value for key, (_, value) in json.loads(answer.body).items()}


def process_group(*arguments, **options) -> str:
    return environ(*arguments, **options)["mod_wsgi.process_group"]


def application_group(*arguments, **options) -> str:
    return environ(*arguments, **options)["mod_wsgi.application_group"]


# Scopes and merging


@pytest.mark.parametrize(
    "path, group",
    [
        ("/scope", "one"),
        ("/scope/two", "two"),
        ("/scope/two/deep", "two"),
        ("/scope/two/back", "one"),
        ("/scope/option", "one"),
        ("/directory", "two"),
        ("/directory/location", "one"),
        ("/scope/env", "two"),
        ("/scope/rewritten", "two"),
    ],
)
def test_process_group(server: Httpd, path: str, group: str):
    assert process_group(server, path) == group


def test_process_group_of_a_virtual_host(server: Httpd):
    assert process_group(server, "/", port="PORT2", host="host.example") == "of-the-host"
    assert process_group(server, "/inherited", port="PORT2", host="host.example") == "one"


def test_settings_of_an_inner_scope_leave_the_others(server: Httpd):
    deep = environ(server, "/scope/two/deep")
    assert (deep["mod_wsgi.process_group"], deep["mod_wsgi.application_group"]) == ("two", "deep")


def test_callable_of_a_directory(server: Httpd):
    assert environ(server, "/directory")["test.callable"] == "wsgi_callable"


def test_group_of_another_virtual_host_is_refused(server: Httpd):
    start = len(server.error_log())
    assert server.get("/foreign").status_code == 500
    server.wait_for_log("of-the-host", start=start)


def test_htaccess(server: Httpd):
    seen = environ(server, "/ht/environ.wsgi", headers=("Authorization: Bearer token",))
    assert (seen["test.callable"], seen["HTTP_AUTHORIZATION"]) == ("wsgi_callable", "Bearer token")


def test_htaccess_that_is_not_allowed(server: Httpd):
    start = len(server.error_log())
    assert server.get("/ht/forbidden/environ.wsgi").status_code == 500
    server.wait_for_log("WSGICallableObject", start=start)


def test_htaccess_that_is_not_read(server: Httpd):
    assert server.get("/ht/ignored/environ.wsgi").status_code == 200


def test_process_group_is_not_for_htaccess(server: Httpd):
    start = len(server.error_log())
    assert server.get("/ht/group/environ.wsgi").status_code == 500
    server.wait_for_log("WSGIProcessGroup", start=start)


# Mounts


@pytest.mark.parametrize(
    "path, group, script_name",
    [
        ("/mounts/inner/x", "inner", "/mounts/inner"),
        ("/mounts/other", "outer", "/mounts"),
        ("/covering/inner/x", "outer", "/covering"),
    ],
)
def test_the_first_mount_that_matches_wins(server: Httpd, path: str, group: str, script_name: str):
    seen = environ(server, path)
    assert (seen["mod_wsgi.application_group"], seen["SCRIPT_NAME"]) == (group, script_name)


def test_mounts_of_the_virtual_host_come_before_those_of_the_server(server: Httpd):
    assert application_group(server, "/where") == "main-server"
    assert application_group(server, "/where", port="PORT2", host="host.example") == "virtual-host"


def test_alias_wins(server: Httpd):
    answer = server.get("/static/style.css")
    assert (answer.status_code, answer.text) == (200, "body {}")
    assert server.get("/static/missing.css").status_code == 404


def test_access_to_the_script_can_be_denied(server: Httpd):
    assert server.get("/denied").status_code == 403


def test_path_info_can_be_refused(server: Httpd):
    assert server.get("/strict").status_code == 200
    assert server.get("/strict/more").status_code == 404


def test_if_module(server: Httpd):
    assert [server.get(path).status_code for path in ("/by-file", "/by-name", "/by-absence")] == [200, 200, 404]


# Handlers


def test_add_handler(server: Httpd):
    seen = environ(server, "/handler/environ.wsgi/more")
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/handler/environ.wsgi", "/more")
    assert seen["SCRIPT_FILENAME"] == f"{server.root}/htdocs/handler/environ.wsgi"
    assert seen["mod_wsgi.request_handler"] == "wsgi-script"


def test_handler_needs_exec_cgi(server: Httpd):
    start = len(server.error_log())
    assert server.get("/noexec/environ.wsgi").status_code == 403
    server.wait_for_log("ExecCGI", start=start)


def test_handler_by_type(server: Httpd):
    assert environ(server, "/type/environ.wsgi")["SCRIPT_NAME"] == "/type/environ.wsgi"


# Names of application groups


def test_application_group_names(server: Httpd):
    port = server.ports["PORT"]
    expected = {
        "/scope/global": "",
        "/scope/server": f"localhost:{port}",
        "/scope/resource": f"localhost:{port}|/scope",
        "/scope/env": "",
    }
    assert {path: application_group(server, path) for path in expected} == expected


@pytest.mark.parametrize("host", ["some.example", "some.example:8080"])
def test_application_group_of_the_host_header(server: Httpd, host: str):
    """The host is the client's; the port is the server's, or each port would make an interpreter."""
    assert application_group(server, "/scope/host", host=host) == server.fill_in("some.example:@PORT@")


def test_application_group_without_a_usual_port(server: Httpd):
    assert application_group(server, "/inherited", port="PORT2", host="host.example") == "host.example|/inherited"


def test_callable_by_variable(server: Httpd):
    assert environ(server, "/scope/env")["test.callable"] == "wsgi_callable"
