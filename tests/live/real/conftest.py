"""The fixture `deploy`: applications from their packages behind the configurations that they publish."""

from __future__ import annotations

from pathlib import Path

import pytest

import pythons
from httpd import LIVE_PYTHON, Httpd
from published import prepare

DOCUMENTED = Path(__file__).parent / "documented"
# Installed once, in one environment for all of them; Django and Flask are in that of the other live tests.
PACKAGES = ("trac", "setuptools<81", "radicale", "pyramid", "bottle", "pypiserver", "mercurial")


@pytest.fixture
def deploy(serve_once):
    """`deploy("trac")`: a server with this configuration, not started, and the environment with the applications."""

    def make(name: str, packages: tuple[str, ...] = PACKAGES, before: str = "") -> tuple[Httpd, pythons.Python]:
        python = pythons.environment(LIVE_PYTHON, packages)
        return prepare(serve_once, (DOCUMENTED / f"{name}.conf").read_text(), python.home, before), python

    return make
