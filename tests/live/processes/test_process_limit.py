"""`process-limit=`: an application that makes processes without end is stopped by it, and its neighbour goes on."""

from __future__ import annotations

import pwd

import pytest

from httpd import IS_ROOT

pytestmark = [
    pytest.mark.any_mpm,
    pytest.mark.ours,
    pytest.mark.skipif(not IS_ROOT, reason="only root can give a group a user of its own, which alone counts"),
]

LIMIT = 60
TAKEN = {entry.pw_uid for entry in pwd.getpwall()}
BOMBER, NEIGHBOUR = [uid for uid in range(54400, 54600) if uid not in TAKEN][:2]
APPLICATION = """
import errno
import subprocess

def application(environ, start_response):
    made, refusal = [], "none"
    try:
        while len(made) < 3 * @LIMIT@:
            made.append(subprocess.Popen(["sleep", "60"]))
    except OSError as error:
        refusal = errno.errorcode[error.errno]
    finally:
        for process in made:
            process.kill()
            process.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{len(made)} {refusal}".encode()]
"""
CONFIGURATION = f"""
WSGIDaemonProcess bounded python-home=@PYTHON@ threads=2 user=#{BOMBER} process-limit={LIMIT}
WSGIDaemonProcess off python-home=@PYTHON@ threads=2 user=#{NEIGHBOUR} process-limit=0
WSGIScriptAlias /bounded @ROOT@/htdocs/bomb.wsgi process-group=bounded
WSGIScriptAlias /off @ROOT@/htdocs/bomb.wsgi process-group=off
"""


def test_processes_are_refused_from_the_limit_on(serve):
    server = serve.prepare(CONFIGURATION)
    (server.root / "htdocs/bomb.wsgi").write_text(APPLICATION.replace("@LIMIT@", str(LIMIT)))
    server.start()
    made, refusal = server.get("/bounded").text.split()
    assert refusal == "EAGAIN" and LIMIT // 2 < int(made) < LIMIT
    assert server.get("/off").text == f"{3 * LIMIT} none"
