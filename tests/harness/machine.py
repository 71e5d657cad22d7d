"""What a private Apache takes from this machine: program, modules, account, ports; and the module under test.

httpd.py and private_apache.py both start theirs with it. Standard library only, since the demo and the benchmark run
before anything is installed.
"""

from __future__ import annotations

import errno
import functools
import os
import pwd
import random
import shutil
import socket
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@functools.cache
def apxs(*names):
    """What Apache's own build says about itself, or None where apxs is not installed."""
    try:
        answers = [subprocess.check_output(["apxs", "-q", name], text=True).strip() for name in names]
    except FileNotFoundError:
        return None
    return answers[0] if len(answers) == 1 else answers


def program() -> Path:
    """Apache's program: HTTPD, or the one that apxs belongs to, or another."""
    if wanted := os.environ.get("HTTPD"):
        return Path(wanted)
    found = apxs("SBINDIR", "PROGNAME")
    if found and os.access(os.path.join(*found), os.X_OK):
        return Path(*found)
    found = shutil.which("apache2", path="/usr/sbin:/usr/bin") or shutil.which("httpd")
    if not found:
        raise SystemExit("There is no Apache on this machine: `make setup` installs it.")
    return Path(found)


def libexec() -> Path:
    """Where Apache's modules are."""
    return Path(apxs("LIBEXECDIR") or "/usr/lib/apache2/modules")


def daemon_user() -> pwd.struct_passwd | None:
    """Whom Apache's processes run as when it is started by root; None otherwise, as then nothing changes user."""
    if os.geteuid() != 0:
        return None
    for name in ("www-data", "apache", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("There is no user www-data, apache or nobody on this machine.")


@functools.cache
def daemon_account() -> str:
    """The name of this user, or ours when we are not root."""
    return (daemon_user() or pwd.getpwuid(os.geteuid())).pw_name


def module_so() -> Path:
    """The module under test."""
    module = Path(os.environ.get("MODULE_SO") or PROJECT / "target/release/libmod_wsgi_rs.so")
    if not module.is_file():
        raise SystemExit(f"There is no {module}: `make build` makes it.")
    return module


_given_out: set[int] = set()


def free_ports(count: int, first: int | None = None) -> list[int]:
    """Ports of the loopback interface that nobody has and that this run has not given out before.

    They are any, or those from `first` upwards so that the addresses are easy to remember. None is one that the kernel
    may give to a client meanwhile.
    """
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first is None:
        candidates = iter(lambda: random.randrange(10_000, first_of_clients), None)
    else:
        candidates = iter(range(first, first_of_clients))
    found: list[int] = []
    for port in candidates:
        # What a server had that has just ended counts as free only where the same addresses are wanted again.
        if port not in _given_out and _is_free(port, reuse=first is not None):
            _given_out.add(port)
            found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("There are no free ports on 127.0.0.1.")


def _is_free(port: int, reuse: bool) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def listening_ports() -> set[int]:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(fields[1].partition(":")[2], 16) for fields in lines if fields[3] == "0A"}
