"""Runs below a root that `sid.py` prepared, alone in a process name space: one httpd with two daemon groups for each
Python, one of them with preload=On, and then for each Python that is a shared library another httpd with that Python inside.

Every Python serves the same applications in its main interpreter and in another one; over HTTP it is checked that each
is what it claims to be and answers rightly, under load too, over a graceful restart, and that stopping leaves nothing.
Ends with 1 when anything was wrong, and shows httpd's error log.
"""

import concurrent.futures
import contextlib
import glob
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = ("mpm_event", "authz_core", "env")
REQUESTS = 2000

# With a thread that is still there at the end, which no interpreter may stumble over.
VERSION = """
import sys
import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()

def application(environ, start_response):
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{sys.version}\\n{sys.prefix}\\n{'GIL' if gil else 'no GIL'}".encode()]
"""

HTTPD = """
ServerRoot "{root}"
DefaultRuntimeDir "{root}/run"
PidFile "{root}/run/httpd.pid"
{modules}
LoadModule wsgi_module "{root}/mod_wsgi_rs.so"
ServerName localhost:{port}
Listen 127.0.0.1:{port}
User www-data
Group www-data
DocumentRoot "{root}/run"
ErrorLog "{root}/error.log"
LogLevel info
StartServers 2
MaxRequestWorkers 50
<Directory />
Require all granted
</Directory>
"""

GROUP = """
WSGIDaemonProcess {name} python-home={home} processes=2 threads=3 display-name=%{{GROUP}}
WSGIScriptAlias /{name}/main {root}/apps/ process-group={name} application-group=%{{GLOBAL}}
WSGIScriptAlias /{name}/other {root}/apps/ process-group={name} application-group=other
WSGIDaemonProcess {name}-forked python-home={home} processes=2 threads=3 preload=On
WSGIImportScript {root}/apps/answers.wsgi process-group={name}-forked application-group=%{{GLOBAL}}
WSGIScriptAlias /{name}/forked {root}/apps/ process-group={name}-forked application-group=%{{GLOBAL}}
"""

# In a free-threaded build there is a GIL unless this says otherwise.
FREE_THREADING = """
<WSGIInterpreterOptions process-group={name}>
    WSGIFreeThreading On
</WSGIInterpreterOptions>
<WSGIInterpreterOptions process-group={name}-forked>
    WSGIFreeThreading On
</WSGIInterpreterOptions>
"""

EMBEDDED = """
WSGIPythonHome {home}
WSGIScriptAlias /{name}/main {root}/apps/ application-group=%{{GLOBAL}}
WSGIScriptAlias /{name}/other {root}/apps/ application-group=other
"""

wrong = []


def check(what, right, detail=""):
    if not right:
        wrong.append(what)
        print(f"WRONG: {what} {detail}", flush=True)


class Site:
    def __init__(self, name, executable, root):
        self.name, self.home = name, root / "venvs" / name
        subprocess.run([executable, "-m", "venv", "--without-pip", self.home], check=True)
        told = [self.home / "bin/python", "-c", "import sys; print(sys.version)"]
        self.version = subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()
        self.free_threaded = "free-threading" in self.version
        self.places = {f"/{name}/main": name, f"/{name}/other": name, f"/{name}/forked": f"{name}-forked"}
        text = GROUP + (FREE_THREADING if self.free_threaded else "")
        self.configuration = text.format(root=root, name=name, home=self.home)
        self.embedded = EMBEDDED.format(root=root, name=name, home=self.home)
        version = re.match(r"\d+\.\d+", self.version)[0]
        self.shared = bool(glob.glob(f"/usr/lib/*/libpython{version}.so.*")) and not self.free_threaded


def sites(root):
    """A site for each Python that Debian has, and for free-threaded ones in /opt."""
    found = {}
    for path in (*glob.glob("/usr/bin/python3.*"), *glob.glob("/opt/python3.*/bin/python3.*t")):
        if match := re.fullmatch(r"python(3\.\d+(t|-nogil)?)", os.path.basename(path)):
            found[match[1]] = path
    names = sorted(found, key=lambda name: (len(name), name))
    return [Site(name, found[name], root) for name in names]


# Requests

port = 0
local = threading.local()


