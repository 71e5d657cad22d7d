"""Tries the README's commands on a fresh Debian 12: `python3 tests/fresh/debian.py [STEP…]`, as root.

Steps, in this order unless chosen: setup, demo, user (the demo once more without root), install, test (all of
`make test`; only when asked for). Whoever changes setup.sh, the demo or the installation runs it by hand; it takes
some minutes. KEEP=1 leaves the folder.
"""

import os
import shutil
import sys

from root import fresh_debian, scratch_folder

HERE = "/home/somebody/mod_wsgi_rs"


def setup(debian):
    debian.run("make", "setup", cwd=HERE)
    debian.run("sh", "-c", "! dpkg -s apache2 2>/dev/null && ! test -e /etc/apache2/apache2.conf && cargo --version")


def demo(debian):
    debian.run("make", "demo", "DEMO_ONCE=1", cwd=HERE)


def user(debian):
    debian.run("chown", "-R", "somebody:", "/home/somebody")
    debian.run("setpriv", "--reuid=somebody", "--regid=somebody", "--init-groups",
               "make", "demo", "DEMO_ONCE=1", cwd=HERE, HOME="/home/somebody")


def install(debian):
    debian.run("make", "install", "DESTDIR=/tmp/package", cwd=HERE)
    debian.run("find", "/tmp/package", "-type", "f")
    debian.run("make", "uninstall", "DESTDIR=/tmp/package", cwd=HERE)
    debian.run("sh", "-c", "test -z \"$(find /tmp/package -type f)\"")

    debian.run("apt-get", "install", "-y", "--no-install-recommends", "apache2")
    debian.run("make", "install", cwd=HERE)
    debian.run("a2enmod", "wsgi_rs")
    debian.run("apachectl", "configtest")
    debian.run("sh", "-c", "apachectl -M | grep wsgi_module")
    debian.run("make", "uninstall", cwd=HERE)
    debian.run("apachectl", "configtest")
    debian.run("sh", "-c", "! apachectl -M | grep wsgi_module")


def test(debian):
    debian.run("make", "test", cwd=HERE)


STEPS = {"setup": setup, "demo": demo, "user": user, "install": install, "test": test}


def main():
    chosen = sys.argv[1:] or ["setup", "demo", "user", "install"]
    unknown = set(chosen) - set(STEPS)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; steps: {', '.join(STEPS)}")
    folder = scratch_folder()
    try:
        debian = fresh_debian(folder / "debian")
        debian.run("useradd", "--create-home", "somebody")
        debian.copy_project(HERE)
        debian.run("apt-get", "update", "-q")
        debian.run("apt-get", "install", "-y", "--no-install-recommends", "make")
        for step in chosen:
            STEPS[step](debian)
        print(f"\nOn a fresh Debian 12: {', '.join(chosen)}: all went well.")
    finally:
        if os.environ.get("KEEP"):
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
