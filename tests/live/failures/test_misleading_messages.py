"""Mistakes with a reason that is easily taken for another: the message says what it is, and its cure is the right one.

Each cure is carried out by the test, and helps.
"""

from __future__ import annotations

import pwd
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

import packaged
import pythons
from httpd import IS_ROOT, Httpd
from machine import daemon_account
from waiting import wait_for

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm, pytest.mark.waits]

GROUP = "WSGIDaemonProcess site python-home=@PYTHON@\nWSGIScriptAlias / @APPS@/hello.wsgi process-group=site application-group=%{GLOBAL}\n"
EMBEDDED = "WSGIScriptAlias / @APPS@/hello.wsgi application-group=%{GLOBAL}\n"
NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can give daemons another user")


def base(python, version: str = "3.11") -> Path:
    return (python(version).home / "bin/python").resolve()


def make_environment(interpreter: Path, home: Path) -> None:
    subprocess.run([interpreter, "-m", "venv", "--without-pip", "--clear", home], check=True, env={"PATH": "/usr/bin:/bin"})
    subprocess.run(["chmod", "-R", "a+rX", home], check=True)


def both(serve_once, mode: str, home: str) -> Httpd:
    """A server with this home that is not started yet."""
    if mode == "daemon":
        return serve_once.prepare(GROUP.replace("@PYTHON@", home))
    return serve_once.prepare(f"WSGIPythonHome {home}\n" + EMBEDDED)


def refused(server: Httpd, mode: str) -> str:
    """What the log says when a request comes."""
    server.start()
    assert server.get("/").status_code == (503 if mode == "daemon" else 500)
    return server.wait_for_log("WSGI310")


def warned(server: Httpd, number: int) -> str:
    status, said = server.configtest()
    assert status == 0, said
    (line,) = [line for line in said.splitlines() if f"WSGI{number}" in line]
    return line


MODES = pytest.mark.parametrize("mode", ["daemon", "embedded"])


@MODES
@pytest.mark.parametrize("chain", [["/opt/no-longer/python3.9"], ["python3", "/opt/no-longer/python3.9"]], ids=["link", "chain"])
def test_an_environment_whose_python_is_gone(serve_once, python, mode: str, chain: list[str]):
    server = both(serve_once, mode, "@ROOT@/home")
    home = server.root / "home"
    make_environment(base(python), home)
    for name, target in zip(("python", "python3"), chain):
        (home / "bin" / name).unlink()
        (home / "bin" / name).symlink_to(target)
    if len(chain) == 1:
        (home / "bin/python3").unlink()
    said = warned(server, 124)
    assert "/opt/no-longer/python3.9" in said and f"python3 -m venv --clear {home}" in said, said
    said = refused(server, mode)
    assert "/opt/no-longer/python3.9, which is not there" in said and f"python3 -m venv --clear {home}" in said, said
    make_environment(base(python), home)
    wait_for(lambda: server.get("/").status_code == 200, "the environment that was built anew is used", timeout=40)


@MODES
@pytest.mark.parametrize("part", ["bin/python", "bin", "lib", "lib/python3.11/site-packages"])
def test_a_home_that_names_a_part_of_the_environment(serve_once, python, mode: str, part: str):
    server = both(serve_once, mode, f"@ROOT@/home/{part}")
    make_environment(base(python), server.root / "home")
    said = warned(server, 123)
    assert f"by python-home={server.root}/home or WSGIPythonHome" in said and "-m venv" not in said, said
    said = refused(server, mode)
    assert f"by python-home={server.root}/home or WSGIPythonHome" in said and "-m venv" not in said, said
    server.configuration_file.write_text(server.configuration_file.read_text().replace(f"home/{part}", "home"))
    server.restart()
    wait_for(lambda: server.get("/").status_code == 200, "it is cured")


def test_a_directory_as_interpreter(serve_once, python):
    server = serve_once.prepare(GROUP.replace("python-home=@PYTHON@", "python=@ROOT@/home"))
    make_environment(base(python), server.root / "home")
    assert f"write python-home={server.root}/home in place of python={server.root}/home" in warned(server, 123)
    assert f"write python-home={server.root}/home in place" in refused(server, "daemon")


@MODES
def test_zip_files_and_eggs_are_good_to_import_from(serve_once, mode: str):
    path = "@ROOT@/modules.egg:@ROOT@/modules.zip/below:@ROOT@/none.zip:@ROOT@/text"
    if mode == "daemon":
        server = serve_once.prepare(GROUP.replace("@PYTHON@", f"@PYTHON@ python-path={path}").replace("@APPS@/hello", "@ROOT@/imports"))
    else:
        server = serve_once.prepare(f"WSGIPythonHome @PYTHON@\nWSGIPythonPath {path}\n" + EMBEDDED.replace("@APPS@/hello", "@ROOT@/imports"))
    for name, member in (("modules.egg", "in_egg.py"), ("modules.zip", "below/in_zip.py")):
        with zipfile.ZipFile(server.root / name, "w") as archive:
            archive.writestr(member, "TEXT = __name__\n")
    (server.root / "text").write_text("no zip file\n")
    (server.root / "imports.wsgi").write_text(
        "import in_egg, in_zip\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [f'{in_egg.TEXT} {in_zip.TEXT}'.encode()]\n"
    )
    status, said = server.configtest()
    assert status == 0
    wrong = re.findall(r"WSGI112: .*?(\S+) is neither a directory nor a zip file", said)
    assert wrong == [f"{server.root}/none.zip", f"{server.root}/text"]
    assert server.start().get("/").text == "in_egg in_zip"


