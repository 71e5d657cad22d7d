"""New code: a script that has changed is loaded anew, and the requests that run meanwhile are not cut."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from httpd import Httpd
from waiting import wait_for

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ processes=2 threads=3 graceful-timeout=15
WSGIDaemonProcess single python-home=@PYTHON@ threads=3 shutdown-timeout=1
WSGIDaemonProcess fixed python-home=@PYTHON@
WSGIScriptAlias /site @ROOT@/reloaded.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /single @ROOT@/single.wsgi process-group=single application-group=%{GLOBAL}
WSGIScriptAlias /fixed @ROOT@/fixed.wsgi process-group=fixed
<Location /fixed>
    WSGIScriptReloading Off
</Location>
"""


@pytest.fixture
def server(serve_once) -> Httpd:
    server = serve_once.prepare(CONFIGURATION)
    for name in ("reloaded.wsgi", "single.wsgi", "fixed.wsgi"):
        write(server.root / name, 1)
    return server.start()


def write(script: Path, generation: int, text: str | None = None) -> None:
    """Put the next generation of the script in place, with a time of its own."""
    source = (script.parent / "apps" / "reloaded.wsgi").read_text()
    fresh = script.with_suffix(".new")
    fresh.write_text(text or re.sub(r"^GENERATION = 1$", f"GENERATION = {generation}", source, flags=re.M))
    os.utime(fresh, (1_700_000_000 + generation,) * 2)
    fresh.rename(script)


def generation(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.text.split()[0])


def test_changed_script_is_loaded(server: Httpd):
    with server.client() as client:
        for number in (1, 2, 3):
            write(server.root / "reloaded.wsgi", number)
            wait_for(lambda: generation(client.get("/site")) == number, f"generation {number} answers")
            wait_for(lambda: {generation(client.get("/site")) for _ in range(20)} == {number}, "nothing older answers")


def test_touch_alone_is_enough(server: Httpd):
    before = server.get("/site").text.split()[1]
    os.utime(server.root / "reloaded.wsgi")
    wait_for(lambda: server.get("/site").text.split()[1] != before, "a new process answers")


def test_nothing_is_loaded_anew_where_that_is_off(server: Httpd):
    assert generation(server.get("/fixed")) == 1
    write(server.root / "fixed.wsgi", 2)
    write(server.root / "reloaded.wsgi", 2)
    wait_for(lambda: generation(server.get("/site")) == 2, "the other script is reloaded")
    assert {generation(server.get("/fixed")) for _ in range(10)} == {1}


@pytest.mark.ours
def test_running_request_is_not_cut(server: Httpd):
    shared = server.writable_folder("shared")
    go_on = shared / "go-on"
    with ThreadPoolExecutor(1) as pool, server.client() as client:
        slow = pool.submit(server.get, f"/single/slow?{go_on}")
        wait_for((shared / "go-on.started").exists, "the slow request runs")
        write(server.root / "single.wsgi", 2)
        wait_for(lambda: generation(client.get("/single")) == 2, "the new generation answers while the old works")
        assert not slow.done()
        go_on.touch()
        assert generation(slow.result(timeout=20)) == 1


@pytest.mark.ours
def test_no_request_fails_while_scripts_change(server: Httpd):
    with server.client() as client, ThreadPoolExecutor(6) as pool:
        for number in range(2, 6):
            write(server.root / "reloaded.wsgi", number)
            statuses = {answer.status_code for answer in pool.map(client.get, ["/site"] * 150)}
            assert statuses == {200}
            wait_for(lambda: generation(client.get("/site")) == number, f"generation {number} answers")


@pytest.mark.ours
def test_a_script_that_cannot_be_loaded_keeps_the_old_one(server: Httpd):
    assert generation(server.get("/site")) == 1
    start = len(server.error_log())
    write(server.root / "reloaded.wsgi", 2, "import a_module_that_nobody_has_written\n")
    wait_for(
        lambda: server.get("/site") and "a_module_that_nobody" in server.error_log()[start:], "the reason is logged"
    )
    assert {generation(server.get("/site")) for _ in range(10)} == {1}
    write(server.root / "reloaded.wsgi", 3)
    wait_for(lambda: generation(server.get("/site")) == 3, "the mended script answers", timeout=40)


