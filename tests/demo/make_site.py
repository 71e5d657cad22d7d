"""Makes one Django site as its documentation says: a virtual environment, `startproject mysite`, `migrate`.

The demo calls it for each of its sites and docker/Dockerfile for the one in the image. The generated wsgi.py stays as
it is. What is added: a title, a database and a static folder in settings.py, and one page that tells where it runs.

    make_site.py FOLDER --title TITLE [--python PYTHON] [--owner USER]
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

SETTINGS = '''

# What sets this site apart from the others.
SITE_TITLE = {title!r}
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
STATIC_ROOT = BASE_DIR / "static"
DATABASES["default"]["NAME"] = BASE_DIR / "data" / "{name}.sqlite3"
'''

URLS = """
from mysite.about import about

urlpatterns.append(path("", about))
"""

ABOUT = '''"""The page of the demo: which settings, which Python and which process answered."""

import getpass
import os
import platform
import sys

from django import get_version
from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpResponse


def about(request):
    facts = {
        "site": settings.SITE_TITLE,
        "settings module": os.environ["DJANGO_SETTINGS_MODULE"],
        "settings file": sys.modules[settings.SETTINGS_MODULE].__file__,
        "database": settings.DATABASES["default"]["NAME"],
        "accounts": get_user_model().objects.count(),
        "Python": platform.python_version(),
        "prefix": sys.prefix,
        "Django": get_version(),
        "process group": request.META.get("mod_wsgi.process_group"),
        "process": os.getpid(),
        "user": getpass.getuser(),
    }
    lines = [f"{name:16} {value}" for name, value in facts.items()]
    return HttpResponse("\\n".join(lines) + "\\n", content_type="text/plain; charset=utf-8")
'''

ACCOUNT = ("admin", "demo")


def make_site(folder, title, python, owner=None):
    os.umask(0o022)  # its processes run as another user
    folder = Path(folder)
    folder.mkdir(parents=True)
    run(python, "-m", "venv", folder / "venv")
    inside = folder / "venv/bin/python"
    run(inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", "Django")
    run(inside, "-m", "django", "startproject", "mysite", folder)

    project = folder / "mysite"
    append(project / "settings.py", SETTINGS.format(title=title, name=folder.name))
    append(project / "urls.py", URLS)
    (project / "about.py").write_text(ABOUT)

    data = folder / "data"
    data.mkdir()
    manage = [inside, folder / "manage.py"]
    run(*manage, "migrate", "-v0")
    run(*manage, "createsuperuser", "--noinput", "-v0", "--username", ACCOUNT[0], "--email", "admin@localhost",
        DJANGO_SUPERUSER_PASSWORD=ACCOUNT[1])
    run(*manage, "collectstatic", "--noinput", "-v0")
    if owner:
        # SQLite writes its journal beside the database: the site's processes own both, and nothing else.
        for path in [data, *data.iterdir()]:
            shutil.chown(path, owner)


def run(*command, **environment):
    # A site's folder says where its Python and settings are, not the shell that called us.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DJANGO_", "PYENV_", "VIRTUAL_ENV"))}
    subprocess.run([str(word) for word in command], check=True, env={**clean, **environment})


def append(path, text):
    path.write_text(path.read_text() + text)


def main():
    parser = argparse.ArgumentParser(description="Makes one Django site.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--owner", help="the user its processes run as")
    arguments = parser.parse_args()
    make_site(arguments.folder.absolute(), arguments.title, arguments.python, arguments.owner)


if __name__ == "__main__":
    main()