def ask(path, body=None, headers=None):
    """A request over this thread's connection; what comes back is (status, body)."""
    for fresh in (False, True):
        connection = getattr(local, "connection", None)
        if connection is None or fresh:
            connection = local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST" if body is not None else "GET", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # An idle connection may be closed by httpd at any time, as over a graceful restart.
            if fresh:
                raise


def check_version(site, at):
    status, body = ask(f"{at}/version.wsgi")
    *version, prefix, gil = body.decode().splitlines()
    check(f"{at}: version", (status, "\n".join(version)) == (200, site.version), body)
    check(f"{at}: prefix", prefix == str(site.home), prefix)
    check(f"{at}: GIL", gil == ("no GIL" if site.free_threaded else "GIL"), gil)


def check_environ(at, group):
    status, body = ask(f"{at}/environ.wsgi/a%20b?q=1", headers={"X-Some": "thing"})
    environ = {name: value for name, (_type, value) in json.loads(body).items()}
    wanted = {
        "PATH_INFO": "/a b", "SCRIPT_NAME": f"{at}/environ.wsgi", "QUERY_STRING": "q=1", "HTTP_X_SOME": "thing",
        "REQUEST_METHOD": "GET", "SERVER_PORT": str(port), "wsgi.multithread": True, "wsgi.multiprocess": True,
        "mod_wsgi.process_group": group,
    }  # fmt: skip
    different = {name: environ.get(name) for name, value in wanted.items() if environ.get(name) != value}
    check(f"{at}: environ", status == 200 and not different, different)


def check_answers(site, at, log):
    check(f"{at}: hello", ask(f"{at}/hello.wsgi") == (200, b"Hello, world!"))
    for size in (0, 1, 70_000, 3_000_000):
        body = os.urandom(size)
        check(f"{at}: echo of {size} bytes", ask(f"{at}/echo.wsgi", body) == (200, body))
    for name in ("hello", "generator", "written", "errors", "nothing"):
        check(f"{at}: validated {name}", ask(f"{at}/validated.wsgi/{name}")[0] in (200, 204))
    for name in ("body", "lines"):
        check(f"{at}: validated {name}", ask(f"{at}/validated.wsgi/{name}", b"ab\ncdef") == (200, b"ab\ncdef"))
    for name in ("a_list", "a_generator", "an_iterator", "a_sequence", "late_start", "written"):
        check(f"{at}: {name}", ask(f"{at}/answers.wsgi/{name}") == (200, b"one two three"))

    before = len(log.read_text())
    check(f"{at}: an error is 500", ask(f"{at}/answers.wsgi/raises")[0] == 500)
    text = log.read_text()[before:]
    there = "Traceback (most recent call last)" in text and "reason: raised before start_response" in text
    check(f"{at}: traceback in the log", there, text)
    check(f"{at}: a script that cannot be loaded is 500", ask(f"{at}/syntax_error.wsgi")[0] == 500)


def load(places, count):
    """So many requests of three kinds from eight threads; how many a second."""
    body = b"x" * 5000
    kinds = (("hello.wsgi", None, b"Hello, world!"), ("echo.wsgi", body, body),
             ("answers.wsgi/a_generator", None, b"one two three"))  # fmt: skip

    def one(number):
        path, sent, expected = kinds[number % len(kinds)]
        at = places[number // len(kinds) % len(places)]
        try:
            answer = ask(f"{at}/{path}", sent)
        except (OSError, http.client.HTTPException) as error:
            answer = error
        check(f"{at}/{path} under load", answer == (200, expected), answer)

    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(count)))
    return count / (time.monotonic() - started)


# Processes


