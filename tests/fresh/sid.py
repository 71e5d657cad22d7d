"""Tries the built module on Debian sid: a newer httpd and newer Pythons than those it was built with.

`python3 tests/fresh/sid.py`, as root; needs debootstrap and a module (MODULE_SO, else target/release). Not part of
`make test`: whoever changes what reaches into httpd's or Python's structures runs it by hand. The first run fetches
sid with Apache and every Python that sid has, some minutes, into a folder that is kept (FRESH=1 makes it anew).
FREE_THREADED=1 adds a Python without a GIL, which Debian does not package: built from Debian 13's source, in five
more minutes. What is checked then is in `sid_inside.py`, which runs there.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from root import CACHE, PROJECT, Root, bootstrap

HERE = Path(__file__).resolve().parent
FOLDER = CACHE / "debian-sid"
INSIDE = "/root/mod_wsgi_rs"
# A mirror may be some weeks behind, and its lists be past their date.
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "Acquire::Check-Valid-Until=false")
INSTALL = (*APT, "install", "--no-install-recommends")

FREE_THREADED = """
echo 'deb-src http://deb.debian.org/debian trixie main' >/etc/apt/sources.list.d/trixie-source.list
cd /root
apt-get -q -o Acquire::Check-Valid-Until=false update
apt-get -q source --download-only python3.13
dpkg-source --no-check -x python3.13_*.dsc free-threaded
cd free-threaded
./configure --disable-gil --prefix=/opt/python3.13t -q
make -s -j2
# The packaged pip refuses to be installed; without it there is all that is needed.
make -s altinstall ENSUREPIP=no
rm -r /root/free-threaded /root/python3.13_*
"""


def prepared():
    """Sid with what is needed, made once and kept."""
    root = Root(FOLDER)
    if os.environ.get("FRESH") and FOLDER.exists():
        shutil.rmtree(FOLDER)
    if not FOLDER.exists():
        partial = Root(FOLDER.with_suffix(".partial"))
        shutil.rmtree(partial.folder, ignore_errors=True)
        partial.folder.mkdir(parents=True)
        bootstrap(partial.folder, "sid")
        partial.run(*APT, "update")
        partial.run(*INSTALL, "apache2-bin", "python3", *pythons(partial))
        partial.folder.rename(FOLDER)
    libraries = [name.replace("python", "libpython").removesuffix("-venv") for name in pythons(root)]
    root.run(*INSTALL, *libraries)
    if os.environ.get("FREE_THREADED") and not (FOLDER / "opt/python3.13t").exists():
        root.run(*INSTALL, "gcc", "libc6-dev", "make", "zlib1g-dev", "dpkg-dev", "xz-utils")
        root.run("nice", "sh", "-euc", FREE_THREADED)
    return root


def pythons(root):
    """Every version that has the packages for a virtual environment, free-threaded ones too should they come."""
    line = root.line("apt-cache", "pkgnames", "python3.")
    names = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    return sorted(name for name in names if re.fullmatch(r"python3\.\d+(t|-nogil)?-venv", name))


def main():
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise SystemExit("This needs root and the package debootstrap.")
    module = Path(os.environ.get("MODULE_SO") or PROJECT / "target/release/libmod_wsgi_rs.so")
    if not module.exists():
        raise SystemExit(f"{module} is missing: `cargo build --release`, or set MODULE_SO")
    root = prepared()
    inside = FOLDER / INSIDE.lstrip("/")
    shutil.rmtree(inside, ignore_errors=True)
    shutil.copytree(PROJECT / "tests/live/apps", inside / "apps")
    shutil.copy(module, inside / "mod_wsgi_rs.so")
    shutil.copy(HERE / "sid_inside.py", inside)
    sys.exit(root.run("python3", f"{INSIDE}/sid_inside.py", check=False))


if __name__ == "__main__":
    main()