@pytest.mark.ours
def test_a_process_with_broken_code_takes_no_request_at_its_end(server: Httpd):
    """All threads of the old process are busy, and one more request waits, when the new one is taken away."""
    shared = server.writable_folder("shared")
    with ThreadPoolExecutor(4) as pool:

        def keep_busy(name: str):
            request = pool.submit(server.get, f"/single/slow?{shared}/{name}")
            wait_for((shared / f"{name}.started").exists, "a slow request runs")
            return request

        requests = [keep_busy("one"), keep_busy("two")]
        write(server.root / "single.wsgi", 2, "import a_module_that_nobody_has_written\n")
        assert generation(server.get("/single")) == 1
        requests += [keep_busy("three"), pool.submit(server.get, "/single")]
        server.wait_for_log("WSGI332")
        for name in ("one", "two", "three"):
            (shared / name).touch()
        assert {generation(request.result(timeout=20)) for request in requests} == {1}


def mend_after_the_start(server: Httpd) -> None:
    """The script cannot be loaded at the start; its third generation can."""
    write(server.root / "reloaded.wsgi", 2, "import a_module_that_nobody_has_written\n")
    server.stop()
    server.start()
    wait_for(lambda: server.get("/site").status_code == 500, "the error answers")
    write(server.root / "reloaded.wsgi", 3)
    wait_for(lambda: server.get("/site").status_code == 200, "the mended script answers", timeout=40, every=0.1)


def test_an_import_error_is_mended_by_a_new_script(server: Httpd):
    mend_after_the_start(server)
    assert generation(server.get("/site")) == 3


@pytest.mark.ours
def test_a_graceful_restart_with_a_script_that_cannot_be_loaded_keeps_the_old_processes(server: Httpd):
    ready = r"process group 'site'.* is ready"
    wait_for(lambda: len(re.findall(ready, server.error_log())) == 2, "both are ready")
    before = {process.pid for process in server.daemons("site")}
    write(server.root / "reloaded.wsgi", 2, "import a_module_that_nobody_has_written\n")
    start = len(server.error_log())
    server.graceful()
    server.wait_for_log("process group 'site'.*WSGI333|WSGI333.*process group 'site'", start=start)
    wait_for(lambda: server.error_log()[start:].count("next attempt in") >= 2, "it is tried again", timeout=15)
    errors = [line for line in server.error_log()[start:].splitlines() if "wsgi:error" in line]
    assert sum("WSGI333" in line for line in errors) == 1, "it is said once"
    with server.client() as client:
        answers = [client.get("/site") for _ in range(20)]
    assert {generation(answer) for answer in answers} == {1}
    assert {int(answer.text.split()[1]) for answer in answers} <= before
    server.wait_for_log("WSGI332", start=start)
    assert server.error_log()[start:].count("WSGI332") == 1, "the older processes have tried it too, once"
    assert generation(server.get("/single")) == 1, "the other groups are not held up"
    write(server.root / "reloaded.wsgi", 3)
    wait_for(lambda: generation(server.get("/site")) == 3, "the mended script answers", timeout=40)
    wait_for(lambda: not before & {process.pid for process in server.daemons("site")}, "the old have gone", timeout=40)


@pytest.mark.ours
def test_a_script_that_was_mended_after_the_start_is_protected_from_then_on(server: Httpd):
    mend_after_the_start(server)
    wait_for(lambda: {generation(server.get("/site")) for _ in range(20)} == {3}, "all are mended")
    write(server.root / "reloaded.wsgi", 4, "import another_module_that_nobody_has_written\n")
    wait_for(lambda: generation(server.get("/site")) and "WSGI332" in server.error_log(), "it is not rolled out")
    assert {generation(server.get("/site")) for _ in range(20)} == {3}


SEVERAL = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=3 maximum-requests=@MOST@
WSGIScriptAlias /one @ROOT@/one.wsgi process-group=site
WSGIScriptAlias /two @ROOT@/two.wsgi process-group=site
WSGIScriptAlias /many @ROOT@/many/ process-group=site application-group=%{GLOBAL}
"""
IMPORTS = """
import os
with open(os.path.dirname(__file__) + "/shared/imports", "a") as file:
    file.write(f"{os.getpid()} {os.path.basename(__file__)}\\n")
