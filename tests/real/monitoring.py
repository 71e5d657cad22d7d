"""Graphite's web application, with the virtual host that its package brings."""

from __future__ import annotations

import shutil

from application import Application, ask, disk, program
from httpd import Httpd
from published import give, lay
from pythons import Python

SETTINGS = """
SECRET_KEY = "a secret of many characters that no other site has"
ALLOWED_HOSTS = ["graphite"]
GRAPHITE_ROOT = "/opt/graphite"
WEBAPP_DIR = "/opt/graphite/webapp"
"""


def configuration(server: Httpd, python: Python) -> str:
    return (python.home / "examples/example-graphite-vhost.conf").read_text()


def set_up(server: Httpd, python: Python) -> None:
    """The example's lines for several instances are in force: the settings are not in the package."""
    lay(server, "/opt/graphite/webapp/local_settings.py", SETTINGS)
    shutil.copytree(python.home / "webapp/content", disk(server, "/opt/graphite/webapp") / "content")
    script = (python.home / "conf/graphite.wsgi.example").read_text()
    script = script.replace("# import os", "import os").replace("# os.environ", "os.environ")
    lay(server, "/opt/graphite/conf/graphite.wsgi", script.replace("graphite.local_settings", "local_settings"))
    disk(server, "/opt/graphite/storage/log/webapp")
    told = {"GRAPHITE_SETTINGS_MODULE": "local_settings", "PYTHONPATH": "."}
    for words in (["migrate", "--run-syncdb", "-v0"], ["collectstatic", "--noinput", "-v0"]):
        words.append("--settings=graphite.settings")
        program(server, python, "django-admin", *words, folder="/opt/graphite/webapp", **told)
    give(server, "/opt/graphite/storage")


def check(server: Httpd) -> None:
    assert "<title>Graphite Browser</title>" in ask(server, "http://graphite/").text
    line = "http://graphite/render/?target=constantLine(42)"
    assert ask(server, f"{line}&format=json").json()[0]["datapoints"][0][0] == 42
    assert ask(server, line).content.startswith(b"\x89PNG")
    assert ask(server, "http://graphite/static/js/dashboard.js").headers["Accept-Ranges"] == "bytes"  # httpd's


GRAPHITE = Application(("graphite-web==1.1.10", "setuptools<81"), configuration, set_up, check)
