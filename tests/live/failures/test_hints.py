"""Where people get stuck: the log says what a failure most likely comes from, and the cure that it names helps.

Each cure is carried out by the test.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pythons
from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.both_modes]

GROUP = "WSGIDaemonProcess site python-home={home} {options}\n"
ALIAS = "WSGIScriptAlias / @ROOT@/project/site/app.wsgi process-group=site application-group=%{GLOBAL} {more}\n"
HELLO = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


@pytest.fixture
def site(serve_once, python):
    """A server whose script, in project/site/, has this text."""

    def start(text: str, *, version: str = "3.11", options: str = "", more: str = "") -> Httpd:
        home = python(version).home
        server = serve_once.prepare(GROUP.format(home=home, options=options) + ALIAS.replace("{more}", more))
        folder = server.root / "project/site"
        folder.mkdir(parents=True)
        (folder / "app.wsgi").write_text(text)
        return server

    return start


def failed(server: Httpd, number: int) -> str:
    assert server.get("/").status_code == 500
    return server.wait_for_log(f"WSGI{number}:")


def replace(path: Path, one: str, other: str) -> None:
    text = path.read_text()
    assert one in text
    path.write_text(text.replace(one, other))


PLACES = ["project/mysite/settings.py", "project/site/mysite.py", "mysite/__init__.py"]


@pytest.mark.parametrize("place, version", [*((place, "3.11") for place in PLACES), *((PLACES[0], version) for version in pythons.VERSIONS if version != "3.11")])
def test_a_package_that_is_beside_the_script_or_above(site, mode: str, place: str, version: str):
    server = site("from mysite import settings\n" + HELLO, version=version)
    module = server.root / place
    module.parent.mkdir(exist_ok=True)
    module.write_text("settings = 1\n")
    server.start()
    said = failed(server, 401)
    folder = module.parent if place.endswith("mysite.py") else module.parent.parent
    cure = f"python-path={folder} to WSGIDaemonProcess site" if mode == "daemon" else f"WSGIPythonPath {folder}"
    what = "mysite.py" if place.endswith("mysite.py") else "mysite/"
    assert f"{what} is in {folder}, which is not on sys.path: add {cure}. " in said
    home = re.escape(str(pythons.environment(version).home))
    assert re.search(rf"No module named 'mysite' \(Python {re.escape(version)}\.\d+ in {home}\)", said), said
    wait_for(lambda: server.get("/").status_code == 500 and server.error_log().count("WSGI401:") >= 2, "it is tried again", timeout=30)
    assert server.error_log().count("which is not on sys.path") == len(server.daemons() if mode == "daemon" else server.children())
    if mode == "daemon":
        replace(server.configuration_file, "WSGIDaemonProcess site ", f"WSGIDaemonProcess site python-path={folder} ")
    else:
        replace(server.configuration_file, "WSGIScriptAlias / ", f"WSGIPythonPath {folder}\nWSGIScriptAlias / ")
    server.restart()
    wait_for(lambda: server.get("/").text == "hello", "it is cured")


def test_what_is_nowhere_gets_no_such_advice(site):
    server = site("import mysite.settings\n" + HELLO).start()
    said = failed(server, 401)
    assert "No module named 'mysite' (Python 3.11." in said and "is not on sys.path" not in said


def test_a_package_is_installed_by_the_environment_that_runs(site, mode: str):
    server = site("import flask_of_nobody.views\n" + HELLO).start()
    said = failed(server, 401)
    interpreter = pythons.environment("3.11").home / "bin/python"
    assert interpreter.exists() and f"install it for this Python ({interpreter} -m pip install flask_of_nobody)" in said
    assert ("add its folder by python-path=" in said) == (mode == "daemon")
    assert ("runs in embedded mode, with httpd's Python: process-group=" in said) == (mode == "embedded")


def test_a_path_that_is_there_is_added_to(site, mode: str):
    """A second python-path= would replace the first."""
    server = site("import first, second\n" + HELLO, options="python-path=@ROOT@/one")
    if mode == "embedded":
        replace(server.configuration_file, "WSGIScriptAlias / ", f"WSGIPythonPath {server.root}/one\nWSGIScriptAlias / ")
    (server.root / "one").mkdir()
    for place in ("one/first.py", "project/second.py"):
        (server.root / place).write_text("")
    said = failed(server.start(), 401)
    where = "python-path= of WSGIDaemonProcess site" if mode == "daemon" else "WSGIPythonPath"
    assert f"second.py is in {server.root}/project, which is not on sys.path: add :{server.root}/project to the {where} that is there" in said
    replace(server.configuration_file, f"{server.root}/one", f"{server.root}/one:{server.root}/project")
    server.restart()
    wait_for(lambda: server.get("/").text == "hello", "it is cured")


@pytest.mark.daemon_mode
def test_a_script_of_access_control_in_embedded_mode(site):
    """It does not run where the site runs unless its line says so."""
    server = site(HELLO, options="python-path=@ROOT@/lib")
    script = server.root / "project/site/access.wsgi"
    script.write_text("import only_there\ndef allow_access(environ, host):\n    return True\n")
    (server.root / "lib").mkdir()
    (server.root / "lib/only_there.py").write_text("")
    line = f"WSGIAccessScript {script}"
    text = server.configuration_file.read_text()
    section = f"<Location />\n{line}\n</Location>\nWSGIPythonHome @PYTHON@\n"
    server.configuration_file.write_text(text + server.fill_in(section))
    said = failed(server.start(), 401)
    assert "runs in embedded mode, with httpd's Python: process-group= of the directive that names it" in said
    replace(server.configuration_file, line, f"{line} process-group=site")
    server.restart()
    wait_for(lambda: server.get("/").text == "hello", "it is cured")


def test_the_script_itself_is_no_module_beside_it(site):
    server = site("import flask_of_nobody\n" + HELLO)
    folder = server.root / "project/site"
    (folder / "app.wsgi").rename(folder / "flask_of_nobody.py")
    replace(server.configuration_file, "app.wsgi", "flask_of_nobody.py")
    said = failed(server.start(), 401)
    assert "No module named 'flask_of_nobody'" in said and "is not on sys.path" not in said


def test_a_part_that_is_missing_in_a_package_that_is_there(site, mode: str):
    path = "@ROOT@/project/site"
    server = site("import mysite.nothing\n" + HELLO, options=f"python-path={path}")
    if mode == "embedded":
        replace(server.configuration_file, "WSGIScriptAlias / ", f"WSGIPythonPath {server.root}/project/site\nWSGIScriptAlias / ")
    (server.root / "project/site/mysite").mkdir()
    (server.root / "project/site/mysite/__init__.py").write_text("")
    said = failed(server.start(), 401)
    assert "No module named 'mysite.nothing' (Python" in said and "is not on sys.path" not in said


def test_an_import_while_a_request_is_handled(site):
    server = site(HELLO.replace("    return", "    import nothing_of_this_name\n    return")).start()
    said = failed(server, 408)
    assert " (Python 3.11." in said and str(pythons.environment("3.11").home) in said


ASGI = {
    "function": "async def application(scope, receive, send):\n    await send({})\n",
    "object": "class App:\n    async def __call__(self, scope, receive, send):\n        await send({})\napplication = App()\n",
    "double": "class application:\n    def __init__(self, scope):\n        pass\n    async def __call__(self, receive, send):\n        pass\n",
    "django": """
