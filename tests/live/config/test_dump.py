"""`httpd -t -D DUMP_WSGI`: what will run where, by the configuration as httpd reads it."""

from __future__ import annotations

import pwd
import subprocess

import pytest

from httpd import IS_ROOT, Httpd
from machine import daemon_account

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

CONFIGURATION = """
WSGIDaemonProcess blog python-home=@PYTHON@ processes=2 threads=5 home=@ROOT@ env=PASSWORD=hush
WSGIDaemonProcess worker python-home=@PYTHON@ threads=0
WSGIImportScript @APPS@/service.py process-group=worker application-group=%{GLOBAL}
WSGIScriptAlias /in @APPS@/hello.wsgi
<VirtualHost *:1>
ServerName blog.example
WSGIScriptAlias / @APPS@/hello.wsgi process-group=blog
</VirtualHost>
<VirtualHost *:1>
ServerName shop.example
SetEnv SITE blog
WSGIProcessGroup %{ENV:SITE}
WSGIScriptAlias /shop @APPS@/echo.wsgi application-group=%{HOST}
</VirtualHost>
"""


def dump(server: Httpd, *options: str) -> str:
    command = server._command(*(options or ("-t", "-D", "DUMP_WSGI")))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=server._environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def sections(text: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("    "):
            found[title].append(line.split())
        else:
            title = line.partition(" (")[0]
            found[title] = []
    return found


def test_groups_embedded_scripts_and_those_by_request(serve_once):
    server = serve_once.prepare(CONFIGURATION)
    text = dump(server)
    assert "hush" not in text and "PASSWORD" not in text
    found = sections(text)
    assert list(found) == [
        "WSGI: what runs where", "process group blog", "process group worker", "embedded in httpd's own processes",
        "in no process group that is known in advance",
    ]  # fmt: skip
    place = {text: f"{server.configuration_file}:{server.last_line_of(text)}" for text in ("Alias / ", "Alias /in", "Alias /shop", "ImportScript")}
    apps = f"{server.root}/apps"
    blog = found["process group blog"]
    python = f"{server.fill_in('@PYTHON@')}/bin/python"
    version = subprocess.check_output([python, "-c", "print(__import__('platform').python_version())"], text=True).strip()
    assert ["processes", "2,", "5", "threads", "each"] in blog and ["home", str(server.root)] in blog
    assert ["Python", python, f"({version})"] in blog
    assert blog[-1] == ["/", f"{apps}/hello.wsgi", "blog.example", "%{GLOBAL}", place["Alias / "]]
    assert found["process group worker"][-1] == ["(imported)", f"{apps}/service.py", "%{GLOBAL}", place["ImportScript"]]
    # Virtual hosts inherit it, and the third chooses another group for it.
    embedded = found["embedded in httpd's own processes"]
    assert ["/in", f"{apps}/hello.wsgi", "localhost", "%{RESOURCE}", place["Alias /in"]] in embedded
    by_request = found["in no process group that is known in advance"]
    assert by_request[0] == ["/shop", f"{apps}/echo.wsgi", "shop.example", "%{HOST}", place["Alias /shop"]]
    user = pwd.getpwnam(daemon_account())
    assert all(section[0][:3] == ["user", user.pw_name, "(uid"] for section in (blog, embedded))


@pytest.mark.skipif(not IS_ROOT, reason="only root can give daemons another user")
def test_the_user_of_a_group(serve_once):
    server = serve_once.prepare("WSGIDaemonProcess blog python-home=@PYTHON@ user=nobody supplementary-groups=#12,#7")
    account = pwd.getpwnam("nobody")
    gid = pwd.getpwnam(daemon_account()).pw_gid
    groups = " ".join(map(str, sorted({7, 12, gid})))
    assert f"nobody (uid {account.pw_uid}, groups {groups})" in dump(server)


def test_it_is_written_only_when_it_is_asked_for(serve_once):
    server = serve_once.prepare("WSGIScriptAlias / @APPS@/hello.wsgi")
    assert "WSGI" not in dump(server, "-t") and "WSGI" not in dump(server, "-t", "-D", "DUMP_VHOSTS")
    both = dump(server, "-t", "-D", "DUMP_VHOSTS", "-D", "DUMP_WSGI")
    assert "VirtualHost configuration" in both and "WSGI: what runs where" in both
    empty = serve_once.prepare("")
    assert "no process groups and no scripts" in dump(empty)
