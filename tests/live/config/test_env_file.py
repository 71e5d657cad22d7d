"""`env-file=` of WSGIDaemonProcess: variables from a file that the group's user need not be able to read."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from httpd import IS_ROOT, Httpd
from waiting import wait_for

pytestmark = pytest.mark.ours

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ connect-timeout=3 env=BOTH=option env-file=@ROOT@/first "env-file=second file"
WSGIScriptAlias / @APPS@/process.wsgi process-group=site
"""
FIRST = """
# what nobody else may know
export SECRET="hello 'secret' world"
TWICE=first
BOTH=file
"""


@pytest.fixture
def server(serve_once) -> Httpd:
    server = serve_once.prepare(CONFIGURATION)
    write(server, "first", FIRST)
    write(server, "second file", "TWICE=second\n")
    return server


def write(server: Httpd, name: str, text: str) -> None:
    file = server.root / name
    file.write_text(text)
    file.chmod(0o600)


def variable(server: Httpd, name: str) -> str | None:
    answer = server.get("/")
    return answer.json()["environment"].get(name) if answer.status_code == 200 else None


def test_variables_come_from_the_files_in_order(server: Httpd):
    server.start()
    assert variable(server, "SECRET") == "hello 'secret' world"
    assert variable(server, "TWICE") == "second"
    assert variable(server, "BOTH") == "option"


def test_a_change_counts_from_the_next_process_on(server: Httpd):
    server.start()
    assert variable(server, "TWICE") == "second"
    write(server, "second file", "TWICE=third\n")
    (daemon,) = server.daemons("site")
    daemon.kill()
    wait_for(lambda: variable(server, "TWICE") == "third", "a new process has the new variable")


def test_a_malformed_line_is_named_without_its_text(server: Httpd):
    write(server, "first", FIRST + "a password\n")
    server.start()
    assert server.get("/").status_code == 503
    assert f"{server.root}/first:6: " in server.wait_for_log("WSGI360")
    assert "a password" not in server.error_log()
    write(server, "first", FIRST)
    wait_for(lambda: variable(server, "BOTH") == "option", "it is read again", timeout=40)


@pytest.mark.skipif(not IS_ROOT, reason="only root reads what others may not")
def test_a_file_that_others_may_replace_is_not_read_for_them(server: Httpd):
    account = server.fill_in("@USER@")
    folder = server.root / "theirs"
    folder.mkdir()
    shutil.chown(folder, account)
    secret = server.root / "secret"
    write(server, "secret", "SECRET=of another site\n")
    server.write_configuration(CONFIGURATION.replace("@ROOT@/first", "@ROOT@/theirs/env"))
    (folder / "env").symlink_to(secret)
    server.start()
    assert server.get("/").status_code == 503
    assert f"{folder}/env: neither does it belong to the group's user" in server.wait_for_log("WSGI360")
    (folder / "env").unlink()
    write(server, "theirs/env", "SECRET=of its own\n")
    shutil.chown(folder / "env", account)
    wait_for(lambda: variable(server, "SECRET") == "of its own", "what is its user's is read", timeout=40)
    shutil.chown(secret, "daemon")
    (folder / "env").unlink()
    (folder / "env").symlink_to(secret)
    (daemon,) = server.daemons("site")
    start = len(server.error_log())
    daemon.kill()
    server.wait_for_log("WSGI360", start=start)
    (folder / "env").unlink()
    os.mkfifo(folder / "env")
    server.wait_for_log("it is not a file", start=start, timeout=20)


def test_a_missing_file_is_noticed_before_the_start(server: Httpd):
    (server.root / "first").unlink()
    status, said = server.configtest()
    assert status == 0
    line = next(line for line in said.splitlines() if "WSGI120" in line)
    assert re.search(rf"{server.configuration_file}:\d+: there is no file {server.root}/first", line)
