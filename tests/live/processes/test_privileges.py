"""What a daemon is and has: equal to what was asked for, and nothing more.

httpd itself is started with an open file, signals that are ignored and blocked, a umask, a nice value and a limit of
its own, by a program in its place, so that it shows which of these come through to a daemon.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from httpd import IS_ROOT, Httpd
from machine import daemon_account, program

pytestmark = [
    pytest.mark.ours,
    pytest.mark.skipif(
        not IS_ROOT, reason="only root can give daemons another user, another root or a higher priority"
    ),
]

NO_SUCH_UID = next(uid for uid in range(54321, 60000) if uid not in {entry.pw_uid for entry in pwd.getpwall()})
ASKED = (
    "user=daemon group=games supplementary-groups=audio,video umask=0137 home=@ROOT@/htdocs memory-limit=1G "
    "virtual-memory-limit=4G process-limit=500 cpu-time-limit=90500ms shutdown-timeout=4 cpu-priority=-5 lang=C locale=C.UTF-8 "
    "no-new-privileges=On "
    'python-eggs=@ROOT@/eggs env=COLOUR=blue env="GREETING=hello world"'
)
CONFIGURATION = f"""
WSGIDaemonProcess asked python-home=@PYTHON@ threads=2 {ASKED}
WSGIDaemonProcess plain python-home=@PYTHON@ threads=2
WSGIDaemonProcess unnamed python-home=@PYTHON@ user=#{NO_SUCH_UID}
WSGIScriptAlias /asked @APPS@/privileges.wsgi process-group=asked
WSGIScriptAlias /plain @APPS@/privileges.wsgi process-group=plain
WSGIScriptAlias /unnamed @APPS@/privileges.wsgi process-group=unnamed
"""
# The environment of httpd beside PATH and LANG.
OF_HTTPD = {"USER": "root", "USERNAME": "root", "LOGNAME": "root", "HOME": "/root", "OF_HTTPD": "yes"}
OF_HTTPD |= {"XDG_CACHE_HOME": "/var/cache/sites", "SSH_AUTH_SOCK": "/root/agent", "SUDO_USER": "admin", "MAIL": "/var/mail/root"}
OF_HTTPD |= {"XDG_RUNTIME_DIR": "/run/user/0", "XDG_SESSION_ID": "1", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/0/bus"}
STARTER = f"""#!{sys.executable}
import os, resource, signal, sys
os.dup2(os.open(@SECRET@, os.O_RDONLY), 7)
os.dup2(7, 77)
os.umask(0o026)
os.nice(3)
resource.setrlimit(resource.RLIMIT_CORE, (4096, 8192))
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])
os.environ.update(PYTHONHOME="/no/such/home", __PYVENV_LAUNCHER__="/no/such/python")
os.execv({str(program())!r}, sys.argv)
"""


@pytest.fixture(scope="module")
def server(serve, tmp_path_factory) -> Httpd:
    folder = tmp_path_factory.mktemp("starter")
    starter, secret = folder / "httpd", folder / "secret"
    secret.write_text("only root may read this\n")
    secret.chmod(0o600)
    starter.write_text(STARTER.replace("@SECRET@", repr(str(secret))))
    starter.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTPD", str(starter))
        server = serve(CONFIGURATION, environment=OF_HTTPD)
    assert {os.readlink(f"/proc/{server.parent.pid}/fd/{number}") for number in (7, 77)} == {str(secret)}
    return server


def seen(server: Httpd, path: str) -> dict:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def limits_of(pid: int) -> dict[str, list[int]]:
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: list(resource.prlimit(pid, getattr(resource, name))) for name in names}


def identity(seen: dict) -> dict:
    return {name: seen[name] for name in ("uids", "gids", "groups", "umask", "folder", "nice")}


def test_what_was_asked_for(server: Httpd):
    asked = seen(server, "/asked")
    assert identity(asked) == {
        "uids": [pwd.getpwnam("daemon").pw_uid] * 3,
        "gids": [grp.getgrnam("games").gr_gid] * 3,
        "groups": sorted(grp.getgrnam(name).gr_gid for name in ("audio", "video")),
        "umask": 0o137,
        "folder": str(server.root / "htdocs"),
        "nice": -5,
    }
    wanted = {"RLIMIT_DATA": [1 << 30] * 2, "RLIMIT_AS": [4 << 30] * 2, "RLIMIT_NPROC": [500] * 2}
    wanted["RLIMIT_CPU"] = [91, 91 + 1 + 4]
    assert asked["limits"] == limits_of(server.parent.pid) | wanted


def test_what_nobody_asked_for_is_as_httpd_has_it(server: Httpd):
    plain, account = seen(server, "/plain"), pwd.getpwnam(daemon_account())
    assert identity(plain) == {
        "uids": [account.pw_uid] * 3,
        "gids": [grp.getgrnam(daemon_account()).gr_gid] * 3,
        "groups": sorted(os.getgrouplist(account.pw_name, account.pw_gid)),
        "umask": 0o026,
        "folder": "/",
        "nice": 3,
    }
    limits = limits_of(server.parent.pid)
    assert plain["limits"] == limits and limits["RLIMIT_CORE"] == [4096, 8192]


def test_the_environment(server: Httpd):
    by_design = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "OF_HTTPD": "yes", "PYTHON_GIL": "1"}
    by_design["XDG_CACHE_HOME"] = "/var/cache/sites"

    def account(name: str) -> dict[str, str]:
        return {"USER": name, "USERNAME": name, "LOGNAME": name, "HOME": pwd.getpwnam(name).pw_dir}

    asked = {"LANG": "C", "LC_ALL": "C.UTF-8", "PYTHON_EGG_CACHE": f"{server.root}/eggs", "COLOUR": "blue"}
    asked["GREETING"] = "hello world"
    assert seen(server, "/asked")["environment"] == by_design | account("daemon") | asked
    assert seen(server, "/plain")["environment"] == by_design | account(daemon_account())
    assert seen(server, "/unnamed")["environment"] == by_design | {"HOME": "/"}, "nothing of root's"


def test_a_user_without_a_name_has_no_groups_of_others(server: Httpd):
    unnamed, group = seen(server, "/unnamed"), grp.getgrnam(daemon_account()).gr_gid
    assert (unnamed["uids"], unnamed["gids"], unnamed["groups"]) == ([NO_SUCH_UID] * 3, [group] * 3, [group])


@pytest.mark.parametrize("group, no_new_privileges", [("asked", "1"), ("plain", "0")])
def test_privileges_signals_and_parent(server: Httpd, group: str, no_new_privileges: str):
    (supervisor,) = server.supervisors()
    process = seen(server, f"/{group}")
    assert (process["parent"], process["session"]) == (supervisor.pid, process["pid"])
    none = "0" * 16
    # What Python ignores in every process.
    ignored = sum(1 << number - 1 for number in (signal.SIGPIPE, signal.SIGXFSZ))
    for thread in ("main thread", "this thread"):
        assert process[thread] == {
            "NoNewPrivs": no_new_privileges, "CapPrm": none, "CapEff": none, "CapAmb": none,
            "CapInh": capabilities(server, "CapInh"), "CapBnd": capabilities(server, "CapBnd"),
            "SigBlk": none, "SigIgn": f"{ignored:016x}",
        }  # fmt: skip


def capabilities(server: Httpd, field: str) -> str:
    """Of httpd: they are what a program might be given that carries capabilities of its own, as with every child of httpd."""
    return re.search(rf"^{field}:\s*(\S+)$", Path(f"/proc/{server.parent.pid}/status").read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("group", ["asked", "plain"])
def test_descriptors(server: Httpd, group: str):
    process = seen(server, f"/{group}")
    held = process["descriptors"]
    supervisor, children = server.supervisors()[0].pid, [child.pid for child in server.children()]
    numbered = {number: description(held.pop(number)) for number in "0123457"}
    socket = held_socket(numbered["4"])
    assert socket.parent == server.root / "run"
    pipes = {numbered[number] for number in "127"}
    assert len(pipes) == 3 and all(re.fullmatch(r"pipe:\[\d+\]", pipe) for pipe in pipes)
    assert numbered == {
        "0": "/dev/null",
        "1": numbered["1"],
        "2": numbered["2"],
        "3": f"AF_UNIX SOCK_SEQPACKET '' of {supervisor}",
        "4": f"AF_UNIX SOCK_STREAM listens '{socket}' of {server.parent.pid}",
        "5": "/memfd:mod_wsgi_rs-group (deleted)",
        "7": numbered["7"],
    }
    # Made by the process itself: what its threads wait with, what wakes them, and connections of httpd's children.
    others = sorted(description(entry) for entry in held.values())
    connections = {f"AF_UNIX SOCK_STREAM '{socket}' of {child}" for child in children}
    assert [other for other in others if other not in connections] == ["anon_inode:[eventfd]"] * 3 + [
        "anon_inode:[eventpoll]"
    ]
    assert len(others) > 4
    assert not any(entry["inheritable"] for entry in held.values())


def description(entry: dict) -> str:
    return f"{entry['kind']} '{entry['name']}' of {entry['peer']}" if "kind" in entry else entry["target"]


def held_socket(text: str) -> Path:
    return Path(re.search("'(.*)'", text)[1])


@pytest.mark.parametrize("group", ["asked", "plain"])
def test_memory_that_is_shared_with_others(server: Httpd, group: str):
    """What httpd's children read of a group, and what the supervisor reads of a process; nothing of httpd's."""
    (daemon,) = server.daemons(group)
    shared = re.findall(r"^\S+ (\S\S\S)s .*?(/.*|\[.*)?$", daemon.maps, re.MULTILINE)
    writable = sorted(name for permissions, name in shared if "w" in permissions)
    assert writable == ["/memfd:mod_wsgi_rs-activity (deleted)", "/memfd:mod_wsgi_rs-group (deleted)"]


@pytest.mark.parametrize("group", ["asked", "plain"])
def test_a_program_that_the_application_starts_gets_nothing_but_input_and_output(server: Httpd, group: str):
    process, child = seen(server, f"/{group}"), seen(server, f"/{group}/child")
    held = child["descriptors"]
    assert held == {"0": "/dev/null", "1": held["1"], "2": process["descriptors"]["2"]["target"]}
    assert held["1"].startswith("pipe:") and held["1"] != held["2"]
    assert (child["uids"], child["environment"]) == (process["uids"], process["environment"])


# Who may connect

CONNECT = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
print(len(connection.recv(4096)))
"""


