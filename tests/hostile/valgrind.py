"""The module under valgrind's memcheck, in both modes; run by `make hostile`.

AddressSanitizer and Miri need a nightly compiler. Memcheck runs what ships: the release build, below one httpd process
(-X) in embedded mode, and below httpd's parent, its children and the supervisor in daemon mode. Daemons are programs of
their own, which it does not follow: embedded mode runs what they run of applications, but not their threads. An error
counts if a frame of the module is among its eight innermost ones; what httpd, OpenSSL and CPython do by themselves is
theirs. Python takes its memory from malloc here (PYTHONMALLOC), so that each object is watched on its own.

MODULE_SO and LIVE_PYTHON choose as for the live tests. Exit status 1 if there is an error; the log is printed then.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness"))

from httpd import Httpd

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 startup-timeout=0 deadlock-timeout=0 shutdown-timeout=60
WSGIScriptAlias /process @APPS@/process.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /body @APPS@/echo.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /file @APPS@/file_wrapper.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /broken @APPS@/import_error.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias /own @APPS@/environ.wsgi process-group=site application-group=own
"""

VALGRIND = ["valgrind", "--tool=memcheck", "--leak-check=no", "--num-callers=40", "--vgdb=no"]
OURS = "mod_wsgi.so"
INNERMOST = 8


class Watched(Httpd):
    """Under valgrind, which is some twenty times as slow; in embedded mode one process does it all."""

    def _command(self, *arguments: str) -> list[str]:
        single = ["-X"] if self.mode == "embedded" else []
        plain = [argument for argument in arguments if not single or argument != "-DFOREGROUND"]
        return [*VALGRIND, f"--log-file={self.root}/valgrind/%p.log", *super()._command(*plain), *single]


def errors_in(log: str) -> list[str]:
    """The errors that come from the module: blocks of a log in which it is among the innermost frames."""
    lines = [re.sub(r"^==\d+== ?", "", line) for line in log.splitlines() if re.match(r"==\d+==", line)]
    blocks = "\n".join(lines).split("\n\n")
    frames = [re.findall(r"^ +(?:at|by) 0x.*", block, re.MULTILINE)[:INNERMOST] for block in blocks]
    return [block for block, inner in zip(blocks, frames) if any(OURS in frame for frame in inner)]


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
    try:
        server.writable_folder("valgrind")
        server.start()
        exercise(server)
        server.stop()
        found = [log.read_text("utf-8", "replace") for log in (server.root / "valgrind").glob("*.log")]
    finally:
        server.close()
    # One process, or the parent with a supervisor and a child.
    assert len(found) >= (1 if mode == "embedded" else 3), f"valgrind has written {len(found)} logs"
    errors = [error for log in found for error in errors_in(log)]
    print(f"{mode} mode: {len(found)} logs, {len(errors)} errors of the module", flush=True)
    print("\n\n".join(errors))
    return len(errors)


def main() -> None:
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: apt-get install valgrind")
    print(subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout.strip())
    sys.exit(1 if sum(run(mode) for mode in ("daemon", "embedded")) else 0)


if __name__ == "__main__":
    main()
