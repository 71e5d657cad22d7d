"""A private Apache for one test or one test file: generated configuration, loopback only, nothing left behind.

Made by the fixtures of tests/live/conftest.py, and by `make soak`. The configuration given by a test may use these words:
@ROOT@ scratch folder, @APPS@ copy of tests/live/apps, @PORT@ @PORT2@ @TLS@ ports, @USER@ the account daemons run as,
@PYTHON@ the environment of Python 3.11, @HTTPS@ a virtual host for TLS on the port @TLS@.
The environment chooses what is tested: MODULE_SO the module, MPM event, worker or prefork, HTTPD the
server's program, LIVE_PYTHON another Python for @PYTHON@, QUICK=1 fewer Pythons, REFERENCE=1 the pip-installed
mod_wsgi 6.1.1 in place of our module, for comparison.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

import processes
import pythons
from certificate import trusting, write_certificate
from machine import PROJECT, daemon_account, free_ports, libexec, listening_ports, module_so, program
from processes import Process
from pythons import REFERENCE
from waiting import wait_for

LIVE = PROJECT / "tests/live"
MPM = os.environ.get("MPM", "event")
LIVE_PYTHON = os.environ.get("LIVE_PYTHON", "3.11")
IS_ROOT = os.geteuid() == 0

USUAL_MODULES = (
    "authz_core", "authz_host", "authn_core", "authn_file", "authz_user", "auth_basic", "alias", "dir", "env",
    "mime", "setenvif", "headers", "rewrite", "filter", "socache_shmcb", "ssl", "http2",
)  # fmt: skip


class Httpd:
    """One Apache parent with all that belongs to it."""

    def __init__(
        self, configuration: str, *, mpm: str = MPM, mode: str = "daemon", without: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ):  # fmt: skip
        self.root = Path(tempfile.mkdtemp(prefix="live-", dir="/tmp"))
        self.root.chmod(0o755)
        self.mpm = mpm
        self.mode = mode
        self.without = without
        self.ports = dict(zip(("PORT", "PORT2", "TLS"), free_ports(3)))
        self.environment = environment or {}
        self.parent: subprocess.Popen | None = None
        self._seen: set[Process] = set()
        for name in ("run", "htdocs"):
            (self.root / name).mkdir()
        shutil.copytree(LIVE / "apps", self.root / "apps", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_module_under_test(), self.root / "mod_wsgi.so")
        subprocess.run(["chmod", "-R", "a+rX", self.root], check=True)
        write_certificate(self.root)
        self.write_configuration(configuration)

    # Configuration

    def write_configuration(self, configuration: str) -> None:
        if self.mode == "embedded":
            configuration = embedded(configuration)
        self.configuration_file.write_text(self.fill_in(self._frame() + configuration + "\n"))

    def fill_in(self, text: str) -> str:
        words = {"HTTPS": HTTPS, "ROOT": self.root, "APPS": self.root / "apps", "USER": daemon_account(), **self.ports}
        if "@PYTHON@" in text:
            words["PYTHON"] = pythons.environment(LIVE_PYTHON).home
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        return text

    def writable_folder(self, name: str) -> Path:
        """A new folder below the root that applications may write to, under any account."""
        folder = self.root / name
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        return folder

    @property
    def configuration_file(self) -> Path:
        return self.root / "httpd.conf"

    def last_line_of(self, text: str) -> int:
        """The number of the configuration file's last line that holds this text."""
        lines = self.configuration_file.read_text().splitlines()
        return max(number for number, line in enumerate(lines, 1) if text in line)

    def configtest(self) -> tuple[int, str]:
        done = subprocess.run(self._command("-t"), capture_output=True, text=True, timeout=60, env=self._environment())
        return done.returncode, done.stderr

    def _frame(self) -> str:
        modules = "".join(f"LoadModule {name}_module {libexec()}/mod_{name}.so\n" for name in self._modules())
        account = f"User {daemon_account()}\nGroup {daemon_account()}\n" if IS_ROOT else ""
        load = 'LoadModule wsgi_module "@ROOT@/mod_wsgi.so"\n'
        if REFERENCE:
            load = f'LoadFile "{pythons.reference_module()[1]}"\n{load}WSGIPythonHome "@PYTHON@"\nWSGISocketPrefix "@ROOT@/run/wsgi"\n'
        return FRAME.replace("@MODULES@", modules).replace("@LOAD@", load).replace("@ACCOUNT@", account)

    def _modules(self) -> list[str]:
        wanted = {f"mpm_{self.mpm}", *USUAL_MODULES}.difference(self.without)
        return [name for name in sorted(wanted) if f"mod_{name}.c" not in built_in() and (libexec() / f"mod_{name}.so").exists()]

    # Life

    def start(self) -> Httpd:
        with open(self.root / "output.log", "ab") as output:
            self.parent = subprocess.Popen(
                self._command("-DFOREGROUND"), stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                cwd="/", env=self._environment(), start_new_session=True,
            )  # fmt: skip
        wait_for(self._answers, "httpd listens", timeout=20)
        self.note_processes()
        return self

    def _answers(self) -> bool:
        if self.parent.poll() is not None:
            raise AssertionError(f"httpd did not start ({self.parent.returncode}):\n{self.output()}{self.error_log()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["PORT"]), 1):
            # It listens before it is ready for signals: SIGTERM would kill it where it stands.
            parent = Process.of(self.parent.pid)
            return parent is not None and parent.catches(signal.SIGTERM)
        return False

    def graceful(self) -> None:
        """Send the signal of `apachectl graceful` and wait until the parent has begun the new generation."""
        self._restart(signal.SIGUSR1, "Graceful restart requested")

    def restart(self) -> None:
        self._restart(signal.SIGHUP, "SIGHUP received")

    def _restart(self, number: int, announcement: str) -> None:
        self.note_processes()
        before = self.error_log().count("resuming normal operations")
        self.parent.send_signal(number)
        wait_for(
            lambda: self.error_log().count("resuming normal operations") > before,
            f"resuming normal operations after: {announcement}", timeout=20,
        )  # fmt: skip
        self.note_processes()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the parent and check that no process, socket file or listening port of it is left."""
        if self.parent is None:
            return
        self.note_processes()
        self.parent.send_signal(number)
        try:
            self.parent.wait(timeout=30)
        finally:
            self._end_what_is_left()
            self.parent = None

    def _end_what_is_left(self) -> None:
        try:
            wait_for(lambda: not self.remains(), "everything of this httpd gone", timeout=15)
        except AssertionError as error:
            left = [f"{process.pid} {process.title} [{process.executable}]" for process in self._remaining_processes()]
            remains = self.remains()
            for process in self._remaining_processes():
                process.kill()
            raise AssertionError(f"left behind: {remains} {left}\n{self.error_log()[-3000:]}") from error

    def remains(self) -> list[str]:
        sockets = [str(path) for path in self.root.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
        bound = re.findall(re.escape(str(self.root)) + r"\S+", Path("/proc/net/unix").read_text())
        ports = [str(port) for port in self.ports.values() if port in listening_ports()]
        return [str(process.pid) for process in self._remaining_processes()] + sockets + bound + ports

    def _remaining_processes(self) -> list[Process]:
        return [p for p in {*self._seen, *processes.naming(self.root)} if p.alive and p.pid != os.getpid()]

    def close(self) -> None:
        """Stop, check, and remove the scratch folder (kept with KEEP=1)."""
        try:
            self.stop()
            assert "(os error" not in self.error_log(), "messages have the system's words, without Rust's number"
        finally:
            if os.environ.get("KEEP"):
                print(f"kept: {self.root}", file=sys.stderr)
            else:
                shutil.rmtree(self.root, ignore_errors=True)

    # Processes

    def note_processes(self) -> list[Process]:
        """All processes of this httpd now; remembered for the check at the end."""
        found = [Process.of(self.parent.pid), *processes.descendants(self.parent.pid)]
        self._seen.update(process for process in found if process)
        return [process for process in found if process]

    def daemons(self, group: str | None = None) -> list[Process]:
        wanted = "(wsgi:" if group is None else f"(wsgi:{group})"
        return [p for p in self.note_processes() if p.title.startswith(wanted) and not _is_supervisor(p)]

    def supervisors(self) -> list[Process]:
        """A daemon has its supervisor's title until it gives itself its own: a supervisor is no child of one."""
        named = [process for process in self.note_processes() if _is_supervisor(process)]
        pids = {process.pid for process in named}
        return [process for process in named if process.parent not in pids]

    def children(self) -> list[Process]:
        """The processes that speak HTTP."""
        of_parent = [p for p in self.note_processes() if p.parent == self.parent.pid]
        return [p for p in of_parent if not p.title.startswith("(wsgi:")]

    def wait_for_daemons(self, count: int, group: str | None = None, timeout: float = 15) -> list[Process]:
        what = f"{count} daemons of {group or 'all groups'}"
        return wait_for(lambda: len(found := self.daemons(group)) == count and found, what, timeout)

    def socket_places(self) -> list[Path]:
        """Where root reaches the groups' sockets, in the order of their making: they have no name, and the parent has them open."""
        places = {}
        for place in Path(f"/proc/{self.parent.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if made := re.search(r"\.(\d+)\.sock( \(deleted\))?$", os.readlink(place)):
                    places[int(made[1])] = place
        return [places[number] for number in sorted(places)]

    def socket_numbers(self) -> list[int]:
        """What the sockets are known by to the system."""
        return [place.stat().st_ino for place in self.socket_places()]

    # Requests

    def url(self, path: str = "/", *, port: str = "PORT") -> str:
        return f"{'https' if port == 'TLS' else 'http'}://localhost:{self.ports[port]}{path}"

    def client(self, *, port: str = "PORT", **options) -> httpx.Client:
        options.setdefault("timeout", 30)
        options.setdefault("verify", trusting() if port == "TLS" else False)
        transport_options = {key: options.pop(key) for key in ("http1", "http2", "verify") if key in options}
        transport = httpx.HTTPTransport(**transport_options)
        return httpx.Client(base_url=self.url("", port=port), transport=transport, trust_env=False, **options)

    def request(self, method: str, path: str, *, port: str = "PORT", **options) -> httpx.Response:
        with self.client(port=port) as client:
            return client.request(method, path, **options)

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)

    # Logs

    def error_log(self, name: str = "error.log") -> str:
        path = self.root / name
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def output(self) -> str:
        return self.error_log("output.log")

    def wait_for_log(self, pattern: str, *, name: str = "error.log", timeout: float = 10, start: int = 0) -> str:
        """The first line of the error log, from this position on, in which the pattern is found."""

        def line() -> str | None:
            lines = self.error_log(name)[start:].splitlines()
            return next((text for text in lines if re.search(pattern, text)), None)

        try:
            return wait_for(line, f"{pattern!r} in {name}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.error_log(name)[start:][-3000:]}") from None

    def _command(self, *arguments: str) -> list[str]:
        return [str(program()), "-f", str(self.configuration_file), *arguments]

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **self.environment}


