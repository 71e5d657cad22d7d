"""`make bench`: requests per second and CPU time per request, ours beside mod_wsgi and beside Apache's own limit.

Every server has an Apache of its own (event MPM, one child of 64 threads; daemon mode: one process of 8 threads), all
with the same Python, the same virtual environment and the same application files. wrk drives one at a time over
keep-alive connections; the servers take turns within a round, so that a busy moment of the machine meets all of them.
Printed are medians and ratios; the figures of every round are in target/bench/bench.json.

BENCH_ROUNDS (5), BENCH_SECONDS (3) a measurement, BENCH_ONLY (words that a scenario's name must contain),
BENCH_PYTHON (/usr/bin/python3), MODULE_SO, TEST_CACHE (where mod_wsgi's virtual environment is kept).
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "harness"))

from machine import apxs, free_ports, module_so
from private_apache import Apache, cpu_seconds, make_public

RESULTS = HERE.parent.parent / "target/bench"
CACHE = Path(os.environ.get("TEST_CACHE") or "/var/tmp/mod_wsgi_rs-tests")
PYTHON = os.environ.get("BENCH_PYTHON") or "/usr/bin/python3"
ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
SECONDS = float(os.environ.get("BENCH_SECONDS") or 3)
ONLY = os.environ.get("BENCH_ONLY", "")
PACKAGES = ("mod_wsgi==6.1.1", "Django==5.2.*")

# name, connections, bytes to POST, [(column, server, path)]; the first column that is no limit is what ours is held against.
SCENARIOS = (
    ("hello, daemon", 16, 0, [
        ("limit", "limit", "/round-trip"), ("mod_wsgi", "mod_wsgi", "/hello"), ("ours", "ours", "/hello")]),
    ("hello, daemon, 1 connection", 1, 0, [
        ("limit", "limit", "/round-trip"), ("mod_wsgi", "mod_wsgi", "/hello"), ("ours", "ours", "/hello")]),
    ("hello, embedded", 16, 0, [
        ("limit", "limit", "/answer"),
        ("mod_wsgi", "mod_wsgi embedded", "/hello"), ("ours", "ours embedded", "/hello")]),
    ("hello, embedded, 64 connections", 64, 0, [
        ("limit", "limit", "/answer"),
        ("mod_wsgi", "mod_wsgi embedded", "/hello"), ("ours", "ours embedded", "/hello")]),
    ("Django view, daemon", 16, 0, [("mod_wsgi", "mod_wsgi", "/django"), ("ours", "ours", "/django")]),
    ("POST 64 KB, daemon", 16, 65536, [("mod_wsgi", "mod_wsgi", "/post"), ("ours", "ours", "/post")]),
)
ANSWERS = {
    "/hello": b"Hello World!",
    "/answer": b"Hello World!",
    "/round-trip": b"Hello World!",
    "/django": b'"hello": "Django"',
    "/post": b"65536 bytes",
}

COMMON_CONF = """
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
KeepAlive On
MaxKeepAliveRequests 0
<Directory {apps}>
    Require all granted
</Directory>
"""
WSGI_CONF = """
LoadModule wsgi_module {module}
WSGISocketPrefix {folder}/run/wsgi
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias /hello {apps}/hello.wsgi
WSGIScriptAlias /django {apps}/django.wsgi
WSGIScriptAlias /post {apps}/post.wsgi
"""
DAEMON_CONF = """
WSGIDaemonProcess bench threads=8 python-home={venv}
WSGIProcessGroup bench
"""
EMBEDDED_CONF = """
WSGIPythonHome {venv}
"""
LIMIT_CONF = """
LoadModule limit_module {module}
LimitSocket {echo}
<Location /answer>
    SetHandler limit-answer
    Require all granted
</Location>
<Location /round-trip>
    SetHandler limit-round-trip
    Require all granted
