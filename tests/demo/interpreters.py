"""Finds the Pythons of this machine and picks one for each site of the demo: as different ones as there are.

A Python below a folder that the daemons' user cannot enter (pyenv in /root) is copied into the demo's own folder.
DEMO_PYTHONS, a list of interpreters separated by colons, takes the place of the search.
"""

import glob
import os
import shutil
import stat
import subprocess
from pathlib import Path

PLACES = (
    "/usr/bin/python3",
    "/usr/bin/python3.*",
    "/usr/local/bin/python3.*",
    "/opt/python*/bin/python3",
    "~/.pyenv/versions/*/bin/python3",
    "~/.local/share/uv/python/*/bin/python3",
)
# A site needs TLS (for pip), SQLite and venv; a virtual environment is not taken for a Python.
QUESTION = """
import sys, ssl, sqlite3, ensurepip, venv
assert sys.prefix == sys.base_prefix
print(sys.version_info[0], sys.version_info[1], sys.prefix)
"""
OLDEST = (3, 9)


def find():
    """{(3, 11): ("/usr/bin/python3", "/usr")}: the first interpreter found of each version."""
    wanted = os.environ.get("DEMO_PYTHONS")
    patterns = wanted.split(":") if wanted else PLACES
    found = {}
    for pattern in patterns:
        for program in sorted(glob.glob(os.path.expanduser(pattern))):
            if program.endswith("-config") or not os.access(program, os.X_OK):
                continue
            answer = subprocess.run([program, "-I", "-c", QUESTION], capture_output=True, text=True)
            if answer.returncode == 0:
                major, minor, prefix = answer.stdout.strip().split(" ", 2)
                found.setdefault((int(major), int(minor)), (program, prefix))
    return {version: python for version, python in found.items() if version >= OLDEST}


def pick(count):
    """`count` versions from oldest to newest, spread over what was found; the same one again where there are fewer."""
    found = find()
    if not found:
        raise SystemExit("No Python 3.9 or newer with ssl, sqlite3 and venv was found: `make setup` installs Debian's.")
    versions = sorted(found)
    last = len(versions) - 1
    return [found[versions[round(i * last / (count - 1))]] for i in range(count)]


def public(python, folder):
    """The interpreter as everyone may run it: itself, or a copy in `folder`."""
    program, prefix = python
    if everyone_may_read(Path(program).resolve()) or os.geteuid() != 0:
        return program
    return copy(Path(program), Path(prefix), folder)


def everyone_may_read(path):
    if not path.stat().st_mode & stat.S_IXOTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def copy(program, prefix, folder):
    target = folder / prefix.name
    if not target.exists():
        name = program.resolve().name
        unneeded = shutil.ignore_patterns("test", "tests", "idlelib", "site-packages", "__pycache__", "*.a")
        (target / "bin").mkdir(parents=True)
        binary = target / "bin" / name
        shutil.copy2(prefix / "bin" / name, binary)
        shutil.copytree(prefix / "lib", target / "lib", symlinks=True, ignore=unneeded)
        # Its libpython is found beside it, no longer where it was built.
        subprocess.run(["patchelf", "--set-rpath", "$ORIGIN/../lib", str(binary)], check=True)
    return str(target / "bin" / program.resolve().name)
