"""A fresh Debian 12 in a folder: nothing on it but what debootstrap puts there.

debian.py and dockerfile.py beside it try this project there as somebody does who has just installed Debian. Needs root
and the package debootstrap. Commands run by chroot in name spaces of their own: their mounts and processes end with
them, so nothing can be left mounted and nothing can be left running.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("TEST_CACHE") or "/var/tmp/mod_wsgi_rs-tests")
NOT_COPIED = shutil.ignore_patterns("target", ".git", "__pycache__", ".pytest_cache")
# A machine behind a proxy has its addresses and certificates in these.
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

ENTER = """
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
cp /etc/resolv.conf /etc/hosts "$0/etc/"
exec chroot "$0" "$@"
"""


class Root:
    def __init__(self, folder):
        self.folder = folder

    def run(self, *command, cwd="/", check=True, **environment):
        """Runs a command inside and shows what it prints."""
        print(f"\n### {cwd}# {' '.join(command)}", flush=True)
        line = self.line(*command, cwd=cwd, **environment)
        return subprocess.run(line, check=check, stdin=subprocess.DEVNULL).returncode

    def line(self, *command, cwd="/", **environment):
        namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        enter = ["unshare", *namespaces, "sh", "-euc", ENTER, str(self.folder)]
        return [*enter, *self.env(cwd, environment), *command]

    def env(self, cwd, environment):
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # Python's and Rust's clients read the system's certificates only when told to.
        told = {name: CERTIFICATES for name in ("PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO")}
        usual = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        words = {**usual, **told, **passed_on, **environment}
        return ["/usr/bin/env", "-i", "-C", cwd, *(f"{name}={value}" for name, value in words.items())]

    def copy_project(self, to):
        shutil.copytree(PROJECT, self.folder / to.lstrip("/"), ignore=NOT_COPIED, symlinks=True, dirs_exist_ok=True)


def scratch_folder():
    folder = Path(tempfile.mkdtemp(prefix="mod_wsgi_rs-fresh-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


def fresh_debian(folder):
    """Unpacks the base system, which is fetched once and kept, into `folder`."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise SystemExit("This needs root and the package debootstrap.")
    folder.mkdir()
    base = CACHE / "debian-12-base.tar"
    if not base.exists():
        fetch_base(folder, base)
    else:
        subprocess.run(["tar", "-C", folder, "-xf", base], check=True)
    return Root(folder)


def fetch_base(folder, base):
    bootstrap(folder, "bookworm")
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if sources.exists():
        (folder / "etc/apt/sources.list").unlink(missing_ok=True)
        shutil.copy(sources, folder / "etc/apt/sources.list.d")
    base.parent.mkdir(parents=True, exist_ok=True)
    partial = base.with_suffix(".partial")
    subprocess.run(["tar", "-C", folder, "-cf", partial, "."], check=True)
    partial.rename(base)


def bootstrap(folder, suite):
    """Fetches the base system of a suite."""
    print(f"Fetching Debian {suite} …", flush=True)
    subprocess.run(["debootstrap", "--variant=minbase", suite, str(folder)], check=True, stdout=subprocess.DEVNULL)
    # The certificates this machine trusts beside Debian's: the package ca-certificates picks them up.
    own = Path("/usr/local/share/ca-certificates")
    if own.is_dir():
        shutil.copytree(own, folder / own.relative_to("/"), dirs_exist_ok=True)
    # No service is started inside, as in a container.
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
