"""Configurations from the documentation of applications load as they stand, and their URLs reach their scripts.

`documented/*.conf` has them, with a comment at the head of each that names its source; tests/harness/published.py
puts them on this machine. Scripts are stand-ins here; test_frameworks.py and test_applications.py have the real ones.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import packaged
from published import ask, prepare

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours]

FILES = {path.stem: path for path in sorted((Path(__file__).parent / "documented").glob("*.conf"))}
GLOBAL = ""

# URL → what the stand-in script sees (SCRIPT_NAME, PATH_INFO, process group, application group), or the status.
Seen = tuple[str, str, str, str]
ASKED: dict[str, dict[str, Seen | int]] = {
    "django": {
        "http://localhost/a/b": ("", "/a/b", GLOBAL, "localhost|"),
        "http://localhost/robots.txt": 200,
        "http://localhost/static/no": 404,
    },
    "django-daemon": {
        "http://localhost/mysite/a": ("/mysite", "/a", "example.com", GLOBAL),
        "http://localhost/other": 404,
    },
    "django-auth": {
        "http://localhost/": ("", "/", GLOBAL, GLOBAL),
        "http://localhost/secret": 401,
        "http://ann@localhost/secret": ("", "/secret", GLOBAL, GLOBAL),
        "http://bob@localhost/secret": 401,
    },
    "django-auth-groups": {
        "http://localhost/": ("", "/", GLOBAL, GLOBAL),
        "http://localhost/secret": 401,
        "http://ann@localhost/secret": ("", "/secret", GLOBAL, GLOBAL),
        "http://bob@localhost/secret": 401,
    },
    "flask": {"http://example.com/a": ("", "/a", "yourapplication", GLOBAL)},
    "pyramid": {"http://localhost/myapp/a": ("/myapp", "/a", "pyramid", GLOBAL)},
    "bottle": {"http://example.com/a": ("", "/a", "yourapp", GLOBAL)},
    "web2py": {
        "http://localhost/a": ("", "/a", "web2py", GLOBAL),
        "http://localhost/welcome/appadmin": 403,
        "https://localhost/a": ("", "/a", "web2py", GLOBAL),
    },
    "trac": {
        "http://localhost/trac/wiki": ("/trac", "/wiki", GLOBAL, GLOBAL),
        "http://localhost/trac/login": 401,
        "http://ann@localhost/trac/login": ("/trac", "/login", GLOBAL, GLOBAL),
    },
    "trac-vhost": {
        "http://trac.my-proj.my-site.org/": 401,
        "http://ann@trac.my-proj.my-site.org/": ("", "/", GLOBAL, "trac.my-proj.my-site.org|"),
    },
    "moinmoin": {"http://localhost/moin/FrontPage": ("/moin", "/FrontPage", "daemonname", GLOBAL)},
    "moin2": {"http://localhost/Home": ("", "/Home", "moin-wsgi", GLOBAL)},
    "radicale": {"http://cal.yourdomain.org/ann/": ("", "/ann/", "radicale", GLOBAL)},
    "graphite": {"http://graphite/render/": ("", "/render/", "graphite", GLOBAL)},
    "keystone": {
        "http://localhost:5000/v3/": ("", "/v3/", "keystone-public", GLOBAL),
        "http://localhost/identity/v3/": ("/identity", "/v3/", "keystone-public", GLOBAL),
    },
    "horizon": {"http://localhost/": 302, "http://localhost/dashboard/a": ("/dashboard", "/a", "horizon", GLOBAL)},
    "placement": {
        "http://localhost:8778/": ("", "/", "placement-api", GLOBAL),
        "http://localhost/placement-api/traits": ("/placement-api", "/traits", "placement-api", GLOBAL),
    },
    "privacyidea": {"https://localhost/token/": ("", "/token/", "privacyidea", GLOBAL)},
    "privacyidea-client": {
        "http://localhost/secretdir/none": 401,
        "http://bob@localhost/secretdir/none": 401,
        "http://ann@localhost/secretdir/none": 404,
    },
    "submitty": {
        "http://git.example.com/git/x": 401,
        "http://bob@git.example.com/git/x": 401,
        "http://ann@git.example.com/git/x": 200,
    },
    "restauth": {
        "https://auth.example.com/users/": 401,
        "https://ann@auth.example.com/users/": ("", "/users/", "restauth", GLOBAL),
    },
    "mailman-hyperkitty": {"http://localhost/hyperkitty/": ("/hyperkitty", "/", "hyperkitty", GLOBAL)},
    "reviewboard": {"http://reviews.example.com/r/1/": ("", "/r/1/", GLOBAL, "reviews.example.com|")},
    "reviewboard-below": {
        "http://intranet.example.com/reviews/r/1/": ("", "/reviews/r/1/", GLOBAL, "intranet.example.com|"),
        "http://intranet.example.com/other": 404,
    },
    "weblate": {"http://weblate.example.org/projects/": ("", "/projects/", "weblate", GLOBAL)},
    "pagure": {
        "http://localhost.localdomain/": 301,
        "https://localhost.localdomain/a": ("", "/a", "pagure", GLOBAL),
        "https://docs.localhost.localdomain/a": ("", "/a", "paguredocs", GLOBAL),
    },
    "koji": {"http://localhost/kojihub/ssllogin": ("/kojihub", "/ssllogin", GLOBAL, GLOBAL), "http://localhost/kojifiles/": 200},
    "kallithea": {"http://localhost/repo": ("", "/repo", "kallithea", GLOBAL)},
    "mapproxy": {"http://localhost/mapproxy/demo/": ("/mapproxy", "/demo/", "mapproxy", GLOBAL)},
    "ckan": {"http://default.ckanhosted.com:8080/dataset": ("", "/dataset", "ckan_default", GLOBAL)},
    "pypiserver": {"http://localhost/simple/": ("", "/simple/", "pypisrv", GLOBAL), "http://localhost/robots.txt": 200},
    # The script of a WSGIScriptAliasMatch names its interpreter, and not what a client's URL has matched.
    "mercurial": {
        "http://hg.example.net/repo/rev": (
            "", "/repo/rev", "hg.example.net", "hg.example.net|/var/www/vhosts/hg.example.net/cgi-bin/hgwebdir.wsgi",
        ),
    },
    "odoo": {
        "http://one.example.com/web": ("", "/web", "odooerp1", GLOBAL),
        "http://www.one.example.com/web": ("", "/web", "odooerp1", GLOBAL),
        "http://two.example.com/web": ("", "/web", "odooerp2", "two.example.com|"),
    },
    "docassemble": {
        "http://example.com/demo": 302,
        "https://example.com/demo/interview": ("/demo", "/interview", "docassemble.webserver", GLOBAL),
    },
    "freeipa": {"http://localhost/ipa/i18n_messages": ("/ipa", "/i18n_messages", "ipa", GLOBAL), "http://localhost/ipa/json": 401},
}  # fmt: skip


def further_modules() -> str:
    """Those of FreeIPA that do not come with httpd."""
    text = ""
    for name, file in (("auth_gssapi", "mod_auth_gssapi.so"), ("lookup_identity", "mod_lookup_identity.so")):
        module = packaged.module(f"libapache2-mod-{name.replace('_', '-')}", file)
        if "not found" in subprocess.run(["ldd", module], capture_output=True, text=True).stdout:
            pytest.skip(f"{file} needs a library that is not installed")
        text += f"LoadModule {name}_module {module}\n"
    return text


# What the documentation leaves to the rest of the server's configuration.
BEFORE = {"freeipa": further_modules, "privacyidea-client": lambda: "DocumentRoot @ROOT@/disk/var/www/html\n"}


def start(serve_once, name: str):
    server = prepare(serve_once, FILES[name].read_text(), before=BEFORE.get(name, str)())
    code, output = server.configtest()
    assert code == 0 and "Syntax OK" in output, output
    return server.start()


@pytest.mark.parametrize("name", FILES)
def test_it_loads_and_serves_what_it_names(serve_once, name: str):
    server = start(serve_once, name)
    for url, expected in ASKED[name].items():
        answer = ask(server, url)
        if isinstance(expected, int):
            assert answer.status_code == expected, url
            continue
        assert answer.status_code == 200, f"{url}: {answer.text}"
        seen = answer.json()
        group = re.sub(r":\d+", "", seen["mod_wsgi.application_group"]).replace(f"{server.root}/disk", "")
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["mod_wsgi.process_group"], group) == expected, url
        assert seen["wsgi.url_scheme"] == url.partition(":")[0]
