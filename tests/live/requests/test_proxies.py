"""What trusted proxies tell of their clients: WSGITrustedProxyHeaders and WSGITrustedProxies."""

from __future__ import annotations

from pathlib import Path

import pytest

from httpd import REFERENCE, Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

# Each kind of fact: the headers that tell it, which are hidden together.
KINDS = {
    "client": ["X-Forwarded-For", "X-Client-IP", "X-Real-IP"],
    "host": ["X-Forwarded-Host", "X-Host"],
    "server": ["X-Forwarded-Server"],
    "port": ["X-Forwarded-Port"],
    "mount": ["X-Script-Name", "X-Forwarded-Script-Name"],
    "scheme": ["X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Forwarded-HTTPS", "X-Forwarded-SSL", "X-HTTPS"],
}
if not REFERENCE:
    KINDS["mount"].append("X-Forwarded-Prefix")
    for kind in ("client", "host", "scheme"):
        KINDS[kind].append("Forwarded")
NAMES = sorted({name for names in KINDS.values() for name in names})
PROXIES = "WSGITrustedProxies 127.0.0.0/8 10.0.0 2001:db8::/32"

# Each place: what its <Location> says.
PLACES = {
    "none": "",
    "all": "WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host X-Forwarded-Server X-Forwarded-Port\n"
    "WSGITrustedProxyHeaders X-Forwarded-Proto X-Script-Name",
    "near": f"WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host\n{PROXIES}",
    "lines": "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 10.0.0.0/8\nWSGITrustedProxies 127.0.0.1",
    "real": f"WSGITrustedProxyHeaders X-Real-IP\n{PROXIES}",
    "six": "WSGITrustedProxyHeaders X-Real-IP\nWSGITrustedProxies ::/16",
    "forwarded": f"WSGITrustedProxyHeaders Forwarded\n{PROXIES}",
    "forwarded-all": "WSGITrustedProxyHeaders Forwarded",
    "port": "WSGITrustedProxyHeaders X-Forwarded-Port",
    "mount": "WSGITrustedProxyHeaders X-Script-Name",
    "host": "WSGITrustedProxyHeaders X-Forwarded-Host",
    "proto": f"WSGITrustedProxyHeaders X-Forwarded-Proto\n{PROXIES}",
    "ssl": "WSGITrustedProxyHeaders X-Forwarded-SSL",
    "outer": "WSGITrustedProxyHeaders X-Forwarded-For",
    "outer/inner": "WSGITrustedProxyHeaders X-Forwarded-Host",
}
for kind, names in KINDS.items():
    PLACES[f"far-{kind}"] = f"WSGITrustedProxyHeaders {names[0]}\nWSGITrustedProxies 192.0.2.0/24"
CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3
WSGIProcessGroup site
WSGIScriptAlias /files @ROOT@/files/
<Directory @ROOT@/files>
    AllowOverride FileInfo
</Directory>
<Directory @ROOT@/files/closed>
    AllowOverride AuthConfig
