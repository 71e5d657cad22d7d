"""What people run: a Flask site and the Django admin, over HTTP/1.1, HTTP/2 and HTTPS."""

from __future__ import annotations

import os
import re

import httpx
import pytest

import sites
from httpd import Httpd

pytestmark = pytest.mark.both_modes

CONFIGURATION = """
WSGIDaemonProcess flask python-home=@PYTHON@ threads=4
WSGIDaemonProcess django python-home=@PYTHON@ python-path=@ROOT@/sites/shop processes=2 threads=4
Alias /static/ @ROOT@/sites/shop/static/
WSGIScriptAlias /flask @APPS@/flask_site.wsgi process-group=flask application-group=%{GLOBAL}
WSGIScriptAlias / @ROOT@/sites/shop/mysite/wsgi.py process-group=django application-group=%{GLOBAL}
@HTTPS@
"""

PROTOCOLS = {
    "http/1.1": ("PORT", {}),
    "http/2 cleartext": ("PORT", {"http1": False, "http2": True}),
    "https/1.1": ("TLS", {}),
    "https/2": ("TLS", {"http2": True}),
}


@pytest.fixture(scope="module")
def server(serve, python) -> Httpd:
    server = serve.prepare(CONFIGURATION)
    site = sites.make_django(server, python("3.11"), "shop")
    site.manage("migrate", "--verbosity=0")
    site.manage("collectstatic", "--noinput", "--verbosity=0")
    site.manage(
        "createsuperuser", "--noinput",
        DJANGO_SUPERUSER_USERNAME="jane", DJANGO_SUPERUSER_PASSWORD="a long word", DJANGO_SUPERUSER_EMAIL="jane@example.com",
    )  # fmt: skip
    sites.own(site)
    return server.start()


@pytest.fixture(params=PROTOCOLS)
def client(request: pytest.FixtureRequest, server: Httpd):
    port, options = PROTOCOLS[request.param]
    with server.client(port=port, follow_redirects=True, **options) as client:
        yield client


def token(page: httpx.Response) -> str:
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]


def submit(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Fetch the page with the form and post it back, as a browser does."""
    page = client.get(path)
    fields["csrfmiddlewaretoken"] = token(page)
    return client.post(path, data=fields, headers={"Referer": str(page.url)})


def test_admin_login_work_and_logout(client: httpx.Client):
    assert "Log in" in client.get("/admin/").text
    refused = submit(client, "/admin/login/?next=/admin/", username="jane", password="wrong")
    assert "sessionid" not in client.cookies and "errornote" in refused.text
    home = submit(client, "/admin/login/?next=/admin/", username="jane", password="a long word")
    assert "Site administration" in home.text and "sessionid" in client.cookies
    name = f"group of {client.base_url.scheme} {id(client)}"
    added = submit(client, "/admin/auth/group/add/", name=name)
    assert added.status_code == 200 and name in added.text
    assert name in client.get("/admin/auth/group/").text
    assert submit_logout(client).status_code == 200
    assert "Log in" in client.get("/admin/").text


def submit_logout(client: httpx.Client) -> httpx.Response:
    page = client.get("/admin/")
    return client.post("/admin/logout/", data={"csrfmiddlewaretoken": token(page)}, headers={"Referer": str(page.url)})


def test_a_form_without_its_token_is_refused(client: httpx.Client):
    answer = client.post("/admin/login/", data={"username": "jane", "password": "a long word"})
    assert answer.status_code == 403


def test_static_files_come_from_apache(client: httpx.Client):
    answer = client.get("/static/admin/css/base.css")
    assert answer.status_code == 200 and len(answer.content) > 1000
    assert "etag" in answer.headers and "accept-ranges" in answer.headers


def test_django_404(client: httpx.Client):
    assert client.get("/no/such/page").status_code == 404


def test_flask_form_and_session(client: httpx.Client):
    assert client.get("/flask/").text == "<a href='/flask/form'>form</a>"
    seen = client.post("/flask/form", data={"name": "Zoë"}).json()
    assert (seen["name"], seen["scheme"]) == ("Zoë", client.base_url.scheme)
    assert seen["host"] == client.base_url.netloc.decode()


def test_flask_upload_stream_and_errors(server: Httpd, client: httpx.Client):
    content = os.urandom(300_000)
    seen = client.post("/flask/upload", files={"file": ("a.bin", content)}, data={"note": "two words"}).json()
    assert seen == {"name": "a.bin", "size": 300_000, "note": "two words"}
    assert client.get("/flask/stream").text.splitlines() == [f"line {number}" for number in range(1000)]
    assert client.get("/flask/teapot").status_code == 418
    start = len(server.error_log())
    assert client.get("/flask/broken").status_code == 500
    server.wait_for_log("reason: the view is broken", start=start)