def connect(server: Httpd, place: Path, user: str) -> str:
    """How many bytes this user gets who has the socket's place open, or why he gets none."""
    descriptor = os.open(place, os.O_PATH)
    command = [server.fill_in("@PYTHON@/bin/python"), "-c", CONNECT, f"/proc/self/fd/{descriptor}"]
    done = subprocess.run(
        command, user=user, group=user, extra_groups=[], cwd="/", capture_output=True, text=True, pass_fds=[descriptor]
    )
    os.close(descriptor)
    return (done.stdout or done.stderr).splitlines()[-1]


def test_nobody_but_httpd_is_talked_to(serve_once):
    server = serve_once(
        "WSGIDaemonProcess site python-home=@PYTHON@\nWSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n"
    )
    assert server.get("/").text == "Hello, world!"
    (path,) = server.socket_places()
    assert connect(server, path, "daemon").startswith("PermissionError")
    path.chmod(0o777)
    assert connect(server, path, "daemon") == "0", "closed without a word"
    server.wait_for_log(rf"WSGI383: refused a connection from uid {pwd.getpwnam('daemon').pw_uid} \(process \d+\)")
    assert server.error_log().count("WSGI383") == 1
    assert server.get("/").text == "Hello, world!"


# Another root directory


def make_root(server: Httpd) -> tuple[Path, Path]:
    """A directory with a Python, our module and the script in it, and Python's place there."""
    jail, python = server.root / "jail", Path(server.fill_in("@PYTHON@/bin/python")).resolve()
    ask = "import os, sysconfig; print(sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib'), sep='\\n')"
    folders = {Path(line) for line in run(python, "-I", "-c", ask).splitlines()}
    unneeded = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "__pycache__", "idlelib", "config-*", "*.a"
    )
    for folder in folders:
        shutil.copytree(folder, inside(jail, folder), ignore=unneeded, dirs_exist_ok=True)
    programs = [python, server.root / "mod_wsgi.so", *jail.rglob("lib-dynload/*.so")]
    libraries = re.findall(r"(/\S+) \(0x", "".join(run("ldd", path) for path in programs))
    script = server.root / "apps" / "privileges.wsgi"
    for path in {python, server.root / "mod_wsgi.so", script, *map(Path, map(os.path.normpath, libraries))}:
        inside(jail, path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, inside(jail, path))
    inside(jail, Path("/srv/site")).mkdir(parents=True)
    return jail, python


