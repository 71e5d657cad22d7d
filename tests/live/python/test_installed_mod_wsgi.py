"""Sites that have the distribution mod_wsgi in their environment: its modules are found, the server's stays in front."""

from __future__ import annotations

from pathlib import Path

import pytest

import pythons
from httpd import Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@HOME@ python-path=@ROOT@/packages threads=2
WSGIProcessGroup site
WSGIScriptAlias /main @APPS@/installed_mod_wsgi.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /other @APPS@/installed_mod_wsgi.wsgi application-group=other
"""

# As the distribution is laid out; it says who it is when it is executed in the place of the server's module.
STAND_IN = {
    "__init__.py": "raise ImportError('the server has a module of this name')\n",
    "server/__init__.py": "import mod_wsgi\nVERSION = mod_wsgi.version\nWHO = 'installed'\n",
    "server/apps.py": "WHO = __name__\n",
    "metrics.py": "from mod_wsgi.server import WHO\nfrom . import process_group\n",
}


def start(serve_once, home: Path, files: dict[str, str]) -> Httpd:
    server = serve_once.prepare(CONFIGURATION.replace("@HOME@", str(home)))
    for name, text in files.items():
        path = server.root / "packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return server.start()


def seen(server: Httpd, place: str, way: str) -> object:
    answer = server.get(f"/{place}/{way}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("version", pythons.VERSIONS)
def test_submodules_are_the_installed_ones(serve_once, python, version: str):
    files = {f"mod_wsgi/{name}": text for name, text in STAND_IN.items()}
    server = start(serve_once, python(version).home, files)
    for place in ("main", "other"):
        assert seen(server, place, "modules") == {
            "same version": True,
            "who": ["installed", "mod_wsgi.server.apps", "installed"],
            "ours stays": True,
            "path": [f"{server.root}/packages/mod_wsgi"],
            "spec": [f"{server.root}/packages/mod_wsgi"],
            "found": [f"{server.root}/packages/mod_wsgi/metrics.py", None],
            "listed": ["metrics", "server"],
            "missing": ["ModuleNotFoundError", "mod_wsgi.nothing"],
        }


@pytest.mark.parametrize("files", [{}, {"mod_wsgi.py": "raise ImportError('not this one')\n"}], ids=["none", "a file"])
def test_without_the_distribution(serve_once, python, files: dict[str, str]):
    server = start(serve_once, python("3.11").home, files)
    for place in ("main", "other"):
        assert seen(server, place, "without") == {
            "missing": ["ModuleNotFoundError", "mod_wsgi.server"],
            "path": None,
            "spec": None,
            "missing attribute": "module 'mod_wsgi' has no attribute 'nothing'",
        }


def test_the_distribution_itself_in_a_django_site(serve_once):
    """What its server package does when Django is set up needs no more than this module has."""
    home = pythons.environment("3.11", ("django", "mod_wsgi==6.1.1")).home
    server = start(serve_once, home, {})
    assert seen(server, "main", "django") == {
        "apps": ["mod_wsgi.server"],
        "commands": ["runmodwsgi"],
        "ours": True,
        "version": [True, True, True],
        "functions": [True, True, True],
    }
