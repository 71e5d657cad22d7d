"""`make demo`: three Django sites under one private Apache, each in processes of its own and on a Python of its own.

All three are made by `startproject mysite`, so all three have a settings module of the same name and an unchanged
wsgi.py: what usually cannot share a server. It shows that each answers with its own settings, prints the addresses
and waits for Ctrl-C, which ends Apache and removes everything. With DEMO_ONCE=1, in CI, or without a terminal it does
not wait: it exits 0 when every answer was right. DEMO_KEEP=1 leaves the folder.
"""

import http.cookiejar
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness"))

import interpreters
from machine import daemon_user, free_ports, module_so
from make_site import ACCOUNT, make_site
from private_apache import Apache, make_public

TITLES = {"blog": "The blog", "shop": "The shop", "wiki": "The wiki"}
ROUNDS = 20

SITE_CONF = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    ServerName {name}.localhost

    WSGIDaemonProcess {name} processes=2 threads=4 display-name=%{{GROUP}} \\
        python-home={folder}/venv python-path={folder} home={folder} no-new-privileges=On
    WSGIProcessGroup {name}
    WSGIApplicationGroup %{{GLOBAL}}

    Alias /static/ {folder}/static/
    WSGIScriptAlias / {folder}/mysite/wsgi.py

    <Directory {folder}/static>
        Require all granted
    </Directory>
    <Directory {folder}/mysite>
        <Files wsgi.py>
            Require all granted
        </Files>
    </Directory>
