"""Three Django sites with a settings module of the same name: each has its own Python, user and environment."""

from __future__ import annotations

import collections
from concurrent.futures import ThreadPoolExecutor

import pytest

import sites
from httpd import IS_ROOT, REFERENCE, Httpd
from machine import daemon_account

# The name of each site, its Python, its account and the way in which its environment is written.
PLAN = [
    ("blog", "3.9", daemon_account(), '"env=GREETING=hello big = world of blog" env=COLOUR=red'),
    ("shop", "3.11", "nobody", 'env="GREETING=hello big = world of shop" env=COLOUR=green=ish'),
    ("wiki", "3.13", "daemon", """'env=GREETING=hello big = world of wiki' env=COLOUR="deep blue\""""),
]
COLOURS = {"blog": "red", "shop": "green=ish", "wiki": "deep blue"}
REQUESTS = 3000

GROUP = """
WSGIDaemonProcess @NAME@ python-home=@HOME@ python-path=@FOLDER@ home=@FOLDER@ user=@OWNER@ processes=2 threads=4 @ENV@
<VirtualHost *:@PORT@>
    ServerName @NAME@.example
    WSGIScriptAlias / @SCRIPT@ process-group=@NAME@ application-group=%{GLOBAL}
</VirtualHost>
"""


@pytest.fixture(scope="module")
def three(serve, python) -> tuple[Httpd, list[sites.Django]]:
    server = serve.prepare("")
    made, configuration = [], ""
    for name, version, user, environment in PLAN:
        site = sites.make_django(
            server, python("3.11" if REFERENCE else version), name, user if IS_ROOT else daemon_account()
        )
        words = {
            "NAME": name, "HOME": site.python.home, "FOLDER": site.folder, "OWNER": site.user,
            "SCRIPT": site.script, "ENV": "" if REFERENCE else environment,
        }  # fmt: skip
        text = GROUP
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        made.append(site)
        configuration += text
    server.write_configuration(configuration)
    return server.start(), made


@pytest.mark.waits
def test_every_answer_comes_from_the_right_site(three: tuple[Httpd, list[sites.Django]]):
    server, made = three
    with server.client() as client, ThreadPoolExecutor(16) as pool:

        def ask(number: int) -> tuple[sites.Django, int, dict]:
            site = made[number % len(made)]
            answer = client.get(f"/where?{number}", headers={"Host": f"{site.name}.example"})
            return site, answer.status_code, answer.json() if answer.is_success else {}

        answers = list(pool.map(ask, range(REQUESTS)))
    pids = collections.defaultdict(set)
    for site, status, seen in answers:
        assert status == 200
        pids[site.name].add(seen.pop("pid"))
        assert seen.pop("django").startswith(str(site.python.home))
        expected = {
            "site": site.name, "settings": "mysite.settings", "folder": str(site.folder), "version": site.python.version,
            "prefix": str(site.python.home), "user": site.user, "path": "/where",
        }  # fmt: skip
        environment = {"greeting": f"hello big = world of {site.name}", "colour": COLOURS[site.name]}
        assert seen == expected | (dict.fromkeys(environment) if REFERENCE else environment)
    # Which of its two processes serves a request is the kernel's choice; no process serves two sites.
    assert all(len(found) <= 2 for found in pids.values()), pids
    assert len(set.union(*pids.values())) == sum(len(found) for found in pids.values())


@pytest.mark.ours
def test_each_daemon_runs_as_its_user_and_on_its_python(three: tuple[Httpd, list[sites.Django]]):
    server, made = three
    for site in made:
        daemons = server.wait_for_daemons(2, site.name)
        assert {process.user for process in daemons} == {site.user}
        library = f"python{site.python.version}"
        assert all(library in process.maps or library in process.executable for process in daemons)


@pytest.mark.ours
def test_no_site_sees_the_environment_of_another(three: tuple[Httpd, list[sites.Django]]):
    server, made = three
    for site in made:
        for process in server.daemons(site.name):
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                text = file.read().decode()
            assert f"world of {site.name}" in text
            assert not any(f"world of {other.name}" in text for other in made if other != site)
