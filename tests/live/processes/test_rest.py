"""Nothing runs where nothing is asked: processor time of all processes while nobody sends a request.

Each state a group can be in, one group alone and two hundred side by side. Time is taken from the kernel's
scheduler (nanoseconds); how often the supervisor turns, from how often it has waited.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from httpd import Httpd
from processes import Process
from waiting import wait_for

pytestmark = [
    pytest.mark.ours,
    pytest.mark.waits,
    pytest.mark.any_mpm,
]

WINDOW = 2.0
MOST = 0.01
MOST_TURNS = 40

LIMITS = (
    "request-timeout=2 interrupt-timeout=1 inactivity-timeout=60 deadlock-timeout=2 restart-interval=600 startup-timeout=30 "
    "maximum-requests=1000 maximum-memory=1G queue-timeout=5 cpu-time-limit=100 eviction-timeout=5"
)


def site(name: str, options: str = "", script: str = "hello.wsgi") -> str:
    return (
        f"WSGIDaemonProcess {name} python-home=@PYTHON@ threads=2 {options}\n"
        f"WSGIScriptAlias /{name} @APPS@/{script} process-group={name} application-group=%{{GLOBAL}}\n"
    )


def service(name: str) -> str:
    return (
        f"WSGIDaemonProcess {name} python-home=@PYTHON@ threads=0\n"
        f"WSGIImportScript @ROOT@/waits.py process-group={name} application-group=%{{GLOBAL}}\n"
    )


def processor_time(process: Process) -> int:
    """Nanoseconds of all its threads; psutil knows hundredths of a second."""
    try:
        tasks = os.listdir(f"/proc/{process.pid}/task")
        return sum(int(Path(f"/proc/{process.pid}/task/{task}/schedstat").read_text().split()[0]) for task in tasks)
    except OSError:
        return 0


def waits(process: Process) -> int:
    return psutil.Process(process.pid).num_ctx_switches().voluntary


def usage(server: Httpd) -> tuple[dict[Process, float], int]:
    """Parts of a core that each process used for a while, and the turns of its supervisors."""
    everything, supervisors = server.note_processes(), server.supervisors()
    before, turns = {process: processor_time(process) for process in everything}, sum(map(waits, supervisors))
    begun = time.monotonic()
    time.sleep(WINDOW)
    took = (time.monotonic() - begun) * 1e9
    turned = sum(map(waits, supervisors)) - turns
    return {process: (processor_time(process) - before[process]) / took for process in everything}, turned


def check_rest(server: Httpd) -> None:
    """Right after a start much is still going on; it has to come to rest."""
    seen = []

    def rests() -> bool:
        used, turns = usage(server)
        titles = {f"{process.title[:40]} {process.pid}": round(part, 4) for process, part in used.items() if part > MOST / 20}
        seen.append(f"{sum(used.values()):.4f} of a core, {turns} turns; {titles}")
        return sum(used.values()) <= MOST and turns <= MOST_TURNS * WINDOW

    try:
        wait_for(rests, "at rest", timeout=5 * WINDOW)
    finally:
        print("\n".join(seen))


def ready(server: Httpd, count: int) -> None:
    wait_for(lambda: len(re.findall(r"WSGI320.*is ready in", server.error_log())) >= count, f"{count} are ready", 60, 0.1)


def plain(server: Httpd) -> None:
    server.start()
    ready(server, 1)


def asleep(server: Httpd) -> None:
    server.start()
    wait_for(server.supervisors, "the supervisor is there")


def awake(server: Httpd) -> None:
    asleep(server)
    assert server.get("/site").status_code == 200


def asleep_again(server: Httpd) -> None:
    awake(server)
    wait_for(lambda: not server.daemons(), "it sleeps", 20)


def used(server: Httpd) -> None:
    plain(server)
    assert server.get("/site").status_code == 200


def with_template(server: Httpd) -> None:
    server.start()
    ready(server, 1)


def failed(server: Httpd) -> None:
    server.start()
    server.wait_for_log("no process can be started")
    server.wait_for_log("next attempt in 8 s", timeout=40)


def rolling(server: Httpd) -> None:
    """The new process has begun to load and does not come to an end; the old one serves."""
    plain(server)
    script = server.root / "apps" / "hello.wsgi"
    script.write_text("import time\nprint('begun', flush=True)\ntime.sleep(3600)\n")
    assert server.get("/site").status_code == 200
    server.wait_for_log("begun")


def older_generation(server: Httpd) -> None:
    """Two supervisors: the newer one's process does not come to the end of its script."""
    plain(server)
    (server.root / "apps" / "hello.wsgi").write_text("import time\nprint('begun', flush=True)\ntime.sleep(3600)\n")
    server.graceful()
    server.wait_for_log("begun")
    assert len(server.supervisors()) == 2


ON_DEMAND = "start=on-demand idle-timeout=1"
STATES: dict[str, tuple[str, Callable[[Httpd], None]]] = {
    "plain": (site("site"), plain),
    "used": (site("site"), used),
    "asleep": (site("site", ON_DEMAND), asleep),
    "awake": (site("site", "start=on-demand idle-timeout=600"), awake),
    "asleep-again": (site("site", ON_DEMAND), asleep_again),
    "asleep-beside-one-not-asked-for": (site("site", ON_DEMAND) + site("other", ON_DEMAND), asleep_again),
    "may-grow": (site("site", "maximum-processes=4"), used),
    "template": (site("site", "preload=On"), with_template),
    "service": (service("site"), plain),
    "failed": (site("site", "env-file=@ROOT@/missing"), failed),
    "rolling": (site("site"), rolling),
    "older-generation": (site("site"), older_generation),
    "limits": (site("site", LIMITS), used),
}


@pytest.mark.parametrize("state", STATES)
def test_one_group_at_rest(serve_once, state):
    configuration, begin = STATES[state]
    server = serve_once.prepare(configuration)
    (server.root / "waits.py").write_text("import threading\nthreading.Event().wait()\n")
    (server.root / "waits.py").chmod(0o644)
    begin(server)
    check_rest(server)


def test_two_hundred_groups_at_rest(serve_once):
    """Twenty of each kind at once."""
    kinds = [
        lambda name: site(name),
        lambda name: site(name, ON_DEMAND),
        lambda name: site(name, "start=on-demand idle-timeout=600"),
        lambda name: site(name, "start=on-demand idle-timeout=2"),
        lambda name: site(name, "maximum-processes=4"),
        lambda name: site(name, "preload=On"),
        service,
        lambda name: site(name, "env-file=@ROOT@/missing"),
        lambda name: site(name, LIMITS),
        lambda name: site(name, "maximum-processes=4 " + LIMITS),
    ]
    server = serve_once.prepare("".join(kind(f"k{number}-{n}") for n in range(20) for number, kind in enumerate(kinds)))
    (server.root / "waits.py").write_text("import threading\nthreading.Event().wait()\n")
    (server.root / "waits.py").chmod(0o644)
    server.start()
    for n in range(20):
        for number in (2, 3):
            assert server.get(f"/k{number}-{n}").status_code == 200
    ready(server, 8 * 20)
    server.wait_for_log("next attempt in 16 s", timeout=60)
    wait_for(lambda: server.error_log().count("no request for idle-timeout") >= 20, "those that may have fallen asleep", 60)
    check_rest(server)


def test_two_hundred_groups_that_nobody_has_asked_for(serve_once):
    server = serve_once.prepare("".join(site(f"site{number}", ON_DEMAND) for number in range(200)))
    asleep(server)
    check_rest(server)
