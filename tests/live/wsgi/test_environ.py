"""The environ of a request: every key, its type and its value, and the keys that must not be there."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re

import httpx
import pytest

import raw_http
from httpd import MPM, REFERENCE, Httpd

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3 display-name=%{GROUP}
WSGIDaemonProcess single python-home=@PYTHON@ threads=1 processes=2
WSGIProcessGroup site
ServerAdmin webmaster@example.com

WSGIScriptAlias /sub @APPS@/environ.wsgi
WSGIScriptAlias /deep/er @APPS@/environ.wsgi
WSGIScriptAlias /scripts/ @APPS@/
WSGIScriptAliasMatch ^/match/([a-z]+) @APPS@/$1.wsgi
WSGIScriptAlias /single @APPS@/environ.wsgi process-group=single
WSGIScriptAlias /main @APPS@/environ.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /named @APPS@/environ.wsgi application-group=mine callable-object=wsgi_callable
WSGIScriptAlias /authorized @APPS@/environ.wsgi pass-authorization=On
WSGIScriptAlias /passed @APPS@/environ.wsgi
WSGIScriptAlias /secret @APPS@/environ.wsgi

<Location /passed>
    WSGIPassAuthorization On
</Location>
<Location /secret>
    AuthType Basic
    AuthName secret
    AuthUserFile @ROOT@/users
    Require valid-user
</Location>
SetEnv SITE_COLOUR "deep blue"
SetEnvIf X-Shade (.+) SHADE=$1
<Location /sub>
    SetEnv PLACE sub
</Location>

Listen 127.0.0.1:@PORT2@
<VirtualHost *:@PORT2@>
    ServerName root.example
    WSGIScriptAlias / @APPS@/environ.wsgi
</VirtualHost>
Listen 127.0.0.1:@TLS@
<VirtualHost *:@TLS@>
    ServerName localhost
    SSLEngine on
    WSGIScriptAlias /plain @APPS@/environ.wsgi
    WSGIScriptAlias /exported @APPS@/environ.wsgi
    <Location /exported>
        SSLOptions +StdEnvVars
    </Location>
</VirtualHost>
"""

