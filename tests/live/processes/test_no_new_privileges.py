"""`no-new-privileges=`: what becomes of a program that carries another group's rights when an application starts it.

Such programs are `sendmail` with its setgid `postdrop`, `sudo`, PAM's `unix_chkpwd` and `chage`. Here it is a copy of
`id` that belongs to a group of which the site is no member.
"""

from __future__ import annotations

import grp
import os
import shutil
from pathlib import Path

import pytest

from httpd import IS_ROOT, Httpd
from machine import daemon_account

pytestmark = [
    pytest.mark.any_mpm,
    pytest.mark.both_modes,
    pytest.mark.ours,
    pytest.mark.skipif(not IS_ROOT, reason="only root can make a program that belongs to a group of others"),
]

APPLICATION = """
import subprocess

def application(environ, start_response):
    done = subprocess.run(["@ROOT@/program/id", "-gn"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [done.stdout]
"""
CONFIGURATION = """
WSGIDaemonProcess plain python-home=@PYTHON@
WSGIDaemonProcess off python-home=@PYTHON@ no-new-privileges=Off
WSGIDaemonProcess on python-home=@PYTHON@ no-new-privileges=On
WSGIDaemonProcess forked python-home=@PYTHON@ preload=On no-new-privileges=On
WSGIScriptAlias /plain @ROOT@/htdocs/id.wsgi process-group=plain application-group=%{GLOBAL}
WSGIScriptAlias /off @ROOT@/htdocs/id.wsgi process-group=off application-group=%{GLOBAL}
WSGIScriptAlias /on @ROOT@/htdocs/id.wsgi process-group=on application-group=%{GLOBAL}
WSGIScriptAlias /forked @ROOT@/htdocs/id.wsgi process-group=forked application-group=%{GLOBAL}
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    folder = server.root / "program"
    folder.mkdir()
    program = Path(shutil.copy(shutil.which("id"), folder))
    os.chown(program, 0, grp.getgrnam("games").gr_gid)
    program.chmod(0o2755)
    assert not os.statvfs(program).f_flag & os.ST_NOSUID, f"{folder} is mounted nosuid: such programs have no effect there"
    (server.root / "htdocs/id.wsgi").write_text(server.fill_in(APPLICATION))
    return server.start()


def group_of_the_program(server: Httpd, path: str) -> str:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text.strip()


@pytest.mark.parametrize("path", ["/plain", "/off"])
def test_a_program_has_the_rights_of_its_group(server: Httpd, path: str):
    assert group_of_the_program(server, path) == "games"


@pytest.mark.daemon_mode
@pytest.mark.parametrize("path", ["/on", "/forked"])
def test_a_program_has_the_rights_of_the_site_only(server: Httpd, path: str):
    assert group_of_the_program(server, path) == daemon_account()