</Location>
"""


class Echo:
    """The process at the other end of the limit's round trip."""

    def __init__(self, program, path):
        self.child = subprocess.Popen([program, path])
        while not os.path.exists(path):
            if self.child.poll() is not None:
                raise SystemExit("limit_echo did not start")
            time.sleep(0.01)

    def cpu_seconds(self):
        return cpu_seconds(self.child.pid)

    def stop(self):
        self.child.terminate()
        self.child.wait()


class Server:
    def __init__(self, apache, port, helper=None):
        self.apache = apache
        self.port = port
        self.helper = helper

    def cpu_seconds(self):
        return self.apache.cpu_seconds() + (self.helper.cpu_seconds() if self.helper else 0)

    def stop(self):
        self.apache.stop()
        if self.helper:
            self.helper.stop()


def main():
    os.umask(0o022)  # the daemons are another user
    if not shutil.which("wrk"):
        raise SystemExit("There is no wrk on this machine: `sh tests/setup.sh bench` installs it.")
    scenarios = [scenario for scenario in SCENARIOS if ONLY in scenario[0]]
    ours = module_so()
    peer, venv = install_mod_wsgi()
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="mod_wsgi_rs-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    servers = {}
    try:
        start(servers, folder, {"ours": ours, "mod_wsgi": peer}, venv)
        results = measure_all(servers, scenarios)
    except KeyboardInterrupt:
        raise SystemExit("interrupted")
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder)
    report(results, venv)


