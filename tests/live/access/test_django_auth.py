"""Django's page "Authenticating against Django's user database from Apache": its functions guard httpd's own sections.

With `process-group=` they run in the site's daemon, and no child of httpd has a Python.
"""

from __future__ import annotations

import pytest

import sites
from httpd import Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ python-path=@ROOT@/sites/shop threads=2
WSGIScriptAlias / @ROOT@/sites/shop/mysite/wsgi.py process-group=site
WSGIApplicationGroup %{GLOBAL}
<Location "/secret">
    AuthType Basic
    AuthName "Top Secret"
    Require valid-user
    AuthBasicProvider wsgi
    WSGIAuthUserScript @ROOT@/sites/shop/mysite/wsgi.py process-group=site
</Location>
<Location "/agents">
    AuthType Basic
    AuthName "Top Secret"
    AuthBasicProvider wsgi
    WSGIAuthUserScript @ROOT@/sites/shop/mysite/wsgi.py process-group=site
    WSGIAuthGroupScript @ROOT@/sites/shop/mysite/wsgi.py process-group=site
    Require wsgi-group secret-agents "тайные агенты"
</Location>
"""

# As on the page, but that today's Django wants to be set up before its models are imported.
SCRIPT = """
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.contrib.auth.handlers.modwsgi import check_password, groups_for_user
"""

URLS = """
from django.http import HttpResponse
from django.urls import re_path

urlpatterns = [re_path("", lambda request: HttpResponse(request.META.get("REMOTE_USER", "").encode("latin-1")))]
"""

PEOPLE = {"james": "a long word", "jane": "another word", "Иван": "пароль", "zoë": "pä", "🦊": "🔑 and :", "gone": "left"}

MAKE_PEOPLE = f"""
from django.contrib.auth.models import Group, User
for name, password in {PEOPLE!r}.items():
    User.objects.create_user(name, password=password, is_active=name != "gone")
agents, secret = Group.objects.create(name="secret-agents"), Group.objects.create(name="тайные агенты")
agents.user_set.add(*User.objects.filter(username__in=["james", "gone"]))
secret.user_set.add(User.objects.get(username="Иван"))
Group.objects.create(name="others").user_set.add(User.objects.get(username="jane"))
"""


@pytest.fixture(scope="module")
def server(serve, python) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    site = sites.make_django(server, python("3.11"), "shop")
    with open(site.folder / "mysite" / "settings.py", "a") as settings:
        settings.write('PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]\n')  # a fast one
    site.manage("migrate", "--verbosity=0")
    site.manage("shell", "-c", MAKE_PEOPLE)
    site.script.write_text(SCRIPT)
    (site.folder / "mysite" / "urls.py").write_text(URLS)
    sites.own(site)
    return server.start()


def status(server: Httpd, path: str, user: str | bytes, password: str | bytes) -> int:
    return server.get(path, auth=(user, password)).status_code


@pytest.mark.parametrize("name", [name for name in PEOPLE if name != "gone"])
def test_users_with_their_passwords(server: Httpd, name: str):
    answer = server.get("/secret/x", auth=(name, PEOPLE[name]))
    assert (answer.status_code, answer.text) == (200, name)
    for wrong in ("", PEOPLE[name] + "x", PEOPLE[name].encode()[:-1]):
        assert status(server, "/secret/x", name, wrong) == 401


def test_who_is_not_let_in(server: Httpd):
    answer = server.get("/secret/x")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Top Secret"')
    assert status(server, "/secret/x", "stranger", "a long word") == 401
    assert status(server, "/secret/x", "gone", PEOPLE["gone"]) == 401
    assert server.get("/elsewhere").status_code == 200


def test_members_of_a_group_and_others(server: Httpd):
    answers = {name: status(server, "/agents/x", name, password) for name, password in PEOPLE.items()}
    assert answers == {"james": 200, "Иван": 200, "jane": 401, "zoë": 401, "🦊": 401, "gone": 401}
    assert status(server, "/agents/x", "james", "wrong") == 401


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"\xd0", b"james\xed\xa0\x80", b"\xc0\x80"])
def test_bytes_that_are_no_utf8(server: Httpd, broken: bytes):
    start = len(server.error_log())
    assert status(server, "/secret/x", broken, b"a long word") == 401
    assert status(server, "/secret/x", "james", broken) == 401
    assert status(server, "/agents/x", broken, broken) == 401
    assert "Traceback" not in server.error_log()[start:]


def test_browsers_that_send_latin1(server: Httpd):
    assert status(server, "/secret/x", "zoë".encode("latin-1"), "pä".encode("latin-1")) == 200


@pytest.mark.daemon_mode
def test_no_child_has_a_python(server: Httpd):
    assert status(server, "/agents/x", "james", PEOPLE["james"]) == 200
    with_python = {process.pid for process in server.note_processes() if "lib-dynload" in process.maps}
    assert with_python == {process.pid for process in server.daemons("site")}
    assert server.children() and not [child.pid for child in server.children() if "libpython" in child.maps]