def inside(jail: Path, path: Path) -> Path:
    return jail / path.relative_to("/")


def run(*command) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def test_chroot(serve_once):
    server = serve_once.prepare("")
    jail, python = make_root(server)
    server.write_configuration(
        f"WSGIDaemonProcess jailed chroot=@ROOT@/jail python={python} home=/srv/site user=daemon "
        # Without /proc a Python that looks for its library beside itself has to be told where that is.
        f"env=OUTSIDE=@ROOT@/outside env=LD_LIBRARY_PATH={python.parent.parent}/lib\n"
        "WSGIScriptAlias /outside @APPS@/privileges.wsgi process-group=jailed\n"
        "WSGIScriptAlias / @ROOT@/jail@APPS@/privileges.wsgi process-group=jailed\n"
    )
    (server.root / "outside").write_text("not in the jail\n")
    server.start()
    refused = server.get("/outside")
    assert refused.status_code == 403 and "privileges.wsgi' is not below the chroot=" in server.wait_for_log("WSGI216")
    assert "privileges.wsgi at " in server.wait_for_log("wsgi:warn.*WSGI126")
    assert server.wait_for_log("is ready in"), "the other script is loaded in advance"
    assert "WSGI401" not in server.error_log()
    found = seen(server, "/files")
    assert found["root"] == found["above"] == sorted(path.name for path in jail.iterdir())
    assert found == {
        "folder": "/srv/site",
        "root": found["root"],
        "above": found["root"],
        "outside": "FileNotFoundError",
        "from below": "FileNotFoundError",
        "chroot": "PermissionError",
        "uids": [pwd.getpwnam("daemon").pw_uid] * 3,
        "executable": str(python),
    }
    (daemon,) = server.daemons("jailed")
    assert os.readlink(f"/proc/{daemon.pid}/root") == str(jail)
    assert os.readlink(f"/proc/{daemon.pid}/cwd") == f"{jail}/srv/site"