"""


def several(serve_once, most: int) -> Httpd:
    server = serve_once.prepare(SEVERAL.replace("@MOST@", str(most)))
    shared = server.writable_folder("shared")
    (server.root / "many").mkdir()
    (server.root / "many/shared").symlink_to(shared)
    for name in ("one.wsgi", "two.wsgi", "many/three.wsgi"):
        source = (server.root / "apps/reloaded.wsgi").read_text()
        (server.root / name).write_text(source + IMPORTS)
    return server.start()


@pytest.mark.ours
def test_successors_load_what_was_loaded_before_them(serve_once):
    """Of several scripts in one group, and those of a directory, nothing is known before their first requests."""
    server = several(serve_once, 10)
    with server.client() as client:
        first = {client.get(path).text.split()[1] for path in ("/one", "/two", "/many/three.wsgi")}
        assert imported(server) == {pid: ["one.wsgi", "two.wsgi", "three.wsgi"] for pid in first}
        second = wait_for(lambda: {client.get("/one").text.split()[1]} - first, "the next process")
        assert all(sorted(imported(server)[pid]) == ["one.wsgi", "three.wsgi", "two.wsgi"] for pid in second)


@pytest.mark.ours
def test_what_is_loaded_by_a_request_is_protected_too(serve_once):
    server = several(serve_once, 0)
    assert generation(server.get("/many/three.wsgi")) == 1
    assert generation(server.get("/one")) == 1
    script = server.root / "many/three.wsgi"
    script.write_text("import a_module_that_nobody_has_written\n")
    wait_for(
        lambda: generation(server.get("/many/three.wsgi")) and "WSGI332" in server.error_log(), "it is not rolled out"
    )
    assert {generation(server.get("/many/three.wsgi")) for _ in range(10)} == {1}
    script.unlink()
    assert server.get("/many/three.wsgi").status_code == 404
    os.utime(server.root / "one.wsgi")
    wait_for(lambda: server.get("/one") and "WSGI331" in server.error_log(), "one that is gone holds nothing up")


def imported(server: Httpd) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (server.root / "shared/imports").read_text().splitlines():
        pid, name = line.split()
        found.setdefault(pid, []).append(name)
    return found


# Scripts that say themselves when they are to be loaded anew

HOOKED = """
import os

SETTINGS = os.path.join(os.path.dirname(__file__), "settings")


def read():
    with open(SETTINGS) as settings:
        return settings.read()


LOADED = read()


def reload_required(path):
    assert path == __file__
    return read() != LOADED


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{LOADED} {os.getpid()}".encode()]
"""
HOOK_CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ processes=2
WSGIProcessGroup site
WSGIScriptAlias /hooked @ROOT@/hooked.wsgi
WSGIScriptAlias /off @ROOT@/hooked.wsgi
<Location /off>
    WSGIScriptReloading Off
</Location>
"""


def prepare_hooked(serve_once, source: str = HOOKED) -> Httpd:
    server = serve_once.prepare(HOOK_CONFIGURATION)
    (server.root / "hooked.wsgi").write_text(source)
    (server.root / "settings").write_text("one")
    return server


def loaded(server: Httpd, path: str = "/hooked") -> str:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text.split()[0]


@pytest.mark.both_modes
def test_a_script_that_asks_to_be_loaded_anew_is(serve_once, mode: str):
    server = prepare_hooked(serve_once).start()
    assert (loaded(server), loaded(server, "/off")) == ("one", "one")
    (server.root / "settings").write_text("two")
    assert loaded(server, "/off") == "one"
    wait_for(lambda: loaded(server) == "two", "the new code answers")
    wait_for(lambda: {loaded(server) for _ in range(10)} == {"two"}, "nothing older answers")
    assert server.error_log().count("WSGI331") == (1 if mode == "daemon" else 0)


@pytest.mark.ours
@pytest.mark.both_modes
def test_a_hook_that_fails_is_logged_and_nothing_else(serve_once, mode: str):
    server = prepare_hooked(serve_once).start()
    assert loaded(server) == "one"
    settings = server.root / "settings"
    settings.rename(server.root / "elsewhere")
    assert loaded(server) == "one"
    assert "FileNotFoundError" in server.wait_for_log(r"WSGI414: reload_required\(\) of the script .*hooked.wsgi")
    settings.write_text("two")
    wait_for(lambda: loaded(server) == "two", "the hook is asked again")


@pytest.mark.waits
@pytest.mark.ours
def test_a_script_that_always_asks_is_loaded_once_a_second(serve_once):
    always = HOOKED.replace("return read() != LOADED", "return True")
    server = prepare_hooked(serve_once, always).start()

    def times() -> list[float]:
        stamps = re.findall(r"^\[\w+ \w+ \d+ \d+:(\d+):([\d.]+) .*WSGI331: ", server.error_log(), re.MULTILINE)
        return [60 * int(minutes) + float(seconds) for minutes, seconds in stamps]

    wait_for(lambda: loaded(server) == "one" and len(times()) >= 4, "it is loaded again and again", timeout=20)
    first, last = times()[0], times()[3]
    assert (last - first) % 3600 > 2.5
