"""Every answer of this module beside mod_wsgi 6.1.1's: what differs is listed in docs/differences.md, and nothing else.

The same Apache, scripts, paths, port and Python are used for both, one after the other; each case is sent as the same
bytes. `make compat` runs this. REPORT=file writes all differences there, one a line.
"""

from __future__ import annotations

import json
import os
import re
from itertools import zip_longest
from pathlib import Path

import pytest

import access_cases
import access_places
import proxy_cases
from bench import install_mod_wsgi
from cases import DAEMON, EMBEDDED, all_cases
from differences import DIFFERENCES
from machine import free_ports, module_so
from recording import Answer, Record, Server

HERE = Path(__file__).resolve().parent
NOT_COMPARED = {"Date": "the time", "Server": "names the modules"}
# What a digest is made of, and what is made of it.
DIGEST = re.compile(r'(?<=nonce=)"[^"]*"|(?<=rspauth=)"[^"]*"')
# What these say depends on which thread of httpd the request meets.
BY_THREAD = ("python thread",)
# Between our own two modes; everything else is the same.
BETWEEN_MODES = {
    "mod_wsgi.process_group": "no group there",
    "wsgi.multithread": "httpd's threads",
    "wsgi.multiprocess": "httpd's processes",
}
DIFFERENT_EACH_TIME = {
    "REMOTE_PORT": "the client's port",
    "UNIQUE_ID": "of the request",
    "mod_wsgi.request_id": "of the request",
    "mod_wsgi.connection_id": "of the connection",
    "mod_wsgi.server_pid": "a process id",
    "mod_wsgi.thread_id": "any of the threads",
    "mod_wsgi.request_start": "a time",
    "mod_wsgi.x-request_start_us": "a time",
    "mod_wsgi.queue_start": "a time",
    "mod_wsgi.daemon_start": "a time",
    "mod_wsgi.application_start": "a time",
    "mod_wsgi.daemon_connects": "a count since the start",
    "mod_wsgi.version": "of the module",
    "wsgi.errors": "an object, shown with its address",
    "wsgi.input": "an object, shown with its address",
    "wsgi.file_wrapper": "an object, shown with its address",
}


@pytest.fixture(scope="session")
def found(tmp_path_factory) -> list[str]:
    """One line for each difference: between mod_wsgi and ours, which mode, which case, what, theirs → ours; and
    between our two modes."""
    reference, venv = install_mod_wsgi()
    folder, port = Path("/tmp") / f"compat-{os.getpid()}", free_ports(1, 8600)[0]
    cases = [*all_cases(), *access_cases.all_cases(), *proxy_cases.all_cases()]
    assert len({case.name for case in cases}) == len(cases)

    for name in ("HOME", "USER", "LOGNAME", "USERNAME"):
        os.environ.pop(name, None)

    def run(module: Path, groups: str, places: dict[str, str]) -> list[Record]:
        with Server(folder, port, module, venv, groups, places) as server:
            return [server.record(number, case) for number, case in enumerate(cases)]

    lines, both = [], []
    for mode, groups in (("daemon", DAEMON), ("embedded", EMBEDDED)):
        theirs = run(reference, groups, access_places.THEIRS)
        ours = run(module_so(), groups, access_places.OURS[mode])
        for case, there, here in zip(cases, theirs, ours):
            if mode == "daemon" or case.name not in BY_THREAD:
                lines += [f"{mode} | {case.name} | {line}" for line in differences(there, here, mode)]
        both.append(ours)
    for case, daemon, embedded in zip(cases, *both):
        if case.name in BY_THREAD:
            continue
        lines += [f"modes | {case.name} | {line}" for line in differences(daemon, embedded, "modes")]
    print(f"{len(cases)} exchanges with each of four servers, {len(lines)} differences")
    if report := os.environ.get("REPORT"):
        Path(report).write_text("".join(f"{line}\n" for line in lines))
    return lines


def differences(theirs: Record, ours: Record, mode: str) -> list[str]:
    found = []

    def compare(what: str, there, here) -> None:
        if there != here:
            found.append(f"{what}: {_short(there)} → {_short(here)}")

    for number, (there, here) in enumerate(zip_longest(theirs.answers, ours.answers, fillvalue=Answer("none")), 1):
        compare("status", there.status, here.status)
        if there.status == here.status:
            _compare_answers(compare, there, here, BETWEEN_MODES if mode == "modes" else {})
    compare("rest", theirs.rest, ours.rest)
    if mode == "daemon":  # embedded, several threads log at once
        compare("says", theirs.says, ours.says)
        compare("worst level", theirs.worst, ours.worst)
        compare("tracebacks", theirs.tracebacks, ours.tracebacks)
    return found


def _compare_answers(compare, there: Answer, here: Answer, ignored: dict[str, str]) -> None:
    environ = all(b'"wsgi.version"' in answer.body for answer in (there, here))
    left_out = {*NOT_COMPARED, *(["Content-Length"] if environ else [])}
    headers = [
        [(name, DIGEST.sub("", value)) for name, value in answer.headers if name not in left_out] for answer in (there, here)
    ]
    names = list(dict.fromkeys(name for pairs in headers for name, _ in pairs))
    for name in names:
        compare(f"header {name}", *([value for key, value in pairs if key == name] for pairs in headers))
    if sorted(headers[0]) == sorted(headers[1]):
        compare("order", *([name for name, _ in pairs] for pairs in headers))
    compare("end", there.end, here.end)
    if not environ:
        compare("body", there.body, here.body)
        return
    dumps = [json.loads(answer.body) for answer in (there, here)]
    for key in sorted({*dumps[0], *dumps[1]}):
        function, _, variable = key.rpartition(" ")  # access.wsgi also dumps what its functions were given
        if variable in ignored:
            continue
        values = [dump.get(key) for dump in dumps]
        if variable in DIFFERENT_EACH_TIME:
            values = [value and value[0] for value in values]
        compare(f"{function} environ {variable}".strip(), *values)


def _short(value) -> str:
    text = repr(value)
    return text if len(text) < 160 else f"{text[:100]}…{len(text)}"


def test_every_difference_is_listed(found):
    patterns = [re.compile(pattern) for listed in DIFFERENCES.values() for pattern in listed]
    unknown = [line for line in found if not any(pattern.search(line) for pattern in patterns)]
    assert not unknown, "differences that docs/differences.md does not list:\n" + "\n".join(unknown)


def test_every_listed_difference_occurs(found):
    gone = [f"{key}: {p}" for key, listed in DIFFERENCES.items() for p in listed if not any(re.search(p, line) for line in found)]
    assert not gone, "listed, but not found any more:\n" + "\n".join(gone)


def test_the_documentation_lists_the_same():
    page = (HERE.parents[1] / "docs/differences.md").read_text()
    section = page.partition("### Requests and answers")[2].partition("\n### ")[0]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.M) == list(DIFFERENCES)
