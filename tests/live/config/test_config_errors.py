"""Wrong configurations: what `httpd -t` says of each, and what a request gets that meets one.

What only an edit can mend is an error; what may come right by itself, or what mod_wsgi lets pass, is a
warning, and the request that meets it is answered with the same reason in the log. Every message names
the directive, the file and the line.
"""

from __future__ import annotations

import re

import pytest

from httpd import IS_ROOT, REFERENCE, Httpd
from waiting import wait_for

GROUP = "WSGIDaemonProcess site python-home=@PYTHON@\n"


# Each: name, the wrong line (the last of the configuration), words of the message.
WRONG = [
    ("unknown option", "WSGIDaemonProcess a colour=blue", "colour"),
    ("no option at all", "WSGIDaemonProcess a blue", "blue"),
    ("no name", "WSGIDaemonProcess", "WSGIDaemonProcess"),
    ("not a flag", "WSGIPassAuthorization yes", "On|Off"),
    ("not a flag in a section", "<Location /x>\nWSGIScriptReloading 1\n</Location>", "On|Off"),
    ("defined twice", "WSGIDaemonProcess site threads=3", "site"),
    ("unknown user", "WSGIDaemonProcess a user=nobody-of-this-name", "nobody-of-this-name"),
    ("unknown group", "WSGIDaemonProcess a group=no-group-of-this-name", "no-group-of-this-name"),
    ("no target", "WSGIScriptAlias /only", "WSGIScriptAlias"),
    ("unknown option of a mount", "WSGIScriptAlias /x @APPS@/hello.wsgi colour=blue", "colour"),
    ("bad pattern", "WSGIScriptAliasMatch ^/(x @APPS@/hello.wsgi", "WSGIScriptAliasMatch"),
    ("in the wrong place", "<Location /x>\nWSGIScriptAlias /x @APPS@/hello.wsgi\n</Location>", "WSGIScriptAlias"),
    ("group in the wrong place", "<Directory /x>\nWSGIDaemonProcess a\n</Directory>", "WSGIDaemonProcess"),
    ("prefix in a virtual host", "<VirtualHost *:1>\nWSGISocketPrefix run/x\n</VirtualHost>", "WSGISocketPrefix"),
    ("processes of none", "WSGIDaemonProcess a processes=0", "processes"),
    ("negative threads", "WSGIDaemonProcess a threads=-1", "threads"),
    ("no network", "WSGITrustedProxies proxy.example", "proxy.example"),
    ("relative home", "WSGIDaemonProcess a home=relative/path", "home"),
]
# What mod_wsgi lets pass and ours does not.
WRONG_FOR_US = [
    ("threads in words", "WSGIDaemonProcess a threads=abc", "threads.*abc|abc.*threads"),
    ("threads with junk", "WSGIDaemonProcess a threads=5x", "threads.*5x|5x.*threads"),
    ("processes with junk", "WSGIDaemonProcess a processes=2,3", "processes"),
    ("time with junk", "WSGIDaemonProcess a connect-timeout=5parsecs", "connect-timeout"),
    ("empty number", "WSGIDaemonProcess a threads=", "threads"),
    ("umask that is not octal", "WSGIDaemonProcess a umask=999", "umask"),
    ("header buffer that is too small", "WSGIDaemonProcess a header-buffer-size=8191", "at least 8192 bytes, found '8191'"),
    ("response buffer that is too small", "WSGIDaemonProcess a response-buffer-size=65535", "at least 65536 bytes, found '65535'"),
    ("env without a value", "WSGIDaemonProcess a env=NAME", "env"),
]
# Of directives that mod_wsgi does not have, or with other values.
WRONG_BODIES = [
    ("bodies in words", "WSGIBufferedRequest On", "expected a size such as .*512K.*, found 'On', or Off"),
    ("bodies with junk", "WSGIBufferedRequest 1MB", "found '1MB'"),
    ("neither flag nor Buffered", "WSGIChunkedRequest Auto", "expected On, Off or Buffered, found 'Auto'"),
]
NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can give daemons another user")


