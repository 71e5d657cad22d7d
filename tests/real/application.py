"""What a test knows of an application: its packages, its documented configuration, how it is set up, what it answers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

import published
from httpd import LIVE, Httpd
from pythons import Python

DOCUMENTED = LIVE / "real/documented"


@dataclass(frozen=True)
class Application:
    """`install` is what pip is told; `set_up` lays out the site before httpd starts, `check` asks it.

    `configuration` is the name of a file in DOCUMENTED, or finds the one that comes with the application.
    """

    install: tuple[str, ...]
    configuration: str | Callable[[Httpd, Python], str]
    set_up: Callable[[Httpd, Python], None]
    check: Callable[[Httpd], None]
    python: str = "3.11"

    def text(self, server: Httpd, python: Python) -> str:
        if isinstance(self.configuration, str):
            return (DOCUMENTED / f"{self.configuration}.conf").read_text()
        return self.configuration(server, python)


def ask(server: Httpd, url: str, **options) -> httpx.Response:
    """As `published.ask`, for applications that take their time to be imported."""
    return published.ask(server, url, timeout=300, **options)


def program(server: Httpd, python: Python, *words: str | Path, folder: str = "/", **environment: str | Path) -> str:
    """What a program of the environment says, in this folder of the deployment."""
    command = [str(python.home / "bin" / words[0]), *map(str, words[1:])]
    told = {"PATH": f"{python.home}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **{k: str(v) for k, v in environment.items()}}
    done = subprocess.run(command, cwd=disk(server, folder), env=told, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def disk(server: Httpd, path: str) -> Path:
    """The folder of the published deployment with this path, made where it is missing."""
    folder = server.root / "disk" / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def site_packages(python: Python) -> Path:
    return python.home / f"lib/python{python.version}/site-packages"
