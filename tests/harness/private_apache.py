"""A private Apache: on loopback, in a folder of its own, unconnected to the machine's own Apache.

The demo, the benchmark, `make faults`, `make compat` and the tests of packaging start theirs with it. Standard library
only, since it runs before anything is installed.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from machine import daemon_user, libexec, program
from processes import Process, descendants

MODULES = ("mpm_event", "authn_core", "authz_core", "alias", "dir", "env", "mime", "setenvif", "unixd")

BASE = """\
ServerRoot "{folder}"
DefaultRuntimeDir "{folder}/run"
PidFile "{folder}/run/httpd.pid"
ErrorLog "{folder}/error.log"
LogLevel warn
ServerName localhost
TypesConfig /dev/null
AddType text/css .css
AddType text/javascript .js
AddType image/svg+xml .svg
{user}
<Directory />
    AllowOverride None
    Require all denied
</Directory>
"""


def make_public(folder):
    """Lets the daemons' user read all that is in `folder`."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))


def load_lines():
    lines = [
        f"<IfModule !{name}_module>\n    LoadModule {name}_module {libexec()}/mod_{name}.so\n</IfModule>\n"
        for name in MODULES
    ]
    return "".join(lines)


class Apache:
    def __init__(self, folder, configuration):
        self.folder = Path(folder)
        self.log = self.folder / "error.log"
        self.child = None
        self.seen = set()
        self.program = str(program())
        user = daemon_user()
        (self.folder / "run").mkdir(parents=True)
        self.folder.chmod(0o755)
        text = load_lines() + BASE.format(
            folder=self.folder,
            user=f"User {user.pw_name}\nGroup #{user.pw_gid}" if user else "",
        )
        self.conf = self.folder / "httpd.conf"
        self.conf.write_text(text + configuration)

    def command(self, *arguments):
        return [self.program, "-d", str(self.folder), "-f", str(self.conf), *arguments]

    def start(self, port):
        check = subprocess.run(self.command("-t"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check.returncode != 0:
            raise SystemExit(f"Apache does not accept {self.conf}:\n{check.stdout}")
        # A session of its own: Ctrl-C in the terminal reaches whoever called us, who then calls stop().
        with open(self.folder / "console.log", "wb") as console:
            self.child = subprocess.Popen(
                self.command("-DFOREGROUND"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.child.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    self.processes()
                    return
            time.sleep(0.05)
        raise SystemExit(f"Apache did not start:\n{self.last_words()}")

    def last_words(self):
        texts = [(self.folder / name) for name in ("console.log", "error.log")]
        lines = "".join(text.read_text(errors="replace") for text in texts if text.exists()).splitlines()
        return "\n".join(lines[-12:])

    def processes(self):
        """Every living process of this Apache, parent first. Each is remembered for the check in stop()."""
        self.seen.update([Process.of(self.child.pid), *descendants(self.child.pid)])
        self.seen.discard(None)
        return sorted((process for process in self.seen if process.alive), key=lambda process: process.pid)

    def cpu_seconds(self):
        """User and system time of all processes so far, those that have ended and been waited for included."""
        return sum(cpu_seconds(process.pid) for process in self.processes())

    def stop(self):
        """Ends Apache as `kill PID` does; returns the processes that outlived it by more than ten seconds."""
        if not self.child:
            return []
        self.processes()
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            pass
        deadline = time.monotonic() + 10
        while (left := [process for process in self.seen if process.alive]) and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in left:
            process.kill()
        self.child.wait()
        return left


def cpu_seconds(pid):
    """User and system time of a process and of the children it has waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
