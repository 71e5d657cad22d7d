"""Large bodies: /slowly reads one with pauses and answers its checksum, /large?COUNT sends so many blocks."""

import time
import zlib

BLOCK = bytes(range(256)) * 256


def slowly(environ, start_response):
    checksum = size = 0
    stream = environ["wsgi.input"]
    for number, piece in enumerate(iter(lambda: stream.read(len(BLOCK)), b"")):
        checksum, size = zlib.crc32(piece, checksum), size + len(piece)
        if number % 256 == 0:
            time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{size} {checksum}".encode()]


def large(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (BLOCK for _ in range(int(environ["QUERY_STRING"])))


def application(environ, start_response):
    return {"/slowly": slowly, "/large": large}[environ["PATH_INFO"]](environ, start_response)