from django.conf import settings
settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
urlpatterns = []
from django.core.asgi import get_asgi_application
application = get_asgi_application()
""",
}


@pytest.mark.parametrize("kind", ASGI)
def test_an_asgi_application(site, kind: str):
    server = site(ASGI[kind]).start()
    said = failed(server, 441)
    assert f"application of '{server.root}/project/site/app.wsgi' is written for ASGI (it takes scope" in said
    assert "get_wsgi_application()" in said and "mod_proxy" in said
    for _ in range(3):
        assert server.get("/").status_code == 500
    assert server.error_log().count("WSGI441:") <= len(server.children() + server.daemons())
    if kind == "django":
        replace(server.root / "project/site/app.wsgi", "asgi", "wsgi")
        server.restart()
        wait_for(lambda: server.get("/").status_code == 404, "Django answers", timeout=30)


@pytest.mark.parametrize("text", ["async " + HELLO.strip(), HELLO.replace("def application", "async def inner") + "def application(*arguments):\n    return inner(*arguments)\n"])
def test_a_coroutine_function(site, text: str):
    server = site(text).start()
    assert "is a coroutine function (async def), and this server runs WSGI applications: " in failed(server, 441)
    assert "never awaited" not in server.error_log()


def test_other_type_errors_are_the_applications_own(site):
    server = site(HELLO.replace("    return", "    len(1)\n    return")).start()
    failed(server, 408)
    assert "WSGI441" not in server.error_log()


@pytest.mark.parametrize("named", ["", "callable-object=other"])
def test_a_callable_under_another_name(site, named: str):
    other = "application" if named else "app"
    server = site(HELLO.replace("def application", f"def {other}"), more=named).start()
    said = failed(server, 405)
    missing = "other" if named else "application"
    assert f"has no callable '{missing}'. It has '{other}': write callable-object={other}" in said
    text = server.configuration_file.read_text().replace(named or "%{GLOBAL}", f"callable-object={other}" if named else f"%{{GLOBAL}} callable-object={other}")
    server.configuration_file.write_text(text)
    server.restart()
    wait_for(lambda: server.get("/").text == "hello", "it is cured")


def test_nothing_that_could_be_called(site):
    server = site("app = 1\n").start()
    assert "has no callable 'application'. Define it" in failed(server, 405)
