"""The site under load: its configuration, its three scripts, the requests for them and what they wrote down."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
GROUPS = ("one", "two")
THREADS = 4
CHILDREN = 2

CONFIGURATION = """
WSGIDaemonProcess one python-home=@PYTHON@ processes=2 maximum-processes=3 threads=4 maximum-requests=500 restart-interval=5 request-timeout=10
WSGIDaemonProcess two python-home=@PYTHON@ processes=2 threads=4 virtual-memory-limit=1G
WSGIPythonHome @PYTHON@
WSGIScriptAlias /one @ROOT@/site/one.wsgi process-group=one application-group=%{GLOBAL}
WSGIScriptAlias /two @ROOT@/site/two.wsgi process-group=two application-group=%{GLOBAL}
WSGIScriptAlias /here @ROOT@/site/here.wsgi
StartServers 2
ThreadsPerChild 16
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
"""
KINDS = (
    {"name": "short", "weight": 60, "expect": "{id}"},
    {"name": "post", "weight": 15, "method": "POST", "size": 65536, "expect": "{id} 65536"},
    {"name": "stream", "weight": 15, "expect": "".join(f"{{id}} {number}\n" for number in range(20))},
    {"name": "slow", "weight": 10, "expect": "{id}"},
)


def requests():
    return [
        kind | {"name": f"{place} {kind['name']}", "path": f"/{place}/{kind['name']}"}
        for place in (*GROUPS, "here")
        for kind in KINDS
    ]


def prepare(root: Path):
    (root / "site/records").mkdir(parents=True)
    records = root / "site/records/begun"
    records.touch()
    records.chmod(0o666)
    for folder in (root / "site", root / "site/records"):
        folder.chmod(0o755)
    for name in (*GROUPS, "here"):
        write_script(root, name)


def write_script(root: Path, name: str, text: str = ""):
    fresh = root / f"site/{name}.new"
    fresh.write_text(text or (HERE / "app.wsgi").read_text())
    fresh.chmod(0o644)
    fresh.rename(fresh.with_suffix(".wsgi"))


def read_records(root: Path) -> dict[str, list[tuple[float, int]]]:
    """When and where each request began."""
    found: dict[str, list[tuple[float, int]]] = {}
    for line in (root / "site/records/begun").read_text().splitlines():
        when, pid, name = line.split()
        found.setdefault(name, []).append((float(when), int(pid)))
    return found
