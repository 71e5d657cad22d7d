"""What trusted proxies tell of their clients: WSGITrustedProxyHeaders and WSGITrustedProxies."""

from __future__ import annotations

import pytest

from httpd import Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.ours]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3
WSGIProcessGroup site
WSGIScriptAlias /none @APPS@/environ.wsgi
WSGIScriptAlias /all @APPS@/environ.wsgi
WSGIScriptAlias /near @APPS@/environ.wsgi
WSGIScriptAlias /far @APPS@/environ.wsgi
WSGIScriptAlias /forwarded @APPS@/environ.wsgi
<LocationMatch ^/(all|near|far)>
    WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Script-Name
</LocationMatch>
<Location /near>
    WSGITrustedProxies 127.0.0.0/8 ::1 10.0.0
</Location>
<Location /far>
    WSGITrustedProxies 192.0.2.0/24
</Location>
<Location /forwarded>
    WSGITrustedProxyHeaders Forwarded
    WSGITrustedProxies 127.0.0.1
</Location>
"""

HEADERS = {
    "X-Forwarded-For": "198.51.100.1, 203.0.113.5, 10.0.0.8",
    "X-Forwarded-Host": "shop.example:8443",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Proto": "https",
    "X-Script-Name": "/shop/",
    "X-Real-IP": "6.6.6.6",
    "X-HTTPS": "off",
    "X_Forwarded_For": "7.7.7.7",
}
ACTING = {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PROTO"}
ACTING |= {"HTTP_X_SCRIPT_NAME"}


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def seen(server: Httpd, path: str, headers: dict[str, str]) -> dict[str, str]:
    answer = server.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return {name: value for name, (_, value) in answer.json().items()}


def proxied(environ: dict[str, str]) -> dict[str, str]:
    names = ("REMOTE_ADDR", "HTTP_HOST", "SERVER_PORT", "wsgi.url_scheme", "SCRIPT_NAME", "mod_wsgi.mount_point")
    return {name: environ[name] for name in names if name in environ}


def test_without_a_list_the_headers_are_data(server):
    environ = seen(server, "/none", HEADERS)
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_REAL_IP"] == "6.6.6.6" and ACTING < environ.keys()


@pytest.mark.parametrize(("path", "client"), [("/all", "198.51.100.1"), ("/near", "203.0.113.5")])
def test_a_trusted_proxy_is_believed(server, path: str, client: str):
    environ = seen(server, path, HEADERS)
    assert proxied(environ) == {
        "REMOTE_ADDR": client,
        "HTTP_HOST": "shop.example:8443",
        "SERVER_PORT": "8443",
        "wsgi.url_scheme": "https",
        "SCRIPT_NAME": "/shop",
        "mod_wsgi.mount_point": "/shop",
    }
    told = {name for name in environ if name.startswith(("HTTP_X", "HTTP_FORWARDED"))}
    assert told == ACTING, "what tells the same is hidden"


def test_from_a_stranger_all_of_it_is_hidden(server):
    environ = seen(server, "/far", HEADERS)
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"
    assert environ["SCRIPT_NAME"] == "/far" and "mod_wsgi.mount_point" not in environ
    assert not [name for name in environ if name.startswith("HTTP_X")]


def test_forwarded(server):
    value = 'for=6.6.6.6, for="[2001:db8::7]:4711";proto=https;host=shop.example'
    environ = seen(server, "/forwarded", {"Forwarded": value, "X-Forwarded-For": "7.7.7.7"})
    assert environ["REMOTE_ADDR"] == "2001:db8::7" and environ["HTTP_HOST"] == "shop.example"
    assert environ["wsgi.url_scheme"] == "https" and environ["HTTP_FORWARDED"] == value
    assert "HTTP_X_FORWARDED_FOR" not in environ


@pytest.mark.parametrize("value", ["unknown", "_hidden", "", " , ", "999.1.1.1", "\u00e9"])
def test_what_is_no_address_changes_nothing(server, value: str):
    environ = seen(server, "/near", {"X-Forwarded-For": value.encode("latin-1")})
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