NEVER = (
    "PATH", "LD_LIBRARY_PATH", "GATEWAY_INTERFACE", "SERVER_SIGNATURE", "PATH_TRANSLATED", "REMOTE_HOST",
    "REMOTE_IDENT", "HTTPS", "HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_AUTHORIZATION",
    "apache.request_rec", "mod_wsgi.mount_point",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    password = base64.b64encode(hashlib.sha1(b"pass").digest()).decode()
    (server.root / "users").write_text(f"jane:{{SHA}}{password}\n")
    return server.start()


def environ(answer: httpx.Response | raw_http.Answer) -> dict[str, object]:
    """The values of the dumped environ."""
    body = answer.body if isinstance(answer, raw_http.Answer) else answer.content
    return {key: value for key, (_, value) in json.loads(body).items()}


def types(answer: httpx.Response) -> dict[str, str]:
    return {key: kind for key, (kind, _) in answer.json().items()}


def test_cgi_variables(server: Httpd):
    seen = environ(server.get("/sub/some/where?a=b&c=%20d", headers={"User-Agent": "tester"}))
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/sub",
        "PATH_INFO": "/some/where",
        "QUERY_STRING": "a=b&c=%20d",
        "REQUEST_URI": "/sub/some/where?a=b&c=%20d",
        "REQUEST_SCHEME": "http",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(server.ports["PORT"]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_ADDR": "127.0.0.1",
        "SERVER_ADMIN": "webmaster@example.com",
        "REMOTE_ADDR": "127.0.0.1",
        "DOCUMENT_ROOT": f"{server.root}/htdocs",
        "SCRIPT_FILENAME": f"{server.root}/apps/environ.wsgi",
        "CONTEXT_DOCUMENT_ROOT": f"{server.root}/htdocs",
        "CONTEXT_PREFIX": "",
        "HTTP_HOST": f"localhost:{server.ports['PORT']}",
        "HTTP_USER_AGENT": "tester",
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert seen["SERVER_SOFTWARE"].startswith("Apache/2.4")
    assert 0 < int(seen["REMOTE_PORT"]) < 65536


def test_wsgi_variables(server: Httpd):
    answer = server.get("/sub/")
    seen, kinds = environ(answer), types(answer)
    assert seen["wsgi.version"] == [1, 0] and kinds["wsgi.version"] == "tuple"
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["wsgi.run_once"] is False
    if server.mode == "daemon":
        assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"]) == (True, False)
    else:
        assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"]) == (MPM != "prefork", True)
    assert seen["wsgi.input_terminated"] is True
    assert kinds["wsgi.input"] == "Input"
    assert kinds["wsgi.file_wrapper"] == "type"
    assert "FileWrapper" in seen["wsgi.file_wrapper"]
    assert kinds["wsgi.errors"] == ("TextIOWrapper" if REFERENCE else "Log")


def test_module_variables(server: Httpd):
    answer = server.get("/sub/some/where")
    seen, kinds = environ(answer), types(answer)
    for name in ("apache.version", "mod_wsgi.version"):
        assert kinds[name] == "tuple" and len(seen[name]) == 3 and all(isinstance(part, int) for part in seen[name])
    assert seen["apache.version"][:2] == [2, 4]
    assert seen["mod_wsgi.version"] == [6, 1, 1]
    assert seen["mod_wsgi.process_group"] == ("site" if server.mode == "daemon" else "")
    assert seen["mod_wsgi.callable_object"] == "application"
    assert seen["mod_wsgi.request_handler"] == "wsgi-script"
    assert seen["mod_wsgi.handler_script"] == ""
    assert (seen["mod_wsgi.script_name"], seen["mod_wsgi.path_info"]) == ("/sub", "/some/where")
    assert (seen["mod_wsgi.listener_host"], seen["mod_wsgi.listener_port"]) == ("127.0.0.1", str(server.ports["PORT"]))
    assert kinds["mod_wsgi.request_id"] == "str" and len(seen["mod_wsgi.request_id"]) > 5
    assert int(seen["mod_wsgi.server_pid"]) in {process.pid for process in server.children()}
    assert kinds["mod_wsgi.thread_id"] == "int" and 1 <= seen["mod_wsgi.thread_id"]
    assert server.mode == "embedded" or seen["mod_wsgi.thread_id"] <= 3
    names = ["request_start", "queue_start", "daemon_start", "application_start"]
    if server.mode == "embedded":
        assert seen["mod_wsgi.queue_start"] == seen["mod_wsgi.daemon_start"] == 0.0
        names = ["request_start", "application_start"]
    times = [seen[f"mod_wsgi.{name}"] for name in names]
    assert {type(time) for time in times} == {float}
    assert times == sorted(times) and times[0] > 1.6e9 and times[-1] - times[0] < 60


def test_keys_that_are_never_there(server: Httpd):
    headers = {"Proxy": "http://evil", "Authorization": "Basic amFuZTpwYXNz"}
    seen = environ(server.post("/sub", content=b"body", headers=headers))
    assert [key for key in NEVER if key in seen] == []
    assert [key for key in seen if key.startswith("mod_wsgi.x-")] == []
    assert seen["CONTENT_LENGTH"] == "4"
    assert "CONTENT_TYPE" not in seen


def test_every_cgi_value_is_str(server: Httpd):
    kinds = types(server.post("/sub", content=b"body", headers={"Content-Type": "text/plain"}))
    assert {kind for key, kind in kinds.items() if key.isupper()} == {"str"}
    assert {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "PLACE"} <= kinds.keys()


def test_the_environ_is_a_plain_dict_of_its_own(server: Httpd):
    first, second = environ(server.get("/sub?first")), environ(server.get("/sub"))
    assert first["QUERY_STRING"] == "first"
    assert second["QUERY_STRING"] == ""
    assert first["mod_wsgi.request_id"] != second["mod_wsgi.request_id"]


def test_content_headers(server: Httpd):
    seen = environ(server.post("/sub", content=b"12345", headers={"Content-Type": "text/x-five"}))
    assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"], seen["REQUEST_METHOD"]) == ("5", "text/x-five", "POST")


def test_latin1(server: Httpd):
    port = server.ports["PORT"]
    seen = environ(raw_http.get(port, "/sub/caf%C3%A9?q=%E9", "X-Name: Jos\xe9"))
    assert seen["PATH_INFO"] == "/caf\xc3\xa9"
    assert seen["PATH_INFO"].encode("latin-1").decode("utf-8") == "/caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    assert seen["HTTP_X_NAME"] == "Jos\xe9"
    assert seen["QUERY_STRING"] == "q=%E9"


def test_headers_of_the_same_name_are_joined(server: Httpd):
    seen = environ(raw_http.get(server.ports["PORT"], "/sub", "X-List: a", "X-Other: o", "X-List: b"))
    assert re.fullmatch("a, ?b", seen["HTTP_X_LIST"])


def test_header_names_that_could_pass_for_others_are_dropped(server: Httpd):
    seen = environ(raw_http.get(server.ports["PORT"], "/sub", "X_Spoofed: yes", "X-Spoofed-Not: no", "X.Dotted: yes"))
    assert [key for key in seen if "SPOOFED" in key or "DOTTED" in key] == ["HTTP_X_SPOOFED_NOT"]


@pytest.mark.parametrize("path, expected", [("/sub", False), ("/passed", True), ("/authorized", True)])
def test_authorization_only_where_it_is_passed(server: Httpd, path: str, expected: bool):
    seen = environ(server.get(path, headers={"Authorization": "Bearer token"}))
    assert seen.get("HTTP_AUTHORIZATION") == ("Bearer token" if expected else None)


def test_user_that_apache_authenticated(server: Httpd):
    assert server.get("/secret").status_code == 401
    seen = environ(server.get("/secret", auth=("jane", "pass")))
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == ("jane", "Basic")
    assert "HTTP_AUTHORIZATION" not in seen


@pytest.mark.parametrize(
    "path, script_name, path_info",
    [
        ("/sub", "/sub", ""),
        ("/sub/", "/sub", "/"),
        ("/sub/a/b", "/sub", "/a/b"),
        ("/sub//a///b", "/sub", "/a/b"),
        ("/sub/a%20b", "/sub", "/a b"),
        ("/deep/er/x", "/deep/er", "/x"),
        ("/scripts/environ.wsgi", "/scripts/environ.wsgi", ""),
        ("/scripts/environ.wsgi/x/y", "/scripts/environ.wsgi", "/x/y"),
        ("/match/environ", "/match/environ", ""),
        ("/match/environ/z", "/match/environ", "/z"),
    ],
)
def test_script_name_and_path_info(server: Httpd, path: str, script_name: str, path_info: str):
    seen = environ(raw_http.get(server.ports["PORT"], path))
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["REQUEST_URI"]) == (script_name, path_info, path)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b/", "//a//b"])
def test_mounted_at_the_root(server: Httpd, path: str):
    seen = environ(raw_http.get(server.ports["PORT2"], path))
    collapsed = re.sub("/+", "/", path)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["REQUEST_URI"]) == ("", collapsed, path)