def check(serve_once, line: str, words: str) -> str:
    server: Httpd = serve_once.prepare(GROUP + line)
    status, said = server.configtest()
    assert status != 0, said
    if REFERENCE:  # it does not always say what was wrong, nor where
        return said
    assert re.search(words, said), said
    return located(server, said, line)


def located(server: Httpd, said: str, line: str) -> str:
    """The message names the file and the number of the wrong line."""
    wrong = next(part for part in server.fill_in(line).splitlines() if not part.startswith("<"))
    assert re.search(place_of(server, wrong), said), said
    return said


def place_of(server: Httpd, line: str) -> str:
    """A pattern for file and line number, as httpd or as compilers write it."""
    number, file = server.last_line_of(line), re.escape(str(server.configuration_file))
    return rf"line {number} of {file}|{file}:{number}\b"


@pytest.mark.parametrize("line, words", [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_errors(serve_once, line: str, words: str):
    check(serve_once, line, words)


@pytest.mark.ours
@pytest.mark.parametrize("line, words", [case[1:] for case in WRONG_FOR_US], ids=[case[0] for case in WRONG_FOR_US])
def test_stricter_errors(serve_once, line: str, words: str):
    said = check(serve_once, line, words)
    assert "WSGIDaemonProcess" in said


@pytest.mark.ours
@pytest.mark.parametrize("line, words", [case[1:] for case in WRONG_BODIES], ids=[case[0] for case in WRONG_BODIES])
def test_errors_about_bodies(serve_once, line: str, words: str):
    assert f"WSGI101: {line.split()[0]}: " in check(serve_once, line, words)


@NEEDS_ROOT
@pytest.mark.parametrize("user", ["root", "#0"])
def test_daemons_never_run_as_root(serve_once, user: str):
    check(serve_once, f"WSGIDaemonProcess a user={user}", "root|uid 0|UID 0|uid=0|0")


@pytest.mark.ours
def test_every_message_is_numbered(serve_once):
    for _, line, words in (*WRONG[:2], WRONG[5], *WRONG_FOR_US[:2]):
        assert re.search(r"WSGI\d{3,4}", check(serve_once, line, words)), line


@pytest.mark.ours
@pytest.mark.parametrize("value, ok", [("5m", True), ("64M", False), ("1h", True), ("250ms", True), ("0", True)])
def test_times_with_units(serve_once, value: str, ok: bool):
    server = serve_once.prepare(f"WSGIDaemonProcess a python-home=@PYTHON@ connect-timeout={value}")
    assert (server.configtest()[0] == 0) is ok


def test_a_right_configuration_is_silent(serve_once):
    server = serve_once.prepare(GROUP + "WSGIProcessGroup site\nWSGIScriptAlias / @APPS@/hello.wsgi")
    status, said = server.configtest()
    assert (status, said.splitlines()[-1]) == (0, "Syntax OK")
    assert "WSGI" not in said


# Warnings, and the requests that meet them

QUESTIONABLE = """
WSGIDaemonProcess good python-home=@PYTHON@ threads=2
WSGIDaemonProcess homeless python-home=@ROOT@/no-such-home connect-timeout=4
WSGIScriptAlias /good @APPS@/hello.wsgi process-group=good
WSGIScriptAlias /missing @APPS@/missing.wsgi process-group=good
WSGIScriptAlias /folder @ROOT@/htdocs process-group=good
WSGIScriptAlias /homeless @APPS@/hello.wsgi process-group=homeless
WSGIScriptAlias /undefined @APPS@/hello.wsgi process-group=nobody-defined-me
WSGIScriptAlias /import @APPS@/import_error.wsgi process-group=good
WSGIScriptAlias /syntax @APPS@/syntax_error.wsgi process-group=good
WSGIScriptAlias /callable @APPS@/no_callable.wsgi process-group=good
WSGIScriptAlias /unreadable @ROOT@/unreadable.wsgi process-group=good
WSGITrustedProxyHeaders X-Forwarded-Fro
"""


@pytest.fixture(scope="module")
def questionable(serve) -> Httpd:
    server = serve.prepare(QUESTIONABLE)
    unreadable = server.root / "unreadable.wsgi"
    unreadable.write_text("application = None\n")
    unreadable.chmod(0)
    return server.start()


@pytest.mark.ours
@pytest.mark.parametrize(
    "line, directive, words",
    [
        ("WSGIScriptAlias /missing", "WSGIScriptAlias", "missing.wsgi"),
        ("WSGIDaemonProcess homeless", "WSGIDaemonProcess", "no-such-home"),
        ("WSGIScriptAlias /undefined", "WSGIScriptAlias", "nobody-defined-me"),
        ("WSGIScriptAlias /folder", "WSGIScriptAlias", "htdocs"),
        ("WSGITrustedProxyHeaders", "WSGITrustedProxyHeaders", "did you mean 'X-Forwarded-For'"),
    ],
)
def test_warnings(questionable: Httpd, line: str, directive: str, words: str):
    status, said = questionable.configtest()
    assert status == 0, said
    place = place_of(questionable, line)
    about = [text for text in said.splitlines() if words in text]
    assert about and all(directive in text and re.search(place, text) for text in about), said


@pytest.mark.parametrize(
    "path, status, words",
    [
        ("/missing", 404, "missing.wsgi"),
        ("/folder/", 403, "htdocs"),
        ("/undefined", 500, "nobody-defined-me"),
        ("/import", 500, "a_module_that_nobody_has_written"),
        ("/syntax", 500, "SyntaxError"),
        ("/callable", 500, "application"),
    ],
)
def test_requests_that_meet_one(questionable: Httpd, path: str, status: int, words: str):
    start = len(questionable.error_log())
    assert questionable.get(path).status_code == status
    questionable.wait_for_log(words, start=start)


@NEEDS_ROOT
def test_a_script_that_the_daemon_cannot_read(questionable: Httpd):
    start = len(questionable.error_log())
    assert questionable.get("/unreadable").status_code in (403, 500)
    questionable.wait_for_log("unreadable.wsgi.*|Permission denied", start=start)


def test_the_others_are_served_all_the_same(questionable: Httpd):
    assert questionable.get("/good").text == "Hello, world!"


@pytest.mark.ours
def test_python_home_without_a_python(questionable: Httpd):
    start = len(questionable.error_log())
    answer = questionable.get("/homeless")
    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < 6
    questionable.wait_for_log("no-such-home", start=start)


@pytest.mark.ours
def test_a_missing_script_that_comes_is_served(questionable: Httpd):
    assert questionable.get("/missing").status_code == 404
    script = questionable.root / "apps" / "missing.wsgi"
    script.write_text((questionable.root / "apps" / "hello.wsgi").read_text())
    try:
        wait_for(lambda: questionable.get("/missing").status_code == 200, "the new script is served")
    finally:
        script.unlink()


@pytest.mark.ours
def test_a_start_and_each_restart_tell_the_log_once(serve_once):
    server = serve_once(GROUP + "WSGIDaemonProcess unused python-home=@PYTHON@\nWSGIScriptAlias / @APPS@/hello.wsgi process-group=site\n")
    assert server.error_log().count("WSGI108:") == 1 and server.output().count("WSGI108:") == 1
    for count, restart in enumerate((server.graceful, server.restart, server.graceful), 2):
        restart()
        wait_for(lambda: server.error_log().count("WSGI108:") == count, "the restart tells it again")
        assert server.get("/").status_code == 200
    assert server.error_log().count("WSGI108:") == 4 and server.output().count("WSGI108:") == 1
