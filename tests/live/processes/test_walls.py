"""`private-tmp=` and `protect-home=`: what the processes of a group see of the file system, and who else sees it.

httpd runs in a namespace of mounts of its own, with a /home and accounts that a test has made up: the machine's stay as they
are. The scripts are bound to /srv/apps there, since this test's own folder lies below /tmp.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from httpd import IS_ROOT, Httpd
from machine import program
from waiting import wait_for

PYTHON = "/usr/bin/python3"


def may_make_namespaces() -> bool:
    return IS_ROOT and subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "x", "/srv"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.any_mpm,
    pytest.mark.ours,
    pytest.mark.skipif(not Path(PYTHON).exists(), reason="the test environment's Pythons lie below /var/tmp"),
    pytest.mark.skipif(not may_make_namespaces(), reason="only root with CAP_SYS_ADMIN can make namespaces of mounts"),
]

STARTER = """#!/bin/sh
exec unshare --mount sh -e -c '
mount --bind @PASSWD@ /etc/passwd
mount -t tmpfs -o mode=755 srv /srv
mkdir /srv/apps
mount --bind @APPS@ /srv/apps
mount -t tmpfs -o mode=755 home /home
for name in alice bob; do
    install -d -o $name -m 755 /home/$name
    echo of $name > /home/$name/note
    chmod 644 /home/$name/note
