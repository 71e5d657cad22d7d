"""`make faults`: what clients notice of restarts, deploys and dying processes, ours beside mod_wsgi 6.1.1.

A closed loop of eight keep-alive clients (tests/harness/closed_loop.py) runs over a group of two processes of four threads
while a fault is injected three times; each row and server has a private Apache of its own. Then faults for which one
request is enough, and for ours two long rows: twenty restarts and twenty deploys of an application that takes two
seconds to import. Printed is a table; exit status 1 if ours misses a figure that it must reach. Requests that were
sent again on a fresh connection, since httpd had closed an idle one, are counted in a column of their own. "Apache
alone" serves a static file without any such module: what a graceful restart costs there is not a module's doing.

FAULT_SECONDS (8) a row, FAULT_ONLY (words that a row's name must contain), FAULT_SERVERS (Apache alone,mod_wsgi,ours),
FAULTS_JSON (target/bench/faults.json), MODULE_SO, BENCH_PYTHON, TEST_CACHE as for bench.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "harness"))

import raw_http
from bench import install_mod_wsgi
from certificate import secrets_of, write_certificate
from closed_loop import Load
from machine import apxs, free_ports, libexec, module_so
from private_apache import Apache, make_public
from waiting import wait_for

SECONDS = float(os.environ.get("FAULT_SECONDS") or 8)
ONLY = os.environ.get("FAULT_ONLY", "")
SERVERS = (os.environ.get("FAULT_SERVERS") or "Apache alone,mod_wsgi,ours").split(",")
RESULTS = Path(os.environ.get("FAULTS_JSON") or HERE.parent.parent / "target/bench/faults.json")
TIMES = 3
PROCESSES, THREADS = 2, 4
LONG_TIMES = 20
IMPORT_SECONDS = 2
SLOWEST_MS = 150
PARENT_SECONDS = 5

CONF = """
Listen 127.0.0.1:{port}
KeepAlive On
MaxKeepAliveRequests 0
<Directory {folder}>
    Require all granted
</Directory>
"""
ALONE_CONF = """
AliasMatch ^/$ {folder}/hello.txt
"""
WSGI_CONF = """
LoadModule wsgi_module {module}
WSGISocketPrefix {folder}/run/wsgi
WSGIDaemonProcess faults processes=2 threads=4 display-name=%{{GROUP}} python-home={venv} {options}
WSGIScriptAlias / {folder}/faults.wsgi process-group=faults application-group=%{{GLOBAL}}
"""
TLS_CONF = """
LoadModule socache_shmcb_module {libexec}/mod_socache_shmcb.so
LoadModule ssl_module {libexec}/mod_ssl.so
Listen 127.0.0.1:{tls_port}
<VirtualHost *:{tls_port}>
    SSLEngine on
    SSLCertificateFile {folder}/localhost.crt
    SSLCertificateKeyFile {folder}/localhost.key
