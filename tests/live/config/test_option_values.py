"""Every option of WSGIDaemonProcess with values that it refuses: `configtest` says where, what, and what is right.

And a check that every option has a test elsewhere in tests/live that shows its effect.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from httpd import LIVE, Httpd
from machine import PROJECT
from test_config_errors import place_of

pytestmark = pytest.mark.ours


def documented() -> list[str]:
    """The options of the tables in docs/directives.md."""
    page = (PROJECT / "docs/directives.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \|", page.partition("## WSGIDaemonProcess options")[2], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]


def several(names: str, values: list[str], expected: str) -> dict[str, tuple[list[str], str]]:
    return {name: (values, expected) for name in names.split()}


def numbers(names: str, least: int, most: int) -> dict[str, tuple[list[str], str]]:
    wrong = [str(least - 1), str(most + 1), "", "5x", "2,3", "1.5", "many"]
    return several(names, wrong, f"expected a whole number from {least} to {most}")


NOT_A_TIME = ["", "5x", "1.5", "-1", "64M", "'5 m'", "5min", "99999999999d"]
NOT_A_SIZE = ["", "5x", "1.5K", "-1", "30s", "64MB", "99999999999G"]
A_TIME = "expected a time such as 30 (seconds), 500ms, 5m, 2h or 1d"
A_SIZE = "expected a size such as 1048576 (bytes), 512K, 64M or 1G"
# Each option: values that it refuses, and what the message says of what it takes.
WRONG: dict[str, tuple[list[str], str]] = {
    **numbers("processes minimum-processes maximum-processes", 1, 256),
    **numbers("threads", 0, 65533),
    **numbers("listen-backlog", 1, 65535),
    **numbers("cpu-priority", -20, 19),
    **numbers("maximum-requests process-limit", 0, (1 << 63) - 1),
    **several(
        "connect-timeout socket-timeout queue-timeout response-socket-timeout shutdown-timeout graceful-timeout "
        "restart-interval inactivity-timeout startup-timeout request-timeout interrupt-timeout deadlock-timeout "
        "eviction-timeout cpu-time-limit idle-timeout",
        NOT_A_TIME,
        A_TIME,
    ),
    **several("response-flush-delay", NOT_A_TIME, "expected a time such as 5 (milliseconds), 500ms or 2s"),
    **numbers("maximum-interpreters", 1, 10000),
    **several("memory-limit virtual-memory-limit maximum-memory stack-size", NOT_A_SIZE, A_SIZE),
    **several("send-buffer-size receive-buffer-size", NOT_A_SIZE, A_SIZE),
    **several("response-buffer-size header-buffer-size", NOT_A_SIZE, A_SIZE),
    **several(
        "user socket-user script-user", ["", "nobody-of-this-name", "#", "#x", "#-1", "#4294967295"], "there is no user"
    ),
    **several("group script-group", ["", "no-group-of-this-name", "#x", "#-1", "#4294967295"], "there is no group"),
    "supplementary-groups": (["", "no-group-of-this-name", "#4294967295"], "there is no group"),
    "umask": (
        ["", "999", "1000", "0x1f", "-1", "+7", "u=rwx"],
        "expected an octal number from 0 to 0777, such as 0027",
    ),
    **several("chroot home", ["", "relative/place", "~/site"], "expected a directory that begins with /"),
    "start": (["", "later", "On"], "expected always or on-demand"),
    "overlap": (["", "1", "yes", "never"], "expected Auto, On or Off"),
    "preload": (["", "1", "yes"], "expected On or Off"),
    "no-new-privileges": (["", "yes", "1"], "expected On or Off"),
    "private-tmp": (["", "yes", "1", "512K", "10%", "5h"], "expected On, Off, or a size of at least 1M"),
    "protect-home": (["", "yes", "readonly", "home"], "expected Off, read-only, others or On"),
    "server-metrics": (["", "yes", "1"], "expected On or Off"),
    "switch-interval": (["", "0", "-1", "5ms", "nan", "inf"], "expected seconds greater than zero, such as 0.005"),
    "env": (["", "NAME", "=value"], "expected NAME=VALUE"),
}
# What is there may come later, but there must be a name.
PATHS = "python-home python python-eggs env-file"
# Every text is right, but there must be one.
ANY_TEXT = "lang locale python-path display-name"
# Mistakes of other kinds.
MORE = [
    ("idle-timeout=0", "option 'idle-timeout': expected a time longer than zero, found '0'"),
    ("send-buffer-size=511", "option 'send-buffer-size': expected 0 or a size of at least 512 bytes, found '511'"),
    ("receive-buffer-size=511", "'receive-buffer-size': expected 0 or a size of at least 512 bytes, found '511'"),
    ("response-buffer-size=65535", "expected 0 or a size of at least 65536 bytes, found '65535'"),
    ("header-buffer-size=8191", "'header-buffer-size': expected 0 or a size of at least 8192 bytes, found '8191'"),
    ("user=root", "option 'user': 'root' is root (uid 0), and applications never run as root: name an unprivileged"),
    ("user=#0", "option 'user': '#0' is root"),
    ("supplementary-groups=root,,root", "option 'supplementary-groups': there is no group ''"),
    ("supplementary-groups=root,no-such", "option 'supplementary-groups': there is no group 'no-such'"),
    ("script-user=root script-group=root", "script-user and script-group exclude each other: remove one of them"),
    ("minimum-processes=3 maximum-processes=2", "minimum-processes, processes and maximum-processes must not decrease"),
    ("processes=2 minimum-processes=3", "minimum-processes, processes and maximum-processes must not decrease"),
    ("display-name=My site", "'site' is not of the form option=value: write no blanks around the =, and quotes"),
    ('env="GREETING=hello', 'is not closed: add a " where the value ends'),
    ("threads = 5", "option 'threads' has no value: write threads=VALUE"),
    ("thread=5", "there is no option 'thread' (did you mean 'threads'?): correct or remove 'thread=5'"),
]


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare("WSGIDaemonProcess wrong")
    assert server.configtest()[0] == 0, "without an option all is well"
    return server


def refused(server: Httpd, options: str, words: str) -> None:
    server.write_configuration(f"# In front of it\nWSGIDaemonProcess wrong {options}\n# and after it")
    status, said = server.configtest()
    assert status != 0, f"{options} was taken"
    assert words in said, said
    assert re.search(place_of(server, "WSGIDaemonProcess wrong"), said), said
    assert "WSGI101: WSGIDaemonProcess: process group 'wrong': " in said or "is not closed" in said


def test_the_table_has_every_documented_option():
    names = [*WRONG, *PATHS.split(), *ANY_TEXT.split()]
    assert sorted(names) == sorted(documented())
    assert len(names) > 44


@pytest.mark.parametrize("option", WRONG)
def test_wrong_values_are_refused(server: Httpd, option: str):
    values, expected = WRONG[option]
    for value in values:
        found = value.strip("'")
        words = f"{expected} '{found}' on this system" if "there is no" in expected else f"{expected}, found '{found}'"
        refused(server, f"{option}={value}", f"option '{option}': {words}")


@pytest.mark.parametrize("option", PATHS.split())
def test_a_path_is_not_empty(server: Httpd, option: str):
    refused(server, f"{option}=", f"option '{option}': expected a path, found nothing")


@pytest.mark.parametrize("option", [*WRONG, *PATHS.split(), *ANY_TEXT.split()])
def test_an_option_has_a_value(server: Httpd, option: str):
    refused(server, option, f"option '{option}' has no value: write {option}=VALUE, without blanks around the =")


@pytest.mark.parametrize("options, words", MORE)
def test_other_mistakes(server: Httpd, options: str, words: str):
    refused(server, options, words)


# Effects


def texts(file: Path) -> str:
    """The string constants of a test file, with which it writes its configurations."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_every_option_has_a_test_that_shows_its_effect():
    about_configuration = {"test_config.py", "test_config_errors.py", Path(__file__).name}
    everything = "\n".join(texts(file) for file in LIVE.rglob("test_*.py") if file.name not in about_configuration)
    without = {name for name in documented() if not re.search(rf"(?<![\w-]){name}=", everything)}
    assert not without