done
exec @WITH@ @HTTPD@ "$@"' httpd "$@"
"""
ACCOUNTS = "".join(f"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n" for name, uid in (("alice", 64001), ("bob", 64002)))
GROUPS = {
    "plain": "user=alice",
    "tmp": "user=alice processes=2 private-tmp=On",
    "other": "user=bob private-tmp=1M",
    "forked": "user=bob private-tmp=On preload=On processes=2",
    "asleep": "user=bob private-tmp=On start=on-demand idle-timeout=500ms",
    "read-only": "user=alice protect-home=read-only",
    "others": "user=alice protect-home=others private-tmp=On",
    "none": "user=alice protect-home=On",
}
CONFIGURATION = "".join(
    f"WSGIDaemonProcess {name} python={PYTHON} home=/srv {options}\n"
    f"WSGIScriptAlias /{name} /srv/apps/walls.wsgi process-group={name} application-group=%{{GLOBAL}}\n"
    for name, options in GROUPS.items()
)


def prepare(serve, configuration: str, tried_with: str = "") -> Httpd:
    """A server that is started through the starter; `tried_with` is a program in front of httpd."""
    server = serve.prepare(configuration)
    starter, passwd = server.root / "starter", server.root / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() + ACCOUNTS)
    words = {"@PASSWD@": passwd, "@APPS@": server.root / "apps", "@WITH@": tried_with, "@HTTPD@": shlex.quote(str(program()))}
    text = STARTER
    for word, value in words.items():
        text = text.replace(word, str(value))
    starter.write_text(text)
    starter.chmod(0o755)
    return server


@pytest.fixture(scope="module")
def server(serve):
    server = prepare(serve, CONFIGURATION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTPD", str(server.root / "starter"))
        return server.start()


def done(server: Httpd, path: str) -> str:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text.strip()


@pytest.mark.parametrize("group", ["tmp", "forked", "asleep"])
def test_all_processes_of_a_group_share_a_tmp_that_no_other_has(server: Httpd, group: str):
    assert server.root.name in done(server, "/plain/list?/tmp")
    assert done(server, f"/{group}/list?/tmp") == ""
    assert done(server, f"/{group}/write?/tmp/of-{group}").isdigit()
    namespaces = {os.readlink(f"/proc/{daemon.pid}/ns/mnt") for daemon in server.daemons(group)}
    assert len(namespaces) == 1 and os.readlink(f"/proc/{server.parent.pid}/ns/mnt") not in namespaces
    assert [done(server, f"/{group}/read?{place}/of-{group}") for place in ("/tmp", "/var/tmp")] == ["here"] * 2
    assert done(server, f"/{group}/mount?/tmp") == "1777 nosuid"
    for name in {"plain", "other", "tmp", "forked"} - {group}:
        assert f"of-{group}" not in done(server, f"/{name}/list?/tmp")
    assert not Path(f"/tmp/of-{group}").exists() and not Path(f"/proc/{server.parent.pid}/root/tmp/of-{group}").exists()


def test_new_processes_have_the_same_tmp(server: Httpd):
    done(server, "/asleep/write?/tmp/kept")
    done(server, "/tmp/write?/tmp/kept")
    wait_for(lambda: not server.daemons("asleep"), "the group sleeps")
    assert done(server, "/asleep/read?/tmp/kept") == "here"
    before = {daemon.pid for daemon in server.daemons("tmp")}
    for begin in (server.graceful, server.restart, lambda: os.utime(server.root / "apps/walls.wsgi")):
        begin()
        done(server, "/tmp/list?/tmp")
        wait_for(lambda: len(new := {d.pid for d in server.daemons("tmp")}) == 2 and not new & before, "others")
        before = {daemon.pid for daemon in server.daemons("tmp")}
        assert done(server, "/tmp/read?/tmp/kept") == "here"


def test_a_full_tmp_is_the_groups_own_trouble(server: Httpd):
    assert done(server, "/other/fill?/tmp/full") == "ENOSPC"
    assert done(server, "/tmp/fill?/tmp/not-full").isdigit()
    assert done(server, "/forked/fill?/tmp/not-full").isdigit()


def test_homes_are_read_only(server: Httpd):
    assert done(server, "/plain/write?/home/alice/new").isdigit()
    assert done(server, "/read-only/read?/home/alice/note") == "of alice"
    assert done(server, "/read-only/write?/home/alice/new") == "EROFS"


def test_homes_of_others_are_hidden(server: Httpd):
    assert done(server, "/plain/read?/home/bob/note") == "of bob"
    assert (done(server, "/others/list?/home"), done(server, "/others/read?/home/bob/note")) == ("alice", "ENOENT")
    assert done(server, "/others/write?/home/alice/of-others").isdigit()
    assert done(server, "/plain/read?/home/alice/of-others") == "here"
    assert done(server, "/others/mount?/home") == "755 nosuid read-only"


def test_all_homes_are_hidden(server: Httpd):
    assert (done(server, "/none/list?/home"), done(server, "/none/read?/home/alice/note")) == ("EACCES", "EACCES")


@pytest.mark.parametrize("group, place", [("tmp", "/tmp"), ("none", "/home"), ("others", "/home")])
def test_a_namespace_of_its_own_does_not_show_what_is_behind(server: Httpd, group: str, place: str):
    if "srv" not in done(server, "/plain/escape?/"):
        pytest.skip("the kernel lets no user make namespaces")
    seen = done(server, f"/{group}/escape?{place}")
    assert server.root.name not in seen and "bob" not in seen


def test_a_stop_leaves_nothing(serve_once, monkeypatch):
    server = prepare(serve_once, CONFIGURATION)
    monkeypatch.setenv("HTTPD", str(server.root / "starter"))
    server.start()
    done(server, "/tmp/write?/tmp/kept")
    server.stop()
    server.start()
    assert done(server, "/tmp/list?/tmp") == ""


def test_a_group_that_cannot_have_walls_is_not_started(serve_once, monkeypatch):
    """Where the kernel lets httpd make no namespace, as in a container."""
    server = prepare(serve_once, CONFIGURATION, "setpriv --bounding-set -sys_admin")
    monkeypatch.setenv("HTTPD", str(server.root / "starter"))
    server.start()
    for group in ("tmp", "none", "forked"):
        assert server.get(f"/{group}/list?/tmp").status_code == 503
        assert not server.daemons(group)
    for group, options in (("tmp", "private-tmp="), ("none", "protect-home="), ("others", "private-tmp= and protect-home=")):
        server.wait_for_log(rf"WSGI367: process group '{group}' .*what {options} asks for cannot be had: .*not permitted.*CAP_SYS_ADMIN")
    assert done(server, "/plain/read?/home/bob/note") == "of bob", "the other groups run"


def test_configtest_names_what_is_hidden(serve_once, monkeypatch):
    lines = (
        f"WSGIDaemonProcess site python={PYTHON} user=alice home=/home/bob private-tmp=On protect-home=others\n"
        "WSGIScriptAlias / @APPS@/walls.wsgi process-group=site\n"
    )
    server = prepare(serve_once, lines)
    monkeypatch.setenv("HTTPD", str(server.root / "starter"))
    status, said = server.configtest()
    assert status == 0 and said.count("WSGI152") == 2, said
    assert "protect-home= hides home=/home/bob from its processes" in said
    assert f"private-tmp= hides the script {server.root}/apps/walls.wsgi" in said