def others():
    """Title of every other process; the name space is ours alone."""
    titles = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            if int(folder.name) != os.getpid() and not ended:
                titles[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return titles


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            check(what, False, others())
            return None
        time.sleep(0.05)
    return result


def daemons():
    titles = others().values()
    return sorted(title for title in titles if title.startswith("(wsgi:") and "supervisor" not in title)


def daemons_are(log, sites, generation):
    """All are ready, and none of an older generation is there any more."""
    wait_for(lambda: log.read_text().count("is ready in") >= 4 * len(sites) * generation, "all daemons are ready")
    groups = [f"(wsgi:{group})" for site in sites for group in (site.name, f"{site.name}-forked")]
    names = sorted(2 * groups + [f"(wsgi:{site.name}-forked) template" for site in sites])
    wait_for(lambda: daemons() == names, f"generation {generation} has two daemons a group")


def listens():
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def start(root, configuration):
    global port, local
    local = threading.local()  # connections to the server before this one are of no use
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    libexec = "/usr/lib/apache2/modules"
    modules = "\n".join(f"LoadModule {name}_module {libexec}/mod_{name}.so" for name in MODULES)
    text = HTTPD.format(root=root, modules=modules, port=port)
    (root / "httpd.conf").write_text(text + configuration)
    return subprocess.Popen(["apache2", "-f", root / "httpd.conf", "-DFOREGROUND"], start_new_session=True)


def reap():
    """The first process of a name space is given the orphans."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def stop(httpd, root):
    httpd.send_signal(signal.SIGTERM)
    check("httpd ends without an error", httpd.wait(timeout=60) == 0, httpd.returncode)
    wait_for(lambda: reap() or not others(), "no process is left")
    left = [str(path) for path in (root / "run").iterdir()]
    check("no file is left in the runtime directory", not left, left)
    bound = [line for line in Path("/proc/net/unix").read_text().splitlines() if str(root) in line]
    check("no socket is left", not bound and not listens(), bound)


def check_log(text):
    bad = r"Fatal Python error|killed by signal|panicked|WSGI32[2-9]|\[(wsgi:)?(crit|alert|emerg)|Segmentation|AH00052"
    for line in text.splitlines():
        check("the error log", not re.search(bad, line), line)


def main():
    with tempfile.TemporaryDirectory(prefix="sid-", dir="/tmp") as folder:
        check_all(Path(folder))
    if wrong:
        print(f"{len(wrong)} checks failed, the first: {wrong[0]}")
        sys.exit(1)
    print("All went well.")


def check_all(root):
    root.chmod(0o755)
    (root / "run").mkdir()
    subprocess.run(["cp", "-r", HERE / "apps", HERE / "mod_wsgi_rs.so", root], check=True)
    (root / "apps/version.wsgi").write_text(VERSION)
    all_sites = sites(root)
    print(subprocess.run(["apache2", "-v"], check=True, capture_output=True, text=True).stdout)
    log = root / "error.log"
    httpd = start(root, "".join(site.configuration for site in all_sites))
    wait_for(lambda: httpd.poll() is not None or listens(), "httpd listens")
    try:
        daemons_are(log, all_sites, 1)
        for site in all_sites:
            check_site(site, log, "in daemons")

        places = [f"/{site.name}/{name}" for site in all_sites for name in ("main", "forked")]
        busy = threading.Thread(target=load, args=(places, REQUESTS))
        busy.start()
        time.sleep(0.3)
        httpd.send_signal(signal.SIGUSR1)
        busy.join()
        daemons_are(log, all_sites, 2)
        for site in all_sites:
            for at in site.places:
                check_version(site, at)
    finally:
        stop(httpd, root)
    for site in all_sites:
        check_embedded(site, root, log)
    text = log.read_text()
    check_log(text)
    if wrong:
        print(text)


def check_site(site, log, where):
    before = len(wrong)
    for at, group in site.places.items():
        try:
            check_version(site, at)
            check_environ(at, group)
            check_answers(site, at, log)
        except (OSError, ValueError, http.client.HTTPException) as error:
            check(f"{at} {where}: answers", False, repr(error))
    speed = load(list(site.places), REQUESTS)
    result = "wrong" if len(wrong) > before else "right"
    print(f"{site.version!r} {where}: {result}, {REQUESTS} requests at {speed:.0f}/s", flush=True)


def check_embedded(site, root, log):
    httpd = start(root, site.embedded)
    wait_for(lambda: httpd.poll() is not None or listens(), "httpd listens")
    site.places = {f"/{site.name}/main": "", f"/{site.name}/other": ""}
    try:
        if site.shared:
            check_site(site, log, "inside httpd")
            httpd.send_signal(signal.SIGUSR1)
            check_version(site, f"/{site.name}/main")
        else:
            refused = ask(f"/{site.name}/main/version.wsgi")[0] == 500 and "WSGI432" in log.read_text()
            check(f"{site.name} inside httpd", refused, "a Python without a shared library is refused")
            print(f"{site.version!r} inside httpd: refused, as it has no shared library", flush=True)
    finally:
        stop(httpd, root)


if __name__ == "__main__":
    main()