def install_mod_wsgi():
    """mod_wsgi in a virtual environment of its own; returns its module's path and that environment."""
    venv = CACHE / "bench-venv"
    inside = str(venv / "bin/python")
    marker = venv / "installed"
    wanted = f"{PYTHON} {' '.join(PACKAGES)}\n"
    if not (marker.exists() and marker.read_text() == wanted):
        print(f"Building {PACKAGES[0]} in {venv} …", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        CACHE.chmod(0o755)
        subprocess.run([PYTHON, "-m", "venv", "--clear", str(venv)], check=True)
        # Not from pip's cache: a wheel kept there may be linked to another Python of the same version.
        pip = [inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir"]
        subprocess.run([*pip, *PACKAGES], check=True)
        marker.write_text(wanted)
    location = subprocess.check_output([str(venv / "bin/mod_wsgi-express"), "module-location"], text=True).strip()
    return Path(location), venv


def start(servers, folder, modules, venv):
    apps = folder / "apps"
    shutil.copytree(HERE / "apps", apps)
    for name, module in modules.items():
        shutil.copy(module, folder / f"{name}.so")
    module, program = compile_limit(folder)
    make_public(folder)
    echo = Echo(str(program), str(folder / "echo.sock"))
    values = {"apps": apps, "venv": venv, "echo": folder / "echo.sock"}

    def add(name, text, module, helper=None):
        port = free_ports(1, first=8201)[0]
        home = folder / name.replace(" ", "-")
        values.update(port=port, module=module, folder=home)
        apache = Apache(home, (COMMON_CONF + text).format(**values))
        servers[name] = Server(apache, port, helper)
        apache.start(port)

    add("limit", LIMIT_CONF, module, echo)
    for name in modules:
        add(name, WSGI_CONF + DAEMON_CONF, folder / f"{name}.so")
        add(f"{name} embedded", WSGI_CONF + EMBEDDED_CONF, folder / f"{name}.so")


def compile_limit(folder):
    includes = apxs("INCLUDEDIR", "APR_INCLUDEDIR", "APU_INCLUDEDIR")
    httpd = [f"-I{include}" for include in includes] + apxs("EXTRA_CPPFLAGS").split()
    compiler = ["gcc", "-O2", "-Wall", "-pthread"]
    module, program = folder / "mod_limit.so", folder / "limit_echo"
    subprocess.run([*compiler, *httpd, "-shared", "-fPIC", "-o", str(module), str(HERE / "mod_limit.c")], check=True)
    subprocess.run([*compiler, "-o", str(program), str(HERE / "limit_echo.c")], check=True)
    return module, program


def measure_all(servers, scenarios):
    results = {}
    for name, connections, size, columns in scenarios:
        columns = [column for column in columns if answers(name, servers[column[1]], column[2], size)]
        rounds = results[name] = {column: [] for column, _, _ in columns}
        for number in range(-1, ROUNDS):
            for column, server, path in columns:
                # The round before the first one warms up and does not count.
                seconds = SECONDS if number >= 0 else 1
                figures = measure(servers[server], path, connections, size, seconds)
                if number >= 0:
                    rounds[column].append(figures)
            if sys.stdout.isatty():
                print(f"\r{name}: round {number + 1} of {ROUNDS} ", end="", flush=True)
        print(f"{name}: measured" + " " * 20, flush=True)
    return results


def answers(scenario, server, path, size):
    """Whether the right answer comes; a server without this ability is left out of the scenario, and that is said."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data=b"x" * size or None)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = f"status {error.code}".encode()
    except OSError as error:
        body = str(error).encode()
    if ANSWERS[path] in body:
        return True
    print(f"{scenario}: left out, {server.apache.folder.name} answers {body[:60]!r}\n{server.apache.last_words()}\n")
    return False


def measure(server, path, connections, size, seconds):
    url = f"http://127.0.0.1:{server.port}{path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "load.lua"), url]
    before = server.cpu_seconds()
    output = subprocess.check_output([*command, "--", str(size)], text=True)
    cpu = server.cpu_seconds() - before
    numbers = [line.split()[1:] for line in output.splitlines() if line.startswith("RESULT ")][0]
    requests, duration, errors, closed, p50, p99 = map(int, numbers)
    # The event MPM closes keep-alive connections while all its threads are busy, as they are with 64 connections.
    if errors or not requests or (closed and connections < 64):
        raise SystemExit(f"{url}: {requests} answers, {errors} errors\n{server.apache.last_words()}")
    return {
        "requests_per_second": requests / duration * 1e6,
        "cpu_us_per_request": cpu / requests * 1e6,
        "p50_ms": p50 / 1000,
        "p99_ms": p99 / 1000,
    }


def report(results, venv):
    scenarios = {}
    for name, rounds in results.items():
        medians = {column: median_of(figures) for column, figures in rounds.items() if figures}
        scenarios[name] = {"medians": medians, "ratios": ratios(medians), "rounds": rounds}
        print_table(name, scenarios[name])
    document = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "architecture": platform.machine()},
        "apache": apxs("HTTPD_VERSION"),
        "python": subprocess.check_output([str(venv / "bin/python"), "-V"], text=True).split()[1],
        "packages": PACKAGES,
        "rounds": ROUNDS,
        "seconds": SECONDS,
        "scenarios": scenarios,
    }
    path = RESULTS / "bench.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"All figures: {path}")


def median_of(rounds):
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def ratios(medians):
    """Ours divided by each of the others."""
    ours = medians.get("ours")
    others = [column for column in medians if column != "ours"] if ours else []
    return {other: {key: ours[key] / medians[other][key] for key in ours if medians[other][key]} for other in others}


def print_table(name, scenario):
    print(f"\n{name}")
    print(f"  {'':12} {'requests/s':>11} {'cpu µs':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for column, row in scenario["medians"].items():
        print("  {:12} {:>11,.0f} {:>8.0f} {:>8.2f} {:>8.2f}".format(column, *row.values()))
    for other, row in scenario["ratios"].items():
        print("  {:12} {}".format(f"ours/{other}", " ".join(
            f"{row.get(key, 0):>{width}.2f}" for key, width in
            zip(("requests_per_second", "cpu_us_per_request", "p50_ms", "p99_ms"), (11, 8, 8, 8)))))


if __name__ == "__main__":
    main()
