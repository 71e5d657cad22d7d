"""Bodies that the httpd child gathers before it looks for a process: WSGIBufferedRequest, WSGIChunkedRequest Buffered.

A chunked body gets a length, which Django needs; and clients that send slowly hold no thread of a process group.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import raw_http
import sites
from httpd import IS_ROOT, MPM, Httpd
from machine import libexec
from waiting import wait_for

pytestmark = [pytest.mark.both_modes, pytest.mark.ours]

CONFIGURATION = f"""
<IfModule !deflate_module>
LoadModule deflate_module {libexec()}/mod_deflate.so
</IfModule>
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 display-name=%{{GROUP}}
WSGIApplicationGroup %{{GLOBAL}}
WSGIProcessGroup site
WSGIChunkedRequest Buffered
WSGIBufferedRequest 500K
WSGIScriptAlias /site @APPS@/late.wsgi
WSGIScriptAlias /limited @APPS@/late.wsgi
WSGIScriptAlias /inflated @APPS@/late.wsgi
WSGIScriptAlias /flask @APPS@/flask_site.wsgi
<Location /limited>
    LimitRequestBody 300000
</Location>
<Location /inflated>
    SetInputFilter DEFLATE
</Location>
@HTTPS@
"""
SIZES = [0, 1, 65_536, 200_000, 262_144, 262_145, 3_000_000]
# A site's urls.py goes on with it.
UPLOADS = """
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def upload(request):
    return JsonResponse({"size": len(request.body), "length": request.META.get("CONTENT_LENGTH")})


@csrf_exempt
def form(request):
    return JsonResponse({"size": request.FILES["file"].size, "note": request.POST["note"]})


urlpatterns += [path("upload", upload), path("form", form)]
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    return serve(CONFIGURATION)