</VirtualHost>
"""


class Site:
    """One server with its private Apache and the script that it runs."""

    def __init__(self, folder, module, venv, options="", import_seconds=0, tls=False):
        self.folder, self.import_seconds, self.version = folder, import_seconds, 0
        self.port, tls_port = free_ports(2, first=8201)
        values = {"port": self.port, "module": module, "folder": folder, "venv": venv, "options": options}
        values |= {"tls_port": tls_port, "libexec": libexec()}
        self.alone = module is None
        text = CONF + (ALONE_CONF if self.alone else WSGI_CONF) + (TLS_CONF if tls else "")
        self.apache = Apache(folder, text.format(**values))
        write_certificate(folder)
        (folder / "hello.txt").write_text("Hello World!")
        self.script = folder / "faults.wsgi"
        self.write_script()

    def write_script(self):
        text = (HERE / "apps/faults.wsgi").read_text()
        text = text.replace("IMPORT_SECONDS = 0", f"IMPORT_SECONDS = {self.import_seconds}")
        fresh = self.script.with_suffix(".new")
        fresh.write_text(text.replace("VERSION = 0", f"VERSION = {self.version}"))
        fresh.chmod(0o644)
        fresh.rename(self.script)

    def __enter__(self):
        try:
            self.apache.start(self.port)
            wait_for(lambda: self.alone or len(self.serving()) == PROCESSES, "both processes answer", 30)
        except BaseException:
            self.apache.stop()
            raise
        return self

    def __exit__(self, *_):
        self.apache.stop()

    def serving(self):
        """Version and pid of each process that answers."""
        with ThreadPoolExecutor(2 * THREADS) as pool:
            answers = pool.map(lambda _: raw_http.get(self.port, "/pid", "Connection: close"), range(2 * THREADS))
            return {answer.body.decode() for answer in answers if answer.status == 200}

    def daemons(self):
        return {process for process in self.apache.processes() if process.title.startswith("(wsgi:faults)")}

    # Faults

    def graceful(self):
        subprocess.run(self.apache.command("-k", "graceful"), check=True, capture_output=True)

    def touch(self):
        os.utime(self.script)

    def kill_nine(self):
        self._kill_one(signal.SIGKILL)

    def kill_term(self):
        self._kill_one(signal.SIGTERM)

    def _kill_one(self, number):
        """One that has been there longest, so that each fault meets a process at work."""
        min(self.daemons(), key=lambda process: int(process.started)).kill(number)

    # Twenty of them

    def many_graceful(self):
        for number in range(LONG_TIMES):
            old = self.daemons()
            said = self._resumed()
            self.graceful()
            wait_for(lambda: self._resumed() > said, "httpd has begun a new generation", 30)
            self._overlap_or(number, lambda: len(now := self.daemons()) == PROCESSES and not now & old)

    def _resumed(self):
        return self.apache.log.read_text(errors="replace").count("resuming normal operations")

    def many_deploys(self):
        for number in range(LONG_TIMES):
            self.version = number + 1
            self.write_script()
            self._overlap_or(number, lambda: self._serves(self.version))

    def _serves(self, version):
        return len(self.daemons()) == PROCESSES and self._answered_version() == version

    def _answered_version(self):
        return int(raw_http.get(self.port, "/version", "Connection: close").body)

    def _overlap_or(self, number, done):
        """Every other one comes in the middle of the import that the one before has caused."""
        if number % 2:
            wait_for(done, f"number {number} has taken over", 30, every=0.1)
        else:
            time.sleep(self.import_seconds / 4)


@dataclass
class Row:
    """A fault under load, and what ours must reach."""

    name: str
    fault: str = ""
    options: str = ""
    import_seconds: float = 0
    retry: bool = False
    long: bool = False
    control: bool = False
    none_fail: bool = True
    slowest_ms: float = 0
    share: float = 0


ROWS = (
    Row("none"),
    Row("graceful", "graceful", retry=True, control=True, slowest_ms=SLOWEST_MS),
    Row("touch", "touch", slowest_ms=SLOWEST_MS),
    Row("graceful, import of 2 s", "graceful", import_seconds=IMPORT_SECONDS, retry=True, slowest_ms=SLOWEST_MS),
    Row("touch, import of 2 s", "touch", import_seconds=IMPORT_SECONDS, slowest_ms=SLOWEST_MS),
    Row("none, once more"),  # right before the row that is held against it
    Row("maximum-requests=200", options="maximum-requests=200", slowest_ms=SLOWEST_MS, share=0.9),
    Row("kill -9 of a daemon", "kill_nine", none_fail=False),
    Row("kill -TERM of a daemon", "kill_term"),
    Row("20 graceful, import of 2 s", "many_graceful", import_seconds=IMPORT_SECONDS, retry=True, long=True,
        slowest_ms=SLOWEST_MS),
    Row("20 deploys, import of 2 s", "many_deploys", import_seconds=IMPORT_SECONDS, long=True, slowest_ms=SLOWEST_MS),
)  # fmt: skip


class Bench:
    """Where the servers' folders are, and what has been measured."""

    def __init__(self, folder, modules, venv):
        self.folder, self.modules, self.venv = folder, modules, venv
        self.number = 0
        self.rows, self.probes, self.missed = {}, {}, []
        self.none = {}  # requests of each server without a fault, as last measured

    def site(self, server, **options):
        self.number += 1
        folder = self.folder / f"{self.number}-{server.replace(' ', '-')}"
        return Site(folder, self.modules[server], self.venv, **options)

    def miss(self, server, row, text):
        if server == "ours":
            self.missed.append(f"{row}: {text}")