</VirtualHost>
"""


class Site:
    def __init__(self, name, python, port, folder):
        self.name = name
        self.title = TITLES[name]
        self.python = python
        self.port = port
        self.folder = folder / name
        self.url = f"http://127.0.0.1:{port}/"


def main():
    os.umask(0o022)  # the daemons are another user
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    once = bool(os.environ.get("DEMO_ONCE") or os.environ.get("CI")) or not sys.stdin.isatty()
    module = module_so()
    folder = Path(tempfile.mkdtemp(prefix="mod_wsgi_rs-demo-", dir="/var/tmp"))
    folder.chmod(0o755)
    apache = None
    problems = []
    try:
        sites = make_sites(folder)
        apache = start_apache(folder, sites, module)
        show_answers(sites)
        show_processes(apache)
        problems = check(sites)
        if not once and not problems:
            wait(apache, sites)
    except KeyboardInterrupt:
        print()
    finally:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if apache:
            problems += finish(apache, problems)
        if os.environ.get("DEMO_KEEP"):
            print(f"Everything is still in {folder}")
        else:
            shutil.rmtree(folder)
    for problem in dict.fromkeys(problems):
        print(f"WRONG: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


def make_sites(folder):
    names = list(TITLES)
    ports = free_ports(len(names), first=8101)
    user = daemon_user()
    sites = []
    for name, python, port in zip(names, interpreters.pick(len(names)), ports):
        site = Site(name, interpreters.public(python, folder / "python"), port, folder)
        print(f"Making {site.title}: {site.python} -m venv, pip install Django, startproject mysite …", flush=True)
        make_site(site.folder, site.title, site.python, user.pw_name if user else None)
        sites.append(site)
    return sites


def start_apache(folder, sites, module):
    # The daemons import the module as their own user, who may not be able to read this checkout.
    copy = folder / "mod_wsgi_rs.so"
    shutil.copy(module, copy)
    for public in (copy, *(site.folder / "mysite" for site in sites)):
        make_public(public)
    text = f"LoadModule wsgi_module {copy}\nWSGISocketPrefix {folder}/apache/run/wsgi\n"
    text += "".join(SITE_CONF.format(**vars(site)) for site in sites)
    apache = Apache(folder / "apache", text)
    apache.start(sites[0].port)
    print(f"\nOne Apache, {len(sites)} sites: {apache.conf}")
    return apache


def show_answers(sites):
    for site in sites:
        print(f"\n$ curl {site.url}", flush=True)
        subprocess.run(["curl", "-sS", "--max-time", "60", site.url])


def show_processes(apache):
    print(f"\n{'process':>8} {'parent':>8}  {'user':10} {'program':14} command line")
    for process in apache.processes():
        title = process.title if len(process.title) <= 60 else process.title[:59] + "…"
        program = os.path.basename(process.executable)
        print(f"{process.pid:>8} {process.parent:>8}  {process.user:10} {program:14} {title}")


def check(sites):
    """Asks every site many times, all by turns; returns what was wrong."""
    problems = []
    processes = {site.name: set() for site in sites}
    for _ in range(ROUNDS):
        for site in sites:
            problems += wrong_answers(site, processes[site.name])
    for site in sites:
        for other in sites:
            if site is not other and processes[site.name] & processes[other.name]:
                problems.append(f"{site.title} and {other.title} were answered by one process")
        problems += wrong_admin(site)
    if not problems:
        counts = ", ".join(f"{len(processes[site.name])} for {site.title}" for site in sites)
        print(f"\n{ROUNDS} requests to each site, all answered with its own settings, database, Python and user.")
        print(f"Processes that answered: {counts}. Admin login and static files work on all.")
    return problems


def wrong_answers(site, processes):
    try:
        with urllib.request.urlopen(site.url, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
    except OSError as error:
        return [f"{site.url}: {error}"]
    got = {line[:16].strip(): line[17:] for line in lines}
    processes.add(got.get("process"))
    user = daemon_user()
    wanted = {
        "site": site.title,
        "settings module": "mysite.settings",
        "settings file": str(site.folder / "mysite/settings.py"),
        "database": str(site.folder / f"data/{site.name}.sqlite3"),
        "accounts": "1",
        "Python": site_python(site),
        "prefix": str(site.folder / "venv"),
        "process group": site.name,
        "user": (user or pwd.getpwuid(os.getuid())).pw_name,
    }
    wrong = {key: value for key, value in wanted.items() if got.get(key) != value}
    return [f"{site.url}: {key} is {got.get(key)}, not {value}" for key, value in wrong.items()]


def site_python(site, known={}):
    if site.name not in known:
        question = "import platform; print(platform.python_version())"
        known[site.name] = subprocess.check_output([site.python, "-c", question], text=True).strip()
    return known[site.name]


def wrong_admin(site):
    """Logs in to the admin as a browser does (cookie, CSRF token, POST) and fetches one of its static files."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    try:
        form = browser.open(site.url + "admin/login/", timeout=60).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form).group(1)
        fields = {"username": ACCOUNT[0], "password": ACCOUNT[1], "csrfmiddlewaretoken": token, "next": "/admin/"}
        inside = browser.open(site.url + "admin/login/", urllib.parse.urlencode(fields).encode(), timeout=60)
        if "Log out" not in inside.read().decode():
            return [f"{site.url}admin/: the login did not work"]
        style = browser.open(site.url + "static/admin/css/base.css", timeout=60)
        if style.headers.get_content_type() != "text/css":
            return [f"{style.url}: is {style.headers['Content-Type']}"]
    except (OSError, AttributeError) as error:
        return [f"{site.url}admin/: {error}"]
    return []


def wait(apache, sites):
    print("\nTo look at, until Ctrl-C:")
    for site in sites:
        print(f"  {site.url:28} {site.title}, Python {site_python(site)}")
    print(f"  {sites[0].url + 'admin/':28} log in as {ACCOUNT[0]} with the password {ACCOUNT[1]}")
    print(f"  touch {sites[0].folder}/mysite/wsgi.py      the next answer comes from new processes")
    print(f"  kill -9 the number after 'process'    it is replaced at once; the other sites do not notice")
    print(f"  tail -f {apache.log}", flush=True)
    apache.child.wait()
    raise SystemExit(f"Apache has ended by itself:\n{apache.last_words()}")


def finish(apache, problems):
    if problems:
        print(f"\nThe last lines of Apache's log:\n{apache.last_words()}", file=sys.stderr)
    left = [f"process {process.pid} was left behind" for process in apache.stop()]
    sockets = [f"{path} was left behind" for path in apache.folder.rglob("*") if path.is_socket()]
    if not left and not sockets:
        print("Apache and all of its processes have ended; no socket is left.")
    return left + sockets


if __name__ == "__main__":
    main()
