"""No text that a client chooses makes interpreters without bound: ports of Host headers, URLs of patterns, host names."""

from __future__ import annotations

import pytest

from httpd import Httpd

pytestmark = [pytest.mark.both_modes, pytest.mark.ours, pytest.mark.any_mpm]

APPLICATION = """
def application(environ, start_response):
    body = environ["mod_wsgi.application_group"].encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 maximum-interpreters=8
WSGIScriptAlias /one @ROOT@/one.wsgi process-group=site
WSGIScriptAlias /two @ROOT@/one.wsgi process-group=site
WSGIScriptAliasMatch ^/any/[^/]+ @ROOT@/one.wsgi process-group=site
WSGIScriptAlias /host @ROOT@/one.wsgi process-group=site application-group=%{HOST}
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    (server.root / "one.wsgi").write_text(APPLICATION)
    return server.start()


def test_ports_of_host_headers(server: Httpd):
    names = {server.get("/one", headers={"Host": f"localhost:{20_000 + number}"}).text for number in range(20)}
    assert len(names) == 1
    assert names == {server.get("/one").text}


def test_urls_of_a_pattern(server: Httpd):
    names = {server.get(f"/any/{number}/x").text for number in range(20)}
    assert len(names) == 1 and names.pop().endswith("/one.wsgi")


@pytest.mark.daemon_mode
def test_names_that_clients_choose(server: Httpd):
    answers = [server.get("/host", headers={"Host": f"h{number}.example"}) for number in range(20)]
    statuses = [answer.status_code for answer in answers]
    made = statuses.count(200)
    assert 0 < made < 8 and statuses == [200] * made + [503] * (20 - made)
    server.wait_for_log("WSGI442: .*has 8 interpreters already.*maximum-interpreters")
    assert server.get("/host", headers={"Host": "h0.example"}).status_code == 200, "those that are there go on"
    assert server.get("/one").status_code == 200
