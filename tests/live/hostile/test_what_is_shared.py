"""What sites have from the kernel in common because one httpd has started them: keys, sessions, locks of shared files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import strange_files
from httpd import IS_ROOT, Httpd
from machine import program
from strange_files import StrangeFile
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.skipif(not IS_ROOT, reason="sites of two users need root")]

CONFIGURATION = """
WSGIDaemonProcess one python-home=@PYTHON@ server-metrics=On
WSGIDaemonProcess two python-home=@PYTHON@ user=daemon group=daemon cpu-priority=5 processes=2
WSGIScriptAlias /one @ROOT@/obeys.wsgi process-group=one application-group=%{GLOBAL}
WSGIScriptAlias /two @ROOT@/obeys.wsgi process-group=two application-group=%{GLOBAL}
"""
OBEYS = """
import traceback


def application(environ, start_response):
    names = {"said": ""}
    try:
        exec(environ["wsgi.input"].read(), names)
    except BaseException:
        names["said"] = traceback.format_exc()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(names["said"]).encode()]
"""
KEYS = """
import ctypes, platform
LIBC = ctypes.CDLL(None, use_errno=True)
ADD, REQUEST, CONTROL = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[platform.machine()]
SESSION, USER = -3, -4

def join():
    return LIBC.syscall(CONTROL, 1, None)

def link(keyring, into):
    return LIBC.syscall(CONTROL, 8, keyring, into)

def add(name, secret, keyring=SESSION):
    return LIBC.syscall(ADD, b"user", name, secret, len(secret), keyring)

def find(name):
    key, secret = LIBC.syscall(CONTROL, 10, SESSION, b"user", name, 0), ctypes.create_string_buffer(100)
    return secret.value.decode() if LIBC.syscall(CONTROL, 11, key, secret, 100) > 0 else None
"""
# As a login through pam_keyinit does, with a key of root's own, and one that httpd was given.
STARTER = f"""#!{sys.executable}
import os, sys
{KEYS}
join(), link(USER, SESSION)
add(b"wsgi-test-root", b"root's", USER), add(b"wsgi-test-httpd", b"httpd's")
assert find(b"wsgi-test-root") and find(b"wsgi-test-httpd")
os.execv({str(program())!r}, sys.argv)
"""
TAKES_KEYS_AWAY = KEYS + """
LIBC.syscall(CONTROL, 9, LIBC.syscall(CONTROL, 10, USER, b"user", b"wsgi-test-root", 0), USER)
"""


def keys_work() -> bool:
    """In a process of its own, whose session keyring is replaced."""
    tried = subprocess.run([sys.executable, "-c", f"{KEYS}\nassert join() > 0 and add(b'a', b'b') > 0 and find(b'a')"], stderr=subprocess.DEVNULL)
    return tried.returncode == 0


def prepare(serve_once) -> Httpd:
    server = serve_once.prepare(CONFIGURATION)
    (server.root / "obeys.wsgi").write_text(OBEYS)
    return server


def tell(server: Httpd, site: str, program: str) -> str:
    answer = server.post(site, content=program.encode(), timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_no_site_has_the_keys_of_another_or_of_httpd(serve_once, tmp_path: Path, monkeypatch):
    if not keys_work():
        pytest.skip("the kernel or a container refuses keys")
    starter = tmp_path / "httpd"
    starter.write_text(STARTER)
    starter.chmod(0o755)
    monkeypatch.setenv("HTTPD", str(starter))
    try:
        server = prepare(serve_once).start()
        asks = KEYS + "said = [find(name) for name in (b'wsgi-test-site', b'wsgi-test-root', b'wsgi-test-httpd')]"
        # A site's own keyring serves it, though it counts as root's.
        assert tell(server, "/one", f"{KEYS}\nadd(b'wsgi-test-site', b'secret')\nsaid = find(b'wsgi-test-site')") == "secret"
        assert tell(server, "/two", asks) == "[None, None, None]"
        assert tell(server, "/one", asks) == "['secret', None, None]"
    finally:
        subprocess.run([sys.executable, "-c", TAKES_KEYS_AWAY], check=True)


def test_each_process_leads_a_session_of_its_own(serve_once):
    """A signal to its process group, and its place in the scheduler's order, concern no other."""
    server = prepare(serve_once).start()
    daemons = server.wait_for_daemons(3)
    for daemon in daemons:
        assert (os.getsid(daemon.pid), os.getpgid(daemon.pid)) == (daemon.pid, daemon.pid)
    if autogroup(os.getpid()):
        shown = {daemon.pid: autogroup(daemon.pid) for daemon in daemons}
        assert len({group for group, _nice in shown.values()}) == 3, shown
        nice = [{shown[daemon.pid][1] for daemon in server.daemons(group)} for group in ("one", "two")]
        assert nice == [{"0"}, {"5"}], "cpu-priority= counts beside other sessions too"


def autogroup(pid: int) -> tuple[str, str] | None:
    """Its name, and its nice value; None where the kernel has no such groups."""
    try:
        words = Path(f"/proc/{pid}/autogroup").read_text().split()
    except FileNotFoundError:
        return None
    return (words[0], words[-1]) if words else None


HOLDS = """
import mmap, os, sys
with open(sys.argv[2], "rb") as file:
    os.pwrite(int(sys.argv[1]), memoryview(mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_READ)), 0)
"""
STARTS_HOLDING = """
import os, subprocess, sys
links = {{int(fd): os.path.realpath("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")}}
page = [fd for fd, place in links.items() if "-scoreboard" in place]
said = subprocess.Popen([sys.executable, {holds!r}, str(page[0]), {strange!r}], pass_fds=page).pid
"""
ASKS = "import mod_wsgi\nsaid = mod_wsgi.server_metrics() is not None"


@pytest.mark.skipif(not strange_files.available(), reason="needs /dev/fuse")
def test_a_lock_of_the_scoreboards_file_keeps_no_other_site(serve_once):
    """On the code before, the supervisor waited for it as soon as the site asked for the scoreboard."""
    server = prepare(serve_once)
    holds, strange = server.root / "holds.py", server.root / "strange"
    holds.write_text(HOLDS)
    strange.touch()
    shutil.chown(strange, server.fill_in("@USER@"))
    server.start()
    assert tell(server, "/one", ASKS) == "True"
    file = StrangeFile(strange)
    try:
        tell(server, "/one", STARTS_HOLDING.format(holds=str(holds), strange=str(strange)))
        wait_for(lambda: file.seen, "a write to the page waits for its bytes")
        assert tell(server, "/one", ASKS) == "True"
        for daemon in server.daemons("two"):
            daemon.kill()
        wait_for(lambda: server.get("/two").status_code == 200, "the other site has new processes")
    finally:
        file.close()
