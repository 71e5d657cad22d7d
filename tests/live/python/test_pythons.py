"""Environments made by every tool there is: each is found by its home, in both modes, and is what it says it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from httpd import Httpd

pytestmark = [pytest.mark.ours, pytest.mark.both_modes]

WHERE = """
import json, sys, sysconfig

def application(environ, start_response):
    body = json.dumps([sys.prefix, sys.base_prefix, sys.executable, sysconfig.get_path("purelib") in sys.path]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""

TOOLS = {
    "venv": ["@PYTHON@", "-m", "venv", "--without-pip"],
    "copies": ["@PYTHON@", "-m", "venv", "--without-pip", "--copies"],
    "system site packages": ["@PYTHON@", "-m", "venv", "--without-pip", "--system-site-packages"],
    "virtualenv": ["@TOOLS@/bin/python", "-m", "virtualenv", "--no-download", "--no-seed", "-q", "-p", "@PYTHON@"],
    "uv": ["@TOOLS@/bin/uv", "venv", "-q", "--offline", "-p", "@PYTHON@"],
}


def base_interpreter(python) -> Path:
    return (python("3.11").home / "bin/python").resolve()


def prepared(serve_once, home: Path | str) -> Httpd:
    server = serve_once.prepare(
        f"WSGIDaemonProcess site python-home={home}\nWSGIProcessGroup site\nWSGIScriptAlias / @ROOT@/where.wsgi\n"
    )
    (server.root / "where.wsgi").write_text(WHERE)
    return server


@pytest.mark.parametrize("tool", TOOLS)
def test_an_environment_is_what_its_home_says(serve_once, python, tool: str):
    server = prepared(serve_once, "@ROOT@/home")
    home = server.root / "home"
    command = [word.replace("@PYTHON@", str(base_interpreter(python))) for word in TOOLS[tool]]
    if tool in ("virtualenv", "uv"):
        tools = python("3.11", packages=("virtualenv", "uv")).home
        command = [word.replace("@TOOLS@", str(tools)) for word in command]
    subprocess.run([*command, home], check=True, cwd="/", capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"})
    subprocess.run(["chmod", "-R", "a+rX", home], check=True)
    prefix, base, executable, site_packages = server.start().get("/").json()
    assert (prefix, executable) in [(str(home), str(home / f"bin/{name}")) for name in ("python", "python3")]
    assert base != prefix and site_packages


def test_an_installation_may_be_named_by_its_prefix(serve_once, python):
    prefix = base_interpreter(python).parent.parent
    seen, base, executable, _ = prepared(serve_once, prefix).start().get("/").json()
    assert seen == base == str(prefix) and executable.startswith(f"{prefix}/bin/python")