FRAME = """\
ServerRoot "@ROOT@"
DefaultRuntimeDir "@ROOT@/run"
PidFile "@ROOT@/run/httpd.pid"
@MODULES@
@LOAD@
ServerName localhost:@PORT@
Listen 127.0.0.1:@PORT@
@ACCOUNT@
DocumentRoot "@ROOT@/htdocs"
TypesConfig /dev/null
ErrorLog "@ROOT@/error.log"
LogLevel info
<IfModule ssl_module>
LogLevel ssl:warn
</IfModule>
<IfModule http2_module>
LogLevel http2:warn
</IfModule>
Timeout 20
KeepAliveTimeout 5
StartServers 1
Protocols h2 h2c http/1.1
<IfModule ssl_module>
SSLCertificateFile "@ROOT@/localhost.crt"
SSLCertificateKeyFile "@ROOT@/localhost.key"
SSLSessionCache none
</IfModule>
<Directory />
AllowOverride None
Require all granted
</Directory>
"""

HTTPS = """\
Listen 127.0.0.1:@TLS@
<VirtualHost *:@TLS@>
    SSLEngine on
</VirtualHost>
"""


def embedded(configuration: str) -> str:
    """The same for applications in httpd's own processes: no process groups, and their options as directives."""
    options = " ".join(re.findall(r"^WSGIDaemonProcess (.*)$", configuration, re.MULTILINE))
    home, path = re.search(r"python-home=(\S+)", options), re.search(r"python-path=(\S+)", options)
    configuration = re.sub(r"^WSGI(DaemonProcess|ProcessGroup) .*\n|(?<=.wsgi) process-group=\S+|(?<=.py) process-group=\S+", "", configuration, flags=re.MULTILINE)
    directives = "<IfModule !mpm_prefork_module>\nMinSpareThreads 1\n</IfModule>\n"  # one child serves them all
    directives += f"WSGIPythonHome {home[1]}\n" if home and not REFERENCE else ""
    return directives + (f"WSGIPythonPath {path[1]}\n" if path else "") + configuration


@functools.cache
def built_in() -> str:
    """The modules that httpd's program has itself, by the names of their source files."""
    return subprocess.run([program(), "-l"], capture_output=True, text=True).stdout


def _is_supervisor(process: Process) -> bool:
    return process.title.startswith("(wsgi:supervisor)")


def _module_under_test() -> Path:
    return pythons.reference_module()[0] if REFERENCE else module_so()
