"""More process groups than the usual limit of 1,024 descriptors has room for: it is raised, or the message says to what."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

import pytest

from httpd import Httpd
from machine import program
from waiting import wait_for

USUAL = 1024
PLENTY = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

pytestmark = [
    pytest.mark.any_mpm,
    pytest.mark.waits,
    pytest.mark.ours,
    pytest.mark.skipif(PLENTY < 15_000, reason="a thousand groups need a hard limit of 15,000 descriptors"),
]

STARTER = f"""#!{sys.executable}
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(os.environ["SOFT"]), int(os.environ["HARD"])))
os.execv({str(program())!r}, sys.argv)
"""


@pytest.fixture
def limited_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve_once):
    """`limited_to(groups, soft, hard)`: a server with so many groups, and these limits of descriptors."""
    starter = tmp_path / "httpd"
    starter.write_text(STARTER)
    starter.chmod(0o755)
    monkeypatch.setenv("HTTPD", str(starter))

    def prepare(groups: int, soft: int, hard: int) -> Httpd:
        return serve_once.prepare(configuration(groups), environment={"SOFT": str(soft), "HARD": str(hard)})

    return prepare


def configuration(groups: int) -> str:
    """The first has a process from the start."""
    lines = [
        f"WSGIDaemonProcess site{number} python-home=@PYTHON@ threads=2 {'start=on-demand' if number else ''}\n"
        f"WSGIScriptAlias /site{number} @APPS@/privileges.wsgi process-group=site{number} application-group=%{{GLOBAL}}"
        for number in range(groups)
    ]
    return "\n".join(lines)


def started(server: Httpd) -> Httpd:
    """It listens before it makes room."""
    server.start()
    server.wait_for_log("resuming normal operations")
    return server


def limits(pid: int) -> tuple[int, int]:
    """From the text, which tells of other users' processes too."""
    text = Path(f"/proc/{pid}/limits").read_text()
    soft, hard = re.search(r"^Max open files\s+(\d+)\s+(\d+)", text, re.MULTILINE).groups()
    return int(soft), int(hard)


def limits_seen(server: Httpd, number: int) -> list[int]:
    answer = server.get(f"/site{number}")
    assert answer.status_code == 200, answer.text
    return answer.json()["limits"]["RLIMIT_NOFILE"]


@pytest.mark.parametrize("groups", [400, 1000])
def test_the_soft_limit_is_raised_by_what_the_groups_need(limited_to, groups: int):
    server = started(limited_to(groups, USUAL, PLENTY))
    raised = limits(server.parent.pid)
    assert USUAL + 3 * groups <= raised[0] < USUAL + 20 * groups and raised[1] == PLENTY
    (supervisor,) = wait_for(server.supervisors, "the supervisor is there")
    assert {limits(process.pid) for process in [supervisor, *server.children()]} == {raised}
    said = server.wait_for_log("wsgi:info.* WSGI309: ")
    assert f"raised from {USUAL} to {raised[0]}, for {groups} process groups" in said
    for number in (0, 1, groups - 1):
        assert limits_seen(server, number) == [USUAL, PLENTY], "a daemon has the limit that httpd was started with"
    server.graceful()
    assert limits(server.parent.pid) == raised
    for number in (0, groups - 1):
        assert limits_seen(server, number) == [USUAL, PLENTY]
    assert not re.search("Too many open files|WSGI30[478]|WSGI313", server.error_log())


def test_a_restart_with_more_groups_raises_it_further(limited_to):
    server = started(limited_to(3, USUAL, PLENTY))
    assert limits(server.parent.pid) == (USUAL, PLENTY), "where there is room enough nothing changes"
    assert "WSGI309" not in server.error_log()
    for groups in (400, 700):
        before = limits(server.parent.pid)[0]
        server.write_configuration(configuration(groups))
        server.graceful()
        assert limits(server.parent.pid)[0] >= before + 3 * 300
        wait_for(lambda: server.get(f"/site{groups - 1}").status_code == 200, "the last group serves")
        assert limits_seen(server, groups - 1) == [USUAL, PLENTY]


def test_a_hard_limit_that_is_too_low_is_named_with_the_number_needed(limited_to):
    server = limited_to(400, USUAL, USUAL)
    with contextlib.suppress(AssertionError):
        server.start()
    assert wait_for(server.parent.poll, "httpd ends with an error") == 1
    (said,) = re.findall(r"WSGI307: (.*)", server.error_log() + server.output())
    assert "the 400 process groups need up to" in said and f"the system allows {USUAL}" in said
    needed = int(re.search(r"up to (\d+) open descriptors", said)[1])
    assert f"LimitNOFILE={needed} " in said and f"APACHE_ULIMIT_MAX_FILES='ulimit -n {needed}'" in said
    assert not list((server.root / "run").glob("*.sock")), "nothing is left behind"
    server.parent = None
    server.environment |= {"SOFT": str(needed), "HARD": str(needed)}
    started(server)
    assert limits_seen(server, 399) == [needed, needed], "the number that was named is enough"
    assert "WSGI308" not in server.error_log()


def test_a_hard_limit_that_is_enough_for_the_start_only_is_warned_of(limited_to):
    server = started(limited_to(400, USUAL, 2048))
    assert limits(server.parent.pid) == (2048, 2048)
    said = server.wait_for_log("wsgi:warn.* WSGI308: ")
    assert "the 400 process groups need up to" in said and "the system allows 2048, so that not all of them" in said
    assert limits_seen(server, 399) == [USUAL, 2048]
