"""Nothing of a request is kept: not the names of its headers, nor any interpreter for a text that the client chose."""

from __future__ import annotations

import sys

import pytest

import pythons
from httpd import Httpd
from machine import PROJECT
from processes import Process

sys.path.append(str(PROJECT / "tests/hostile"))
from cardinality import APPLICATION, KINDS, Client, prepare  # noqa: E402

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm]

WARM, MORE = 40, 80


@pytest.fixture(scope="module", params=pythons.VERSIONS)
def server(serve, python, request) -> Httpd:
    return prepare(serve.prepare, python(request.param).home).start()


def growth(client: Client, kinds: tuple[str, ...]) -> int:
    """KiB that requests of these kinds add."""
    for _ in range(WARM):
        for kind in kinds:
            client.send(kind)
    before = client.memory()
    for _ in range(MORE):
        for kind in kinds:
            client.send(kind)
    return client.memory() - before


def test_names_of_headers_are_not_kept(server: Httpd):
    """They are 2 MB of text, which Python 3.12 and free-threaded ones never give back once it is interned."""
    grown = growth(Client(server, seed=2), ("names",))
    assert grown < 1200, f"{grown} KiB more after {MORE} requests"


def test_memory_stays_flat(server: Httpd):
    client = Client(server, seed=1)
    grown = growth(client, KINDS)
    assert grown < 1200, f"{grown} KiB more after {MORE * len(KINDS)} requests"
    assert all(Process.of(child.pid).resident < 300_000 for child in server.children())
    name = f"localhost:{server.ports['PORT']}|"
    assert client.groups == {f"{name}/one", f"{name}{server.root}/one.wsgi"}


@pytest.mark.parametrize("slashes", ["//", "/./", "/x/../"])
def test_a_script_has_one_name(serve_once, slashes: str):
    """However the client writes the path to it."""
    server = serve_once.prepare(
        "MergeSlashes Off\nWSGIDaemonProcess site python-home=@PYTHON@\n"
        "WSGIScriptAliasMatch ^/s(.*) @ROOT@/htdocs$1 process-group=site application-group=%{RESOURCE}\n"
    )
    (server.root / "htdocs/x").mkdir()
    (server.root / "htdocs/one.wsgi").write_text(APPLICATION)
    server.start()
    answers = [server.get(f"/s{slashes * count}/one.wsgi").text.split(" ", 1)[1] for count in (0, 1, 2, 3)]
    assert len(set(answers)) == 1, answers
