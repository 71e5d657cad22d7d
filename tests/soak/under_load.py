"""The sites under load: their configuration and scripts, the requests for them and what they wrote down."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREADS = 4
CHILDREN = 2
WORDS = os.environ.get("SOAK_LOAD", "").split() or [""]

KINDS = (
    {"name": "short", "weight": 60, "expect": "{id}"},
    {"name": "post", "weight": 15, "method": "POST", "size": 65536, "expect": "{id} 65536"},
    {"name": "stream", "weight": 15, "expect": "".join(f"{{id}} {number}\n" for number in range(20))},
    {"name": "slow", "weight": 10, "expect": "{id}"},
)
# What comes of the views of ordinary.py.
ORDINARY = (
    {"name": "copy", "weight": 2, "expect": "{id} copied"},
    {"name": "short-copy", "weight": 3, "expect": "{id} 7"},
    {"name": "process", "weight": 2, "expect": "{id} 42 ended"},
    {"name": "spawned", "weight": 0.5, "expect": "{id} 42 ended"},
    {"name": "terminated", "weight": 2, "expect": "{id} -15"},
    {"name": "pool", "weight": 1, "expect": "{id} 45"},
    {"name": "program", "weight": 2, "expect": "{id} out err 3"},
    {"name": "stopped", "weight": 2, "expect": "{id} -15"},
    {"name": "prints", "weight": 0.5, "expect": "{id} printed"},
    {"name": "writes", "weight": 0.5, "expect": "{id} written"},
    {"name": "child-writes", "weight": 0.1, "expect": "{id} 0"},
)
SHORT = {"name": "short", "weight": 20, "expect": "{id}"}
HOLDS = {"name": "holds", "weight": 10, "expect": "{id} held"}
# Of each site; "here" and "inside" are in httpd's children.
ASKED = {
    "one": KINDS,
    "two": KINDS,
    "here": KINDS,
    "inside": (SHORT, *ORDINARY),
    "ordinary": (SHORT, *ORDINARY),
    "port": (SHORT, HOLDS),
    "lock": (SHORT, HOLDS),
}


def requests(*places):
    """All of them, or those whose names have one of the words of SOAK_LOAD."""
    kinds = [
        kind | {"name": f"{place} {kind['name']}", "path": f"/{place}/{kind['name']}"}
        for place in places or ASKED
        for kind in ASKED[place]
    ]
    return [kind for kind in kinds if any(word in kind["name"] for word in WORDS)]


PLAIN = ("one", "two")  # they do nothing that may fail for want of descriptors
# Left out is what is asked for nothing, but for the sites that faults need.
PLACES = tuple(place for place in ASKED if place in (*PLAIN, "here") or requests(place))

# How the sites that have something to themselves are replaced: "overlap=Off", "overlap=Auto", or the default.
OVERLAP = os.environ.get("SOAK_OVERLAP", "")
OPTIONS = {
    "one": "processes=2 maximum-processes=3 maximum-requests=500 restart-interval=5 request-timeout=10",
    "two": "processes=2 virtual-memory-limit=1G",
    "ordinary": "processes=2 maximum-requests=300 request-timeout=15",
    "port": f"processes=1 maximum-requests=1000 {OVERLAP}",
    "lock": f"processes=1 {OVERLAP}",
}
GROUPS = {name: int(options[len("processes=")]) for name, options in OPTIONS.items() if name in PLACES}


def configuration() -> str:
    lines = []
    for place in PLACES:
        alias = f"WSGIScriptAlias /{place} @ROOT@/site/{place}.wsgi"
        if place in GROUPS:
            shared = f"python-home=@PYTHON@ python-path=@ROOT@/site threads={THREADS}"
            lines.append(f"WSGIDaemonProcess {place} {shared} {OPTIONS[place]}")
            alias += f" process-group={place}"
        # CPython up to 3.11 does not come back from a fork in a process that has another interpreter, too.
        lines.append(alias if place == "lock" else f"{alias} application-group=%{{GLOBAL}}")
    return "\n".join((*lines, HTTPD))


HTTPD = """\
WSGIPythonHome @PYTHON@
WSGIPythonPath @ROOT@/site
StartServers 2
ThreadsPerChild 16
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
"""
CONFIGURATION = configuration()


def prepare(root: Path, port: int):
    """All files; this port is for the site that binds one."""
    (root / "site/records").mkdir(parents=True)
    for name in ("begun", "started", "lock"):
        (root / "site/records" / name).touch()
        (root / "site/records" / name).chmod(0o666)
    for name in ("held.py", "ordinary.py"):
        shutil.copy(HERE / name, root / "site")
    (root / "site/port").write_text(str(port))
    for path in (root / "site", *(root / "site").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for name in PLACES:
        write_script(root, name)


def write_script(root: Path, name: str, text: str = "", version: str = "0"):
    fresh = root / f"site/{name}.new"
    fresh.write_text(text or script(root, name, version))
    fresh.chmod(0o644)
    fresh.rename(fresh.with_suffix(".wsgi"))


def script(root: Path, name: str, version: str) -> str:
    takes = {
        "port": f"held.bind({(root / 'site/port').read_text()})\n",
        "lock": f"held.lock({str(root / 'site/records/lock')!r})\n",
    }
    return f"{(HERE / 'app.wsgi').read_text()}\nVERSION = {version!r}\n{takes.get(name, '')}"


def read_records(root: Path) -> dict[str, list[tuple[float, int]]]:
    """When and where each request began."""
    found: dict[str, list[tuple[float, int]]] = {}
    for line in (root / "site/records/begun").read_text().splitlines():
        when, pid, name = line.split()
        found.setdefault(name, []).append((float(when), int(pid)))
    return found