def main():
    os.umask(0o022)  # the daemons are another user
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the servers end too
    modules = {"ours": module_so()}
    modules["mod_wsgi"], venv = install_mod_wsgi()
    folder = Path(tempfile.mkdtemp(prefix="mod_wsgi_rs-faults-", dir="/var/tmp"))
    for name in list(modules):
        modules[name] = shutil.copy(modules[name], folder / f"{name}.so")
    make_public(folder)
    bench = Bench(folder, modules | {"Apache alone": None}, venv)
    try:
        under_load(bench)
        alone(bench)
    except KeyboardInterrupt:
        raise SystemExit("interrupted")
    finally:
        shutil.rmtree(folder)
    write_results(bench)
    for text in bench.missed:
        print(f"MISSED by ours: {text}")
    raise SystemExit(1 if bench.missed else 0)


# Under load


def under_load(bench):
    print(f"{'':28}{'':14}{'requests':>9}{'of none':>9}{'failed':>8}{'retried':>9}{'slowest ms':>12}")
    for row in ROWS:
        if ONLY in row.name:
            for server in SERVERS:
                if server == "ours" or not row.long and (row.control or server != "Apache alone"):
                    with bench.site(server, options=row.options, import_seconds=row.import_seconds) as site:
                        figures = measure(row, site)
                    bench.rows.setdefault(row.name, {})[server] = figures
                    judge(bench, row, server, figures)
                    print_figures(row, server, figures)


def measure(row, site):
    request = {"name": "hello", "path": "/", "expect": "Hello World!"}
    load = Load(port=site.port, seconds=0 if row.long else SECONDS, retry=row.retry, requests=[request])
    try:
        if row.long:
            getattr(site, row.fault)()
            faults = []
            load.end()
        else:
            faults = inject(getattr(site, row.fault), load) if row.fault else []
        report = load.report()
    finally:
        load.abandon()
    return {
        "requests": report["requests"],
        "seconds": report["seconds"],
        "failed": Counter(failure["what"] for failure in report["failures"]),
        "failures": report["failures"],
        "retried": len(report["retries"]),
        "slowest_ms": max(record["ms"] for record in report["slowest"]),
        "slowest": [{"ms": record["ms"], "ended": record["ended"] - load.began} for record in report["slowest"]],
        "faults": [when - load.began for when in faults],
        "failed_a_fault": [sum(1 for f in report["failures"] if start <= f["ended"] < end) for start, end in
                           zip(faults, [*faults[1:], float("inf")])],
    }  # fmt: skip


def inject(fault, load):
    """The fault, evenly spaced over the time of the load; returns the times."""
    times = []
    for number in range(TIMES):
        due = load.began + SECONDS * (number + 1) / (TIMES + 1)
        time.sleep(max(0, due - time.monotonic()))
        times.append(time.monotonic())
        fault()
    return times


def judge(bench, row, server, figures):
    if not row.fault and not row.options:
        bench.none[server] = figures["requests"]
    if server in bench.none and not row.long:
        figures["share"] = figures["requests"] / bench.none[server]
    failed = sum(figures["failed"].values())
    if row.none_fail and failed:
        bench.miss(server, row.name, f"{failed} failed, 0 are allowed: {words(figures['failed'])}")
    if not row.none_fail:
        if max(figures["failed_a_fault"]) > THREADS:
            bench.miss(server, row.name, f"{figures['failed_a_fault']} failed, {THREADS} a kill are allowed")
        if strange := [what for what in figures["failed"] if not re.match("status 502|cut|.* before any", what)]:
            bench.miss(server, row.name, f"{strange}, only 502 and cut connections are allowed")
    if row.slowest_ms and figures["slowest_ms"] >= row.slowest_ms:
        bench.miss(server, row.name, f"slowest {figures['slowest_ms']:.0f} ms, must be below {row.slowest_ms}")
    if row.share and figures.get("share", 1) < row.share:
        bench.miss(server, row.name, f"{figures['share']:.0%} of the requests without a fault, {row.share:.0%} wanted")