@MODES
@pytest.mark.parametrize("version", pythons.VERSIONS)
def test_an_environment_of_another_python(serve_once, python, mode: str, version: str):
    other = {"3.9": "3.13"}.get(version, "3.9")
    server = both(serve_once, mode, "@ROOT@/home")
    home = server.root / "home"
    make_environment(base(python, version), home)
    mine, theirs = home / f"lib/python{version}", home / f"lib/python{other}"
    mine.rename(theirs)
    (theirs / "site-packages/only_here.py").write_text("TEXT = 'found'\n")
    script = server.root / "apps/hello.wsgi"
    script.write_text("import only_here\n" + script.read_text())
    said = warned(server, 148)
    assert f"{home} has its packages in lib/python{other}" in said and f"is Python {version}" in said, said
    server.start()
    assert server.get("/").status_code == 500
    said = server.wait_for_log("WSGI438")
    assert f"{home} has its packages in lib/python{other}" in said and f"is Python {version}." in said, said
    assert f"python3 -m venv --clear {home}" in said and "only_here" in server.error_log()
    assert ":error]" in said
    mine.mkdir()
    (theirs / "site-packages").rename(mine / "site-packages")
    assert "WSGI148" not in server.configtest()[1]
    start = len(server.error_log())
    server.restart()
    wait_for(lambda: server.get("/").status_code == 200, "it is cured")
    assert "WSGI438" not in server.error_log()[start:]


@NEEDS_ROOT
@pytest.mark.parametrize("what", ["file", "folder", "link", "removed"])
@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_a_module_that_the_children_cannot_read(serve_once, python, what: str, version: str):
    """They have it in memory already: nothing is refused, and there is no word of a directory that was to be a module."""
    server = serve_once.prepare(f"WSGIPythonHome {python(version).home}\n" + EMBEDDED)
    folder = server.root / "folder"
    folder.mkdir()
    module = (server.root / "mod_wsgi.so").rename(folder / "mod_wsgi.so")
    loaded = server.root / "mod_wsgi.so" if what == "link" else module
    if what == "link":
        loaded.symlink_to(module)
    server.configuration_file.write_text(server.configuration_file.read_text().replace(f"{server.root}/mod_wsgi.so", str(loaded)))
    module.chmod(0o600 if what == "file" else 0o755)
    folder.chmod(0o700 if what in ("folder", "link") else 0o755)
    server.start()
    if what == "removed":
        module.unlink()
    assert server.get("/").status_code == 200
    assert "cannot read" not in server.error_log()


@NEEDS_ROOT
def test_requests_of_another_user_than_httpds(serve_once):
    itk = packaged.module("libapache2-mpm-itk", "mpm_itk.so")
    account = pwd.getpwnam("nobody")
    host = f"LoadModule mpm_itk_module {itk}\n<VirtualHost *:@PORT@>\nServerName localhost\nAssignUserID #{account.pw_uid} #{account.pw_gid}\n"
    alias = "WSGIScriptAlias / @APPS@/hello.wsgi process-group=site application-group=%{GLOBAL}\n</VirtualHost>\n"
    # A copy of mpm_itk's hangs in the clean-up of mod_http2.
    server = serve_once.prepare(
        f"WSGIDaemonProcess site python-home=@PYTHON@\n{host}{alias}", mpm="prefork", without=("http2",)
    )
    server.start()
    assert server.get("/").status_code == 503
    said = server.wait_for_log("WSGI231")
    own = pwd.getpwnam(daemon_account()).pw_uid
    assert f"for user {own}" in said and f"socket-user=#{account.pw_uid}" in said and "mpm_itk" in said, said
    assert "WSGISocketPrefix" not in said
    cured = server.configuration_file.read_text().replace("Process site", f"Process site socket-user=#{account.pw_uid}")
    server.configuration_file.write_text(cured)
    server.restart()
    wait_for(lambda: server.get("/").status_code == 200, "it is cured")


SENDS = """
def application(environ, start_response):
    body = b"never seen " * (100_000 if "large" in environ["QUERY_STRING"] else 1)
    headers = [("X-Sendfile", environ["DOCUMENT_ROOT"] + environ["PATH_INFO"])]
    if "length" in environ["QUERY_STRING"]:
        headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return [body]
"""


@MODES
@pytest.mark.parametrize("query", ["", "length", "large", "large-length"])
def test_a_file_that_xsendfile_does_not_find(serve_once, mode: str, query: str):
    module = packaged.module("libapache2-mod-xsendfile", "mod_xsendfile.so")
    alias = "WSGIScriptAlias / @ROOT@/sends.wsgi application-group=%{GLOBAL}"
    group = " process-group=site\nWSGIDaemonProcess site python-home=@PYTHON@\n" if mode == "daemon" else "\nWSGIPythonHome @PYTHON@\n"
    server = serve_once.prepare(f"LoadModule xsendfile_module {module}\nXSendFile On\nXSendFilePath @ROOT@/htdocs\n{alias}{group}")
    (server.root / "sends.wsgi").write_text(SENDS)
    (server.root / "htdocs/there").write_text("the file")
    server.start()
    with server.client() as client:
        for _ in range(2):
            if "large" not in query:  # what comes after a file that was sent goes on to the client
                assert client.get(f"/there?{query}").text == "the file"
            missing = client.get(f"/missing?{query}")
            assert missing.status_code == 404 and "Not Found" in missing.text and "never seen" not in missing.text
            assert missing.headers.get("connection", "keep-alive").lower() != "close"
    said = server.wait_for_log("WSGI240")
    assert "answered with 404 in place of the application" in said and ":info]" in said
    assert not re.search("WSGI22[13]|is cut", server.error_log())
