"""The module under valgrind's memcheck, in both modes; run by `make hostile`.

AddressSanitizer and Miri need a nightly compiler. Memcheck has the build with the feature `fault-injection` (see
inject.py) run in one httpd process (-X) in embedded mode, and in httpd's parent, its children, the supervisor and the
daemons in daemon mode. An error counts if a frame of the module is among its eight innermost ones; what httpd, OpenSSL
and CPython do by themselves is theirs. Python takes its memory from malloc here (PYTHONMALLOC), so that each object is
watched on its own.

FAULT_SO names another build, LIVE_PYTHON chooses as for the live tests. Exit status 1 if there is an error; the log is printed then.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness"))

from httpd import Httpd
from inject import BUILD

CONFIGURATION = """
Timeout 600
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 startup-timeout=0 deadlock-timeout=0 shutdown-timeout=60
WSGIScriptAlias /process @APPS@/process.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /body @APPS@/echo.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /file @APPS@/file_wrapper.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /broken @APPS@/import_error.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /own @APPS@/environ.wsgi process-group=site application-group=own
"""

VALGRIND = ["valgrind", "--tool=memcheck", "--leak-check=no", "--num-callers=40", "--vgdb=no", "--trace-children=yes"]
OURS = r"mod_wsgi(_rs::|\.so)"
INNERMOST = 8
# Where the kernel has put the arguments, valgrind has its own.
EXPECTED = "os::title::set_title"


class Watched(Httpd):
    """Under valgrind, which is some twenty times as slow; in embedded mode one process does it all."""

    log_port = 0

    def _command(self, *arguments: str) -> list[str]:
        single = ["-X"] if self.mode == "embedded" else []
        plain = [argument for argument in arguments if not single or argument != "-DFOREGROUND"]
        return [*VALGRIND, f"--log-socket=127.0.0.1:{self.log_port}", *super()._command(*plain), *single]


@contextlib.contextmanager
def logs() -> Iterator[tuple[int, list[str]]]:
    """A port, and the logs that come there: a file that one user has made could not be written by the next."""
    found: list[str] = []

    class OfOneProcess(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            found.append(self.rfile.read().decode("utf-8", "replace"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OfOneProcess) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        yield collector.server_address[1], found
        collector.shutdown()


def errors_in(log: str) -> list[str]:
    """The errors that come from the module: blocks in which it is among the innermost frames.

    What a process forks goes on with its log, under a number of its own.
    """
    of_processes: dict[str, list[str]] = {}
    for line in log.splitlines():
        if found := re.match(r"==(\d+)== ?(.*)", line):
            of_processes.setdefault(found[1], []).append(found[2])
    blocks = [block for lines in of_processes.values() for block in "\n".join(lines).split("\n\n")]
    frames = [re.findall(r"^ +(?:at|by) 0x.*", block, re.MULTILINE)[:INNERMOST] for block in blocks]
    ours = [block for block, inner in zip(blocks, frames) if any(re.search(OURS, frame) for frame in inner)]
    return [block for block in ours if EXPECTED not in block]


def exercise(server: Httpd) -> None:
    (server.root / "file").write_bytes(b"file" * 5000)
    with server.client(timeout=300) as client:
        for method, path, content, status in (
            ("GET", "/process", None, 200),
            ("POST", "/body", b"x" * 300_000, 200),
            ("POST", "/body/stream", b"x" * 300_000, 200),
            ("GET", f"/file/buffered?path={server.root}/file", None, 200),
            ("GET", "/broken", None, 500),
            ("GET", "/own", None, 200),
            ("HEAD", "/process", None, 200),
        ):
            answer = client.request(method, path, content=content)
            assert answer.status_code == status, (method, path, answer, server.error_log()[-2000:])


def run(mode: str) -> int:
    server = Watched(CONFIGURATION, mode=mode)
    server.environment["PYTHONMALLOC"] = "malloc"
    folder = server.writable_folder("faults")
    server.writable_folder("faults/seen")
    server.environment["WSGI_FAULTS"] = str(folder)
    # A title would be written over what valgrind hands to the daemons' valgrind.
    (folder / "plan").write_text("once supervisor set_title 12 1")
    shutil.copy(os.environ.get("FAULT_SO", BUILD), server.root / "mod_wsgi.so")
    try:
        with logs() as (server.log_port, found):
            server.start()
            if mode == "daemon":
                server.wait_for_log("WSGI320", timeout=300)
            exercise(server)
            server.stop()
    finally:
        server.close()
    # Of httpd with what it forks, and of each daemon.
    assert len(found) >= (1 if mode == "embedded" else 2), f"valgrind has written {len(found)} logs"
    pids = set(re.findall(r"^==(\d+)==", "".join(found), re.MULTILINE))
    errors = [error for log in found for error in errors_in(log)]
    print(f"{mode} mode: {len(pids)} processes, {len(errors)} errors of the module", flush=True)
    print("\n\n".join(errors))
    return len(errors)


def main() -> None:
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: apt-get install valgrind")
    print(subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout.strip())
    sys.exit(1 if sum(run(mode) for mode in ("daemon", "embedded")) else 0)


if __name__ == "__main__":
    main()