def head(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def post_chunked(server: Httpd, path: str, body: bytes, *headers: str) -> raw_http.Answer:
    pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
    request = head(path, "Transfer-Encoding: chunked", *headers) + raw_http.chunked(*pieces)
    return raw_http.exchange(server.ports["PORT"], request)


def as_of_known_length(body: bytes) -> dict:
    digest = hashlib.sha256(body).hexdigest()
    return {"size": len(body), "digest": digest, "length": str(len(body)), "coding": None, "terminated": True}


@pytest.mark.parametrize("way", ["late", "parts"])
@pytest.mark.parametrize("size", SIZES)
def test_a_chunked_body_gets_its_length(server: Httpd, marks: Path, size: int, way: str):
    body = os.urandom(size)
    answer = post_chunked(server, f"/site/{way}?{marks}", body)
    assert (answer.status, json.loads(answer.body)) == (200, as_of_known_length(body))


@pytest.mark.skipif(MPM == "prefork", reason="no mod_http2")
@pytest.mark.parametrize("size", SIZES)
def test_a_body_without_a_length_over_http_2(server: Httpd, marks: Path, size: int):
    body = os.urandom(size)
    with server.client(port="TLS", http2=True) as client:
        answer = client.post(f"/site/late?{marks}", content=iter([body[:10], body[10:]]))
    assert (answer.http_version, answer.json()) == ("HTTP/2", as_of_known_length(body))


@pytest.mark.parametrize("size", [1, 200_000, 500 * 1024, 500 * 1024 + 1, 3_000_000])
def test_a_body_with_a_length_comes_whole(server: Httpd, marks: Path, size: int):
    body = os.urandom(size)
    assert server.post(f"/site/late?{marks}", content=body).json() == as_of_known_length(body)


def test_several_on_one_connection(server: Httpd, marks: Path):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        for size in (10, 400_000, 0, 70_000):
            body = os.urandom(size)
            connection.send(head(f"/site/late?{marks}", "Transfer-Encoding: chunked"))
            connection.send(raw_http.chunked(*[body] if body else []))
            assert json.loads(connection.answer("POST").body) == as_of_known_length(body)


@pytest.mark.parametrize("size", [1000, 500_000, 2_000_000])
def test_a_filter_that_changes_the_length(server: Httpd, marks: Path, size: int):
    """Up to the largest size that is gathered the application is told what the filter gives; beyond it, the old way."""
    body = os.urandom(size // 2).hex().encode()
    answer = server.post(f"/inflated/late?{marks}", content=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    seen, expected = answer.json(), as_of_known_length(body)
    assert seen["digest"] == expected["digest"]
    assert (seen["length"] == expected["length"]) is (size <= 500 * 1024)


# Slow clients


@pytest.mark.daemon_mode
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_slow_uploads_hold_no_thread(server: Httpd, marks: Path, coding: str):
    body = os.urandom(200_000)
    framing = f"Content-Length: {len(body)}" if coding == "length" else "Transfer-Encoding: chunked"
    first, second = body[:1000], body[1000:]
    if coding == "chunked":
        first, second = raw_http.chunked(first)[:-5], raw_http.chunked(second)
    slow = [raw_http.Connection(server.ports["PORT"]) for _ in range(10)]
    for connection in slow:
        connection.send(head(f"/site/late?{marks}", framing) + first)
    for _ in range(3):
        assert server.get(f"/site/late?{marks}").status_code == 200
    for connection in slow:
        connection.send(second)
        assert json.loads(connection.answer("POST").body) == as_of_known_length(body)
        connection.socket.close()


def test_a_larger_body_is_passed_on_as_it_comes(server: Httpd, marks: Path):
    body = os.urandom(500 * 1024 + 1)
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head(f"/site/late?{marks}", f"Content-Length: {len(body)}"))
        wait_for((marks / "called").exists, "the application runs before the body is there")
        connection.send(body)
        assert json.loads(connection.answer("POST").body) == as_of_known_length(body)


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_expect_100_is_answered_before_the_application_runs(server: Httpd, marks: Path, framing: str):
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head(f"/site/late?{marks}", framing, "Expect: 100-continue"))
        assert connection.socket.recv(1000).startswith(b"HTTP/1.1 100")
        assert not (marks / "called").exists()
        connection.send(b"12345" if framing.startswith("Content") else raw_http.chunked(b"123", b"45"))
        assert json.loads(connection.answer("POST").body) == as_of_known_length(b"12345")


# What goes wrong


def test_a_body_above_the_limit(server: Httpd, marks: Path):
    assert json.loads(post_chunked(server, f"/limited/late?{marks}", b"x" * 300_000).body)["size"] == 300_000
    (marks / "called").unlink()
    start = len(server.error_log())
    assert post_chunked(server, f"/limited/late?{marks}", b"x" * 300_001).status == 413
    server.wait_for_log("WSGI218: POST /limited/late", start=start)
    assert not (marks / "called").exists()


def test_malformed_chunks(server: Httpd, marks: Path):
    start = len(server.error_log())
    request = head(f"/site/late?{marks}", "Transfer-Encoding: chunked") + b"5\r\n12345\r\nno number\r\n"
    assert raw_http.exchange(server.ports["PORT"], request).status == 400
    server.wait_for_log("wsgi:info.*WSGI229.*chunks are malformed", start=start)
    assert not (marks / "called").exists()


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_client_that_goes_away(server: Httpd, marks: Path, size: int):
    start = len(server.error_log())
    with raw_http.Connection(server.ports["PORT"]) as connection:
        connection.send(head(f"/site/late?{marks}", "Transfer-Encoding: chunked") + raw_http.chunked(b"x" * size)[:-5])
    server.wait_for_log("WSGI229.*the client closed the connection", start=start)
    wait_for(lambda: temporary_files(server) == [], "nothing is left of it")
    assert not (marks / "called").exists()


def temporary_files(server: Httpd) -> list[str]:
    """Those that children have open; they have no names."""
    opened = [name for child in server.children() for name in child.descriptors]
    return [name for name in opened if "(deleted)" in name and ("/tmp/#" in name or "wsgi-body" in name)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not IS_ROOT:
        pytest.skip("only root can mount a disk that is small")
    folder = tmp_path / "disk"
    folder.mkdir()
    for above in (tmp_path, *list(tmp_path.parents)[:2]):
        above.chmod(0o777)
    options = "size=256k,mode=1777"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(serve_once, marks: Path, small_disk: Path):
    server = serve_once(CONFIGURATION, environment={"TMPDIR": str(small_disk)})
    body = os.urandom(262_144 + 100_000)
    assert json.loads(post_chunked(server, f"/site/late?{marks}", body).body) == as_of_known_length(body)
    (marks / "called").unlink()
    start = len(server.error_log())
    assert post_chunked(server, f"/site/late?{marks}", os.urandom(1_000_000)).status == 500
    server.wait_for_log("wsgi:error.*WSGI230.*No space left.*TMPDIR", start=start)
    assert not (marks / "called").exists()
    wait_for(lambda: json.loads(post_chunked(server, f"/site/late?{marks}", body).body)["size"] == len(body), "as before")


def test_a_folder_that_is_missing(serve_once, marks: Path):
    """APR takes another one."""
    server = serve_once(CONFIGURATION, environment={"TMPDIR": "/nowhere/at/all"})
    body = os.urandom(1_000_000)
    assert json.loads(post_chunked(server, f"/site/late?{marks}", body).body) == as_of_known_length(body)


# Frameworks

FORM = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\ntwo words\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n@\r\n--b--\r\n'
MULTIPART = "Content-Type: multipart/form-data; boundary=b"


def test_django_gets_chunked_uploads(serve_once, python, mode: str):
    server = serve_once.prepare(
        "WSGIDaemonProcess django python-home=@PYTHON@ python-path=@ROOT@/sites/shop\n"
        "WSGIScriptAlias / @ROOT@/sites/shop/mysite/wsgi.py process-group=django application-group=%{GLOBAL}\n"
        "WSGIChunkedRequest Buffered\n"
    )
    site = sites.make_django(server, python("3.11"), "shop")
    with open(site.folder / "mysite" / "urls.py", "a") as urls:
        urls.write(UPLOADS)
    server.start()
    for size in (5, 100_000, 1_000_000):
        answer = post_chunked(server, "/upload", b"x" * size)
        assert json.loads(answer.body) == {"size": size, "length": str(size)}
        answer = post_chunked(server, "/form", FORM.replace(b"@", b"y" * size), MULTIPART)
        assert json.loads(answer.body) == {"size": size, "note": "two words"}


@pytest.mark.parametrize("size", [5, 100_000, 400_000])
def test_flask_gets_chunked_uploads(server: Httpd, size: int):
    answer = post_chunked(server, "/flask/raw", b"x" * size)
    assert json.loads(answer.body) == {"size": size, "length": size}
    answer = post_chunked(server, "/flask/upload", FORM.replace(b"@", b"y" * size), MULTIPART)
    assert json.loads(answer.body) == {"name": "a.bin", "size": size, "note": "two words"}