@pytest.mark.parametrize("path", ["/submarine", "/scripts/missing.wsgi", "/match/nothing"])
def test_what_is_not_mounted_is_not_found(server: Httpd, path: str):
    assert server.get(path).status_code == 404


def test_variables_of_the_configuration(server: Httpd):
    seen = environ(server.get("/sub", headers={"X-Shade": "dark red"}))
    assert (seen["SITE_COLOUR"], seen["SHADE"], seen["PLACE"]) == ("deep blue", "dark red", "sub")
    assert "PLACE" not in environ(server.get("/passed"))


def test_virtual_host(server: Httpd):
    seen = environ(raw_http.get(server.ports["PORT2"], "/", host="other.example"))
    assert (seen["SERVER_NAME"], seen["HTTP_HOST"]) == ("other.example", "other.example")
    assert seen["SERVER_PORT"] == "80"


def test_tls(server: Httpd):
    seen = environ(server.get("/plain", port="TLS"))
    assert (seen["wsgi.url_scheme"], seen["REQUEST_SCHEME"]) == ("https", "https")
    assert [key for key in seen if key.startswith("SSL_") and key != "SSL_TLS_SNI"] == []
    assert "HTTPS" not in seen
    exported = environ(server.get("/exported", port="TLS"))
    assert exported["SSL_PROTOCOL"].startswith("TLSv1.")
    assert "SSL_CIPHER" in exported


@pytest.mark.daemon_mode
def test_threads_and_processes(server: Httpd):
    seen = environ(server.get("/single"))
    assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"]) == (False, True)
    assert seen["mod_wsgi.process_group"] == "single"


def test_application_group(server: Httpd):
    assert environ(server.get("/main"))["mod_wsgi.application_group"] == ""
    named = environ(server.get("/named"))
    assert (named["mod_wsgi.application_group"], named["mod_wsgi.callable_object"]) == ("mine", "wsgi_callable")
    assert named["test.callable"] == "wsgi_callable"
    default = environ(server.get("/sub"))["mod_wsgi.application_group"]
    assert default == f"localhost:{server.ports['PORT']}|/sub"


def test_http_1_0(server: Httpd):
    old = environ(raw_http.exchange(server.ports["PORT"], b"GET /sub HTTP/1.0\r\n\r\n"))
    assert (old["SERVER_PROTOCOL"], old.get("HTTP_HOST")) == ("HTTP/1.0", None)


@pytest.mark.skipif(MPM == "prefork", reason="mod_http2 does not work with prefork")
def test_http_2(server: Httpd):
    with server.client(port="TLS", http2=True) as client:
        new = environ(client.get("/plain"))
    assert new["SERVER_PROTOCOL"].startswith("HTTP/2")
    assert new["HTTP_HOST"] == f"localhost:{server.ports['TLS']}"


def test_a_large_environ(server: Httpd):
    headers = {f"X-Large-{number}": "v" * 4000 for number in range(40)}
    seen = environ(server.get("/sub", headers=headers))
    assert {seen[f"HTTP_X_LARGE_{number}"] for number in range(40)} == {"v" * 4000}
    assert os.path.basename(seen["SCRIPT_FILENAME"]) == "environ.wsgi"
