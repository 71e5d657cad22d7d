"""`wsgi.file_wrapper` gives what `read` of its file object gives, whatever else the object has a descriptor of.

Only an io.FileIO, and a buffered reader straight over one, is sent from its descriptor (its Content-Length shows it): by
the process of the site, or where WSGIEnableSendfile is On by httpd.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pythons
from httpd import Httpd
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.any_mpm]

CONFIGURATION = """
WSGIDaemonProcess site python-home={home} threads=3
WSGIEnableSendfile {sendfile}
WSGIScriptAlias / @APPS@/file_wrapper.wsgi process-group=site application-group=%{{GLOBAL}}
"""
CONTENT = bytes(range(256)) * 200
TEXT = "Grüße\nzwei\n"
SHORT = b"0123456789"  # what the temporary files hold


@dataclass
class Site:
    server: Httpd
    folder: Path

    def get(self, kind: str, name: str | Path = "plain"):
        return self.server.get(f"/{kind}", params={"path": str(self.folder / name)})


@pytest.fixture(scope="module", params=[*((version, "Off") for version in pythons.VERSIONS), (pythons.VERSIONS[0], "On")])
def site(request: pytest.FixtureRequest, serve, python) -> Iterator[Site]:
    version, sendfile = request.param
    server = serve.prepare(CONFIGURATION.format(home=python(version).home, sendfile=sendfile))
    folder = server.root / "files"
    folder.mkdir()
    (folder / "plain").write_bytes(CONTENT)
    (folder / "plain").chmod(0o666)
    (folder / "empty").touch()
    (folder / "text").write_text(TEXT, encoding="utf-8")
    (folder / "gzip").write_bytes(gzip.compress(CONTENT))
    (folder / "bz2").write_bytes(bz2.compress(CONTENT))
    (folder / "lzma").write_bytes(lzma.compress(CONTENT))
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("member", CONTENT)
    yield Site(server.start(), folder)
    server.stop()


@pytest.mark.parametrize("kind", ["raw", "buffered", "updated"])
def test_a_plain_file_is_sent_from_its_descriptor(site: Site, kind: str):
    answer = site.get(kind)
    assert (answer.status_code, answer.content == CONTENT) == (200, True)
    assert answer.headers["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize("kind", ["raw_later", "buffered_later"])
def test_it_begins_where_read_would(site: Site, kind: str):
    answer = site.get(kind)
    assert (answer.content == CONTENT[3:], answer.headers["Content-Length"]) == (True, str(len(CONTENT) - 3))


@pytest.mark.parametrize("kind", ["gzip", "bz2", "lzma", "zip"])
def test_what_is_packed_is_unpacked(site: Site, kind: str):
    answer = site.get(kind, kind)
    assert (answer.status_code, answer.content == CONTENT) == (200, True)


@pytest.mark.parametrize("kind, skipped", [("gzip_later", 3), ("gzip_buffered", 0)])
def test_and_so_behind_what_was_read_and_through_a_buffer(site: Site, kind: str, skipped: int):
    assert site.get(kind, "gzip").content == CONTENT[skipped:]


@pytest.mark.parametrize("kind", ["subclass", "subclass_buffered", "replaced_read"])
def test_a_read_of_the_applications_own_is_called(site: Site, kind: str):
    answer = site.get(kind)
    assert (len(answer.content), sorted(answer.content) == sorted(CONTENT)) == (len(CONTENT), True)
    assert (answer.content == CONTENT, answer.content[:3]) == (False, b"\xff\xfe\xfd")


def test_an_object_that_passes_on_a_descriptor_is_read(site: Site):
    assert site.get("deciphering").content == bytes(byte ^ 1 for byte in CONTENT)


@pytest.mark.parametrize(
    "kind, content",
    [
        ("named_temporary", SHORT[3:]),
        ("named_temporary_read", SHORT[5:]),
        ("temporary", SHORT[3:]),
        ("spooled", SHORT[3:]),
        ("spooled_to_disk", SHORT[3:]),
        ("unflushed", SHORT[4:]),
    ],
)
def test_temporary_files(site: Site, kind: str, content: bytes):
    assert site.get(kind).content == content


@pytest.mark.parametrize("kind", ["raw", "buffered"])
def test_files_of_the_kernel_that_do_not_say_how_large_they_are(site: Site, kind: str):
    """Those of /proc say 0, those of /sys 4096."""
    assert b"VmRSS" in site.get(kind, "/proc/self/status").content
    host = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    assert site.get(kind, "/proc/sys/kernel/ostype").content == b"Linux\n"
    if host.exists():
        assert site.get(kind, host).content == host.read_bytes()


@pytest.mark.parametrize("kind", ["raw", "buffered"])
def test_an_empty_file(site: Site, kind: str):
    answer = site.get(kind, "empty")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "kind, name, content",
    [
        ("text", "text", TEXT.encode()),
        ("text_read_before", "text", TEXT[3:].encode()),
        ("text_of_gzip", "gzip", CONTENT),
        ("named_temporary_text", "text", b"text"),
    ],
)
def test_a_file_that_was_opened_as_text_is_sent_as_its_bytes(site: Site, kind: str, name: str, content: bytes):
    assert site.get(kind, name).content == content


@pytest.mark.ours
def test_a_source_of_str_is_a_visible_error(site: Site):
    start = len(site.server.error_log())
    assert site.get("string_io").status_code == 500
    site.server.wait_for_log("TypeError: the response must consist of bytes objects, got str", start=start)


@pytest.mark.parametrize("kind, name", [("raw", "plain"), ("buffered", "plain"), ("gzip", "gzip"), ("spooled", "plain")])
def test_the_file_is_closed_once(site: Site, kind: str, name: str):
    site.get(kind, name)
    wait_for(lambda: site.server.get("/closed").json()[kind] == 1, f"close() of {kind}")