</Directory>
"""
CONFIGURATION += "".join(
    f"<Location /{place}>\n{lines}\n</Location>\nWSGIScriptAlias /{place} @APPS@/environ.wsgi\n"
    for place, lines in PLACES.items()
)
SIX = Path("/proc/net/if_inet6").exists() and "0" * 31 + "1 " in Path("/proc/net/if_inet6").read_text()


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION + "@HTTPS@" + ("Listen [::1]:@PORT2@\n" if SIX else ""))
    for folder in ("files", "files/closed"):
        (server.root / folder).mkdir()
        (server.root / folder / "environ.wsgi").write_text((server.root / "apps/environ.wsgi").read_text())
    return server.start()


def seen(server: Httpd, path: str, headers, **options) -> dict[str, str]:
    """The environ of a request with these headers, by name or as pairs."""
    answer = server.get(path, headers=headers, **options)
    assert answer.status_code == 200, answer.text
    return {name: value for name, (_, value) in answer.json().items()}


def variable(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def misleading() -> dict[str, str]:
    """A value of each header that would change the environ."""
    values = dict.fromkeys(NAMES, "on")
    values |= dict.fromkeys(KINDS["client"], "6.6.6.6") | dict.fromkeys(KINDS["host"], "evil.example")
    values |= dict.fromkeys(KINDS["mount"], "/evil") | {"X-Forwarded-Server": "evil.example", "X-Forwarded-Port": "666"}
    values |= dict.fromkeys(("X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme"), "https")
    return values if REFERENCE else values | {"Forwarded": "for=6.6.6.6;host=evil.example;proto=https"}


FACTS = ("REMOTE_ADDR", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "wsgi.url_scheme", "mod_wsgi.mount_point")


def facts(environ: dict[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in FACTS if name in environ}


def unchanged(server: Httpd, path: str) -> dict[str, str]:
    return facts(seen(server, path, {}))


# Who is believed


def test_without_a_list_the_headers_are_data(server):
    values = misleading()
    environ = seen(server, "/none", values)
    assert facts(environ) == unchanged(server, "/none")
    assert all(environ[variable(name)] == value for name, value in values.items())


def test_a_proxy_is_believed(server):
    headers = {
        "X-Forwarded-For": "192.0.2.7, 203.0.113.5, 10.0.0.8",
        "X-Forwarded-Host": "shop.example:8443",
        "X-Forwarded-Server": "front.example",
        "X-Forwarded-Port": "8443",
        "X-Forwarded-Proto": "https",
        "X-Script-Name": "/shop",
    }
    environ = seen(server, "/all", misleading() | headers)
    assert facts(environ) == {
        "REMOTE_ADDR": "192.0.2.7",
        "HTTP_HOST": "shop.example:8443",
        "SERVER_NAME": "front.example",
        "SERVER_PORT": "8443",
        "SCRIPT_NAME": "/shop",
        "mod_wsgi.mount_point": "/shop",
        "wsgi.url_scheme": "https",
    }
    assert environ["mod_wsgi.script_name"] == "/all"
    told = {name for name in map(variable, NAMES) if name in environ}
    assert told == {variable(name) for name in headers}, "what tells the same is hidden"


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_stranger_a_listed_kind_is_hidden(server, kind: str):
    look_alikes = {name.replace("-", "_"): "look-alike" for name in NAMES if "-" in name}
    look_alikes |= {name.replace("-", "_", 1): "look-alike" for name in NAMES if "-" in name}
    values = misleading()
    environ = seen(server, f"/far-{kind}", values | look_alikes)
    assert facts(environ) == unchanged(server, f"/far-{kind}")
    left = {name: value for name, value in values.items() if name not in KINDS[kind]}
    assert {name: environ[variable(name)] for name in NAMES if variable(name) in environ} == left


def test_lines_add_up_and_an_inner_section_replaces_them(server):
    headers = {"X-Forwarded-For": "192.0.2.7, 10.0.0.8", "X-Forwarded-Host": "shop.example"}
    assert seen(server, "/lines", headers)["REMOTE_ADDR"] == "192.0.2.7"
    outer, inner = seen(server, "/outer", headers), seen(server, "/outer/inner", headers)
    assert (outer["REMOTE_ADDR"], inner["REMOTE_ADDR"]) == ("192.0.2.7", "127.0.0.1")
    assert inner["HTTP_HOST"] == "shop.example" != outer["HTTP_HOST"]
    assert inner["HTTP_X_FORWARDED_FOR"] == headers["X-Forwarded-For"], "its kind is not listed here"


@pytest.mark.skipif(not SIX, reason="no IPv6 on this machine")
def test_a_peer_with_ipv6(server):
    url = f"http://[::1]:{server.ports['PORT2']}"
    headers = {"X-Real-IP": "2001:db8::7", "X-Forwarded-For": "192.0.2.7"}
    assert seen(server, url + "/six", headers)["REMOTE_ADDR"] == "2001:db8::7"
    environ = seen(server, url + "/real", headers)
    assert environ["REMOTE_ADDR"] == "::1" and "HTTP_X_REAL_IP" not in environ
    assert seen(server, "/six", headers)["REMOTE_ADDR"] == "127.0.0.1"


# Lists of addresses

CHAINS = [
    ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
    ("6.6.6.6, 192.0.2.7", "192.0.2.7", "192.0.2.7"),
    ("6.6.6.6, 192.0.2.7, 10.0.0.8", "192.0.2.7", "192.0.2.7, 10.0.0.8"),
    ("6.6.6.6,192.0.2.7,,10.0.0.8 ,", "192.0.2.7", "192.0.2.7, 10.0.0.8"),
    ("10.0.0.7, 6.6.6.6, 10.0.0.8, 10.0.0.9", "6.6.6.6", "6.6.6.6, 10.0.0.8, 10.0.0.9"),
    ("10.0.0.7, 10.0.0.8", "10.0.0.7", "10.0.0.7, 10.0.0.8"),
    ("6.6.6.6, 2001:db9::7, 2001:db8::1", "2001:db9::7", "2001:db9::7, 2001:db8::1"),
    ("192.0.2.7, ::ffff:10.0.0.8", "192.0.2.7", "192.0.2.7, ::ffff:10.0.0.8"),
]


@pytest.mark.parametrize(("value", "client", "shown"), CHAINS)
def test_the_client_is_the_last_that_is_no_proxy(server, value: str, client: str, shown: str):
    environ = seen(server, "/near", {"X-Forwarded-For": value})
    assert (environ["REMOTE_ADDR"], environ["HTTP_X_FORWARDED_FOR"]) == (client, shown)


def test_several_headers_of_one_name_are_one_list(server):
    headers = [("X-Forwarded-For", "6.6.6.6, 192.0.2.7"), ("x-forwarded-for", "10.0.0.8")]
    environ = seen(server, "/near", headers)
    assert (environ["REMOTE_ADDR"], environ["HTTP_X_FORWARDED_FOR"]) == ("192.0.2.7", "192.0.2.7, 10.0.0.8")
    assert seen(server, "/all", headers)["REMOTE_ADDR"] == "6.6.6.6"


@pytest.mark.ours
@pytest.mark.parametrize("place", ["near", "all"])
@pytest.mark.parametrize("hop", ["192.0.2.7:4711", "[2001:db9::7]:4711", "[2001:db9::7]"])
def test_an_address_with_a_port(server, place: str, hop: str):
    address = hop.rpartition(":")[0] if hop.endswith("4711") else hop
    assert seen(server, f"/{place}", {"X-Forwarded-For": hop})["REMOTE_ADDR"] == address.strip("[]")


@pytest.mark.ours
@pytest.mark.parametrize("value", ["unknown", "_hidden", "", ",", "999.1.1.1", "localhost", "192.0.2.7/8", "\u00e9"])
def test_what_is_no_address_changes_nothing(server, value: str):
    for path, name in (("/near", "X-Forwarded-For"), ("/all", "X-Forwarded-For"), ("/real", "X-Real-IP")):
        assert seen(server, path, {name: value.encode("latin-1")})["REMOTE_ADDR"] == "127.0.0.1"


# Forwarded

FORWARDED = [
    ("for=192.0.2.7", "192.0.2.7", None, "http", None),
    ('FOR="192.0.2.7:4711" ; Proto=HTTPS', "192.0.2.7", None, "https", None),
    ('for="[2001:db9::7]:4711";host="shop.example:8443";proto=https', "2001:db9::7", "shop.example:8443", "https", None),
    ("for=6.6.6.6;host=a, for=192.0.2.7;host=b, for=10.0.0.8", "192.0.2.7", "b", "http", "for=192.0.2.7;host=b, for=10.0.0.8"),
    ("for=6.6.6.6, by=10.0.0.8;proto=https", "127.0.0.1", None, "https", "by=10.0.0.8;proto=https"),
    ("for=unknown;proto=https", "127.0.0.1", None, "https", None),
    ('for="_a,b";proto=https', "127.0.0.1", None, "https", None),
    (",, for=192.0.2.7 ,", "192.0.2.7", None, "http", "for=192.0.2.7"),
    # What a client leaves open hides nothing of what the proxy has added.
    ('for=6.6.6.6;x=", for=192.0.2.7', "192.0.2.7", None, "http", "for=192.0.2.7"),
    ('for="6.6.6.6, for="192.0.2.7";proto=https', "192.0.2.7", None, "https", 'for="192.0.2.7";proto=https'),
    ('for=6.6.6.6;x="\\, for="[2001:db9::7]"', "2001:db9::7", None, "http", 'for="[2001:db9::7]"'),
    ("for", "127.0.0.1", None, "http", None),
    ('for=192.0.2.7;host="a b"', "192.0.2.7", None, "http", None),
    ("for=192.0.2.7;host=a/b", "192.0.2.7", None, "http", None),
]  # fmt: skip


@pytest.mark.ours
@pytest.mark.parametrize(("value", "client", "host", "scheme", "shown"), FORWARDED)
def test_forwarded(server, value: str, client: str, host: str | None, scheme: str, shown: str | None):
    environ = seen(server, "/forwarded", {"Forwarded": value, "X-Forwarded-For": "7.7.7.7"})
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (client, scheme)
    assert environ["HTTP_HOST"] == (host or f"localhost:{server.ports['PORT']}")
    assert environ.get("HTTP_FORWARDED", "for") == (shown or value) and "HTTP_X_FORWARDED_FOR" not in environ


@pytest.mark.ours
def test_forwarded_where_every_peer_is_believed(server):
    value = "for=192.0.2.7;proto=https, for=10.0.0.8"
    environ = seen(server, "/forwarded-all", [("Forwarded", "for=192.0.2.7;proto=https"), ("Forwarded", "for=10.0.0.8")])
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.7", "https")
    assert environ["HTTP_FORWARDED"] == value


# Other values

VALUES = [
    ("/port", "X-Forwarded-Port", "443", {"SERVER_PORT": "443"}),
    ("/port", "X-Forwarded-Port", "443, 80", {"SERVER_PORT": "443"}),
    ("/port", "X-Forwarded-Port", "0", {}),
    ("/port", "X-Forwarded-Port", "99999", {}),
    ("/port", "X-Forwarded-Port", "https", {}),
    ("/mount", "X-Script-Name", "//shop//a/", {"SCRIPT_NAME": "/shop/a", "mod_wsgi.mount_point": "/shop/a"}),
    ("/mount", "X-Script-Name", "/", {"SCRIPT_NAME": "", "mod_wsgi.mount_point": ""}),
    ("/mount", "X-Script-Name", "shop", {}),
    ("/mount", "X-Script-Name", "", {}),
    ("/host", "X-Forwarded-Host", "a.example, b.example", {"HTTP_HOST": "a.example"}),
    ("/near", "X-Forwarded-Host", "a.example, b.example", {"HTTP_HOST": "b.example"}),
    ("/host", "X-Forwarded-Host", "[2001:db8::7]:80", {"HTTP_HOST": "[2001:db8::7]:80"}),
    ("/host", "X-Forwarded-Host", 'a.example"><b>', {}),
    ("/host", "X-Forwarded-Host", "", {}),
    ("/proto", "X-Forwarded-Proto", "https", {"wsgi.url_scheme": "https"}),
    ("/proto", "X-Forwarded-Proto", "https, http", {}),
    ("/proto", "X-Forwarded-Proto", "wss", {"wsgi.url_scheme": "https"}),
    ("/proto", "X-Forwarded-Proto", "gopher", {}),
    ("/ssl", "X-Forwarded-SSL", "On", {"wsgi.url_scheme": "https"}),
    ("/ssl", "X-Forwarded-SSL", "1", {"wsgi.url_scheme": "https"}),
    ("/ssl", "X-Forwarded-SSL", "https", {}),
]


@pytest.mark.ours
@pytest.mark.parametrize(("path", "name", "value", "changed"), VALUES)
def test_other_values(server, path: str, name: str, value: str, changed: dict[str, str]):
    assert facts(seen(server, path, {name: value})) == unchanged(server, path) | changed


def test_a_proxy_that_comes_by_tls_tells_of_a_client_that_did_not(server):
    assert seen(server, "/proto", {}, port="TLS")["wsgi.url_scheme"] == "https"
    assert seen(server, "/proto", {"X-Forwarded-Proto": "http"}, port="TLS")["wsgi.url_scheme"] == "http"


# .htaccess files


def test_htaccess(server):
    file = server.root / "files/.htaccess"
    headers = {"X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.0.0.8", "X-Real-IP": "6.6.6.6"}
    for trusted, client in [("10.0.0.0/8 127.0.0.1", "192.0.2.7"), ("192.0.2.0/24", "127.0.0.1")] * 10:
        file.write_text(f"WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies {trusted}\n")
        environ = seen(server, "/files/environ.wsgi", headers)
        assert environ["REMOTE_ADDR"] == client and "HTTP_X_REAL_IP" not in environ
    file.unlink()
    assert seen(server, "/files/environ.wsgi", headers)["HTTP_X_REAL_IP"] == "6.6.6.6"


@pytest.mark.parametrize(
    ("folder", "line", "words"),
    [
        ("files", "WSGITrustedProxies 10.0.0.0/33", "10.0.0.0/33"),
        ("files", "WSGITrustedProxies proxy.example", "proxy.example"),
        ("files/closed", "WSGITrustedProxies 10.0.0.1", "WSGITrustedProxies not allowed here"),
        ("files/closed", "WSGITrustedProxyHeaders X-Real-IP", "WSGITrustedProxyHeaders not allowed here"),
    ],
)
def test_a_wrong_htaccess_costs_its_requests(server, folder: str, line: str, words: str):
    file = server.root / folder / ".htaccess"
    file.write_text(line + "\n")
    start = len(server.error_log())
    try:
        assert server.get(f"/{folder}/environ.wsgi").status_code == 500
    finally:
        file.unlink()
    assert str(file) in server.wait_for_log(words, start=start)
