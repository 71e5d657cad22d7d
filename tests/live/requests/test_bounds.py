"""Large bodies in both directions: child and daemon need little memory more than when they are idle.

BOUNDS=full takes the sizes of the acceptance, 10 GB up and 1 GB down; the usual ones are smaller.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

import connections
from httpd import Httpd
from waiting import wait_for

FULL = os.environ.get("BOUNDS") == "full"
BOUND = 16 * 1024  # KiB above idle
PATIENCE = 600 if FULL else 30  # seconds
BLOCK = bytes(range(256)) * 256
BLOCKS_OF_A_MEGABYTE = 1_000_000 / len(BLOCK)

pytestmark = pytest.mark.ours

CONFIGURATION = """
<IfModule mpm_prefork_module>
    StartServers 2
    MinSpareServers 1
    MaxSpareServers 2
</IfModule>
<IfModule !mpm_prefork_module>
    MinSpareThreads 1
    MaxSpareThreads 75
</IfModule>
WSGIDaemonProcess site python-home=@PYTHON@ threads=2 display-name=%{GROUP}
WSGIProcessGroup site
WSGIChunkedRequest On
LimitRequestBody 0
WSGIScriptAlias /echo @APPS@/echo.wsgi
WSGIScriptAlias /bounds @APPS@/bounds.wsgi
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    server = serve(CONFIGURATION)
    connections.fill(server, 2)
    for path in ("/echo/stream", "/bounds/slowly"):
        list(posted(server, path, 1))
    return server


@contextlib.contextmanager
def bounded(server: Httpd, what: str) -> Iterator[None]:
    """Checks the highest resident memory while something runs, and processes and descriptors after it."""
    processes = server.daemons("site") + server.children()
    idle = {process: process.resident for process in processes}
    descriptors = {process: len(process.descriptors) for process in processes}
    for process in processes:
        process.forget_peak()
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    grown = {process: process.peak - idle[process] for process in processes}
    figures = ", ".join(f"{process.title[:16]} {kib}" for process, kib in grown.items())
    print(f"{what}: {seconds:.1f} s, KiB above idle: {figures}")
    assert all(kib < BOUND for kib in grown.values()), figures
    assert server.daemons("site") + server.children() == processes
    wait_for(lambda: all(len(p.descriptors) <= count for p, count in descriptors.items()), "no descriptor more")


def posted(server: Httpd, path: str, blocks: int, chunked: bool = False) -> Iterator[bytes]:
    """The pieces of the answer to so many blocks, read while those are being sent."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {blocks * len(BLOCK)}"
    piece, end = (b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK), b"0\r\n\r\n") if chunked else (BLOCK, b"")

    def send() -> None:
        with contextlib.suppress(OSError):
            for _ in range(blocks):
                client.sendall(piece)
            client.sendall(end)

    with socket.create_connection(("127.0.0.1", server.ports["PORT"]), PATIENCE) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield from answer(client)
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)  # a sender nobody listens to would wait for ever
            sender.join()


def answer(client: socket.socket) -> Iterator[bytes]:
    with http.client.HTTPResponse(client) as response:
        response.begin()
        assert response.status == 200
        while piece := response.read(len(BLOCK)):
            yield piece


def checksum(pieces: Iterator[bytes]) -> tuple[int, int]:
    """Size and CRC."""
    size = crc = 0
    for piece in pieces:
        size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc


def of_blocks(count: int) -> tuple[int, int]:
    return checksum(BLOCK for _ in range(count))


@pytest.mark.parametrize("chunked", [False, True])
def test_echo_of_100_megabytes(server: Httpd, chunked: bool):
    blocks = int(100 * BLOCKS_OF_A_MEGABYTE)
    with bounded(server, f"echo of 100 MB{', chunked' * chunked}"):
        assert checksum(posted(server, "/echo/stream", blocks, chunked)) == of_blocks(blocks)


@pytest.mark.waits
@pytest.mark.parametrize("chunked", [False, True])
def test_upload_that_is_read_slowly(server: Httpd, chunked: bool):
    megabytes = 10_000 if FULL and not chunked else 300
    blocks = int(megabytes * BLOCKS_OF_A_MEGABYTE)
    with bounded(server, f"upload of {megabytes} MB, read slowly{', chunked' * chunked}"):
        told = b"".join(posted(server, "/bounds/slowly", blocks, chunked))
    assert tuple(map(int, told.split())) == of_blocks(blocks)


@pytest.mark.waits
def test_answer_to_a_client_that_reads_slowly(server: Httpd):
    """1 MB/s for three seconds, then with a pause after every 16 MB."""
    megabytes = 1_000 if FULL else 200
    blocks = int(megabytes * BLOCKS_OF_A_MEGABYTE)

    def slowly(pieces: Iterator[bytes]) -> Iterator[bytes]:
        for number, piece in enumerate(pieces):
            if number < 3 * BLOCKS_OF_A_MEGABYTE:
                time.sleep(1 / BLOCKS_OF_A_MEGABYTE)
            elif number % 256 == 0:
                time.sleep(0.05)
            yield piece

    with bounded(server, f"answer of {megabytes} MB, read slowly"):
        with socket.create_connection(("127.0.0.1", server.ports["PORT"]), PATIENCE) as client:
            client.sendall(f"GET /bounds/large?{blocks} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert checksum(slowly(answer(client))) == of_blocks(blocks)