def words(failed):
    return ", ".join(f"{count} x {what}" for what, count in failed.items())


def print_figures(row, server, figures):
    share = f"{figures['share']:.0%}" if "share" in figures else ""
    failed = sum(figures["failed"].values())
    print(f"{row.name:28}{server:14}{figures['requests']:>9,}{share:>9}{failed:>8}{figures['retried']:>9}"
          f"{figures['slowest_ms']:>12,.0f}  {words(figures['failed'])}", flush=True)  # fmt: skip


# One request is enough


def alone(bench):
    print()
    for name, probe in PROBES.items():
        if ONLY in name:
            for server in SERVERS:
                if bench.modules[server]:
                    probe(bench, server, name)


def note(bench, server, name, text, good):
    bench.probes.setdefault(name, {})[server] = {"text": text, "good": good}
    print(f"{name:38}{server:14}{text}", flush=True)
    if not good:
        bench.miss(server, name, text)


def mid_body(bench, server, name):
    """Whether the client can tell that what it got is not the whole answer."""
    with bench.site(server, options="socket-timeout=3") as site:
        for way in ("kill", "raise"):
            for framing in ("chunked", "length"):
                text, told = client_sees(site.port, f"/mid-body?{way}&{framing}")
                note(bench, server, f"{name}: {way}, {framing}", text, told)


def client_sees(port, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    try:
        answer = raw_http.exchange(port, request, timeout=8)
    except TimeoutError:
        return "waits for nothing", False
    if answer.status >= 500:
        return f"status {answer.status}", True
    return ("looks complete", False) if answer.complete else ("can tell", True)


def parent_killed(bench, server, name):
    """How long daemons and sockets outlive httpd's parent."""
    with bench.site(server) as site:
        known = site.apache.processes()
        bound = site.folder / "run"
        began = time.monotonic()
        os.kill(site.apache.child.pid, signal.SIGKILL)
        site.apache.child.wait()
        left = []

        def gone():
            left[:] = [process for process in known if process.alive]
            sockets = [path for path in bound.iterdir() if path.is_socket()]
            return not left and not sockets

        try:
            wait_for(gone, "", PARENT_SECONDS)
            note(bench, server, name, f"all gone after {(time.monotonic() - began) * 1000:.0f} ms", True)
        except AssertionError:
            text = f"after {PARENT_SECONDS} s {len(left)} processes are left, or sockets"
            note(bench, server, name, text, False)
            for process in left:
                process.kill()


def key_in_memory(bench, server, name):
    if os.geteuid() != 0:
        print(f"{name}: left out, only root may look into these processes")
        return
    with bench.site(server, tls=True) as site:
        needles = secrets_of(site.folder / "localhost.key")
        parent = next(process for process in site.apache.processes() if process.pid == site.apache.child.pid)
        assert parent.holds(needles), "the search must find the key where it is"
        holders = [process for process in site.daemons() if process.holds(needles)]
    text = f"found in {len(holders)} of {PROCESSES} daemons" if holders else "not found"
    note(bench, server, name, text, not holders)


PROBES = {
    "mid-body": mid_body,
    "kill -9 of the Apache parent": parent_killed,
    "TLS private key in a daemon's memory": key_in_memory,
}


def write_results(bench):
    document = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": SECONDS,
        "apache": apxs("HTTPD_VERSION"),
        "cores": os.cpu_count(),
        "rows": bench.rows,
        "probes": bench.probes,
        "missed": bench.missed,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nAll figures: {RESULTS}")


if __name__ == "__main__":
    main()
