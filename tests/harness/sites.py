"""Sites as users make them: Django projects from `startproject`, all with a settings module of the same name.

Used by the tests that run whole sites. The generated wsgi.py stays as it is; settings get a few lines at
their end, and the URLs a page that tells where the site runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from httpd import IS_ROOT, Httpd
from machine import daemon_account
from pythons import Python

SETTINGS = """

ALLOWED_HOSTS = ["*"]
SITE_NAME = {name!r}
STATIC_ROOT = BASE_DIR / "static"
STATIC_URL = "/static/"
CSRF_TRUSTED_ORIGINS = ["https://localhost:*", "https://localhost"]
"""

URLS = """
import json
import os
import pwd
import sys

import django
from django.conf import settings
from django.contrib import admin
from django.http import JsonResponse
from django.urls import path


def where(request):
    return JsonResponse({
        "site": settings.SITE_NAME,
        "settings": os.environ["DJANGO_SETTINGS_MODULE"],
        "folder": str(settings.BASE_DIR),
        "version": "%d.%d" % sys.version_info[:2],
        "prefix": sys.prefix,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "pid": os.getpid(),
        "greeting": os.environ.get("GREETING"),
        "colour": os.environ.get("COLOUR"),
        "path": request.path,
        "django": django.__file__,
    })


urlpatterns = [path("admin/", admin.site.urls), path("where", where)]
"""


@dataclass(frozen=True)
class Django:
    name: str
    python: Python
    folder: Path
    user: str

    @property
    def script(self) -> Path:
        return self.folder / "mysite" / "wsgi.py"

    def manage(self, *arguments: str, **environment: str) -> str:
        command = [str(self.python.executable), "manage.py", *arguments]
        clean = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment}
        done = subprocess.run(command, cwd=self.folder, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def make_django(server: Httpd, python: Python, name: str, user: str | None = None) -> Django:
    """A new project `mysite` in a folder of its own below the server's root, owned by its user."""
    folder = server.root / "sites" / name
    folder.mkdir(parents=True)
    python.run("-m", "django", "startproject", "mysite", folder)
    generated = (folder / "mysite" / "wsgi.py").read_text()
    assert 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")' in generated.replace("'", '"')
    with open(folder / "mysite" / "settings.py", "a") as settings:
        settings.write(SETTINGS.format(name=name))
    (folder / "mysite" / "urls.py").write_text(URLS)
    site = Django(name, python, folder, user or daemon_account())
    own(site)
    return site


def own(site: Django) -> None:
    """Give all files of the site to its user, as its deployment would."""
    if IS_ROOT:
        for path in (site.folder, *site.folder.rglob("*")):
            shutil.chown(path, site.user)
    os.chmod(site.folder, 0o755)
