"""Modules of other packages for httpd, downloaded and unpacked beside the environments: nothing is installed or enabled.

Debian enables what it installs, in the machine's own Apache. A test that needs one is skipped where it cannot be had.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import pythons


def module(package: str, file: str) -> Path:
    """The module's file of this Debian package."""
    with pythons._locked_cache() as cache:
        folder = cache / "modules" / package
        found = folder / "root/usr/lib/apache2/modules" / file
        if not found.exists():
            if not shutil.which("apt-get") or not shutil.which("dpkg"):
                pytest.skip(f"{package} is unpacked on Debian only")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            fetched = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True)
            for archive in folder.glob("*.deb"):
                subprocess.run(["dpkg", "-x", archive, folder / "root"], check=True)
            if not found.exists():
                pytest.skip(f"`apt-get download {package}` did not bring {file}: {fetched.stderr.strip()[-200:]}")
            subprocess.run(["chmod", "-R", "a+rX", cache / "modules"], check=True)
        return found
