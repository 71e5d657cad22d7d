"""The httpd that loads the module: what it must have, and what may be missing. A copy of its program says an older number."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from machine import program

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]


def older(folder: Path, minor: int) -> Path:
    """A copy of httpd's program whose core says that it was built with this minor magic number."""
    symbols = subprocess.run(["readelf", "-W", "--dyn-syms", program()], capture_output=True, text=True, check=True).stdout
    value, section = re.search(r"([0-9a-f]{16})\s+\d+ OBJECT\s+GLOBAL\s+DEFAULT\s+(\d+) core_module$", symbols, re.M).groups()
    sections = subprocess.run(["readelf", "-W", "-S", program()], capture_output=True, text=True, check=True).stdout
    address, offset = re.search(rf"\[\s*{section}\] \S+\s+\S+\s+([0-9a-f]+) ([0-9a-f]+)", sections).groups()
    place = int(value, 16) - int(address, 16) + int(offset, 16) + 4  # behind the major number
    content = bytearray(program().read_bytes())
    assert struct.unpack_from("<ii", content, place - 4)[0] == 20120211
    struct.pack_into("<i", content, place, minor)
    copy = folder / "httpd-of-before"
    copy.write_bytes(content)
    copy.chmod(0o755)
    return copy


CONFIGURATION = """
ExtendedStatus On
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 server-metrics=On
WSGIScriptAlias / @APPS@/metrics.wsgi process-group=site application-group=%{GLOBAL}
"""


def test_one_that_is_too_old_is_refused(serve_once, tmp_path: Path, monkeypatch):
    server = serve_once.prepare(CONFIGURATION)
    assert server.configtest()[0] == 0
    monkeypatch.setenv("HTTPD", str(older(tmp_path, 51)))
    status, output = server.configtest()
    assert status != 0 and "WSGI391" in output and "20120211:51" in output and "2.4.19" in output, output


def test_a_field_that_an_older_one_lacks_is_not_read(serve_once, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HTTPD", str(older(tmp_path, 82)))
    shown = serve_once(CONFIGURATION).get("/").json()
    workers = [worker for process in shown["processes"] for worker in process["workers"] if worker["status"] == "W"]
    assert [worker["client"] for worker in workers] == ["127.0.0.1"]
