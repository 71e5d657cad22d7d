"""File objects of all kinds in `wsgi.file_wrapper`: /KIND?path=..., and /closed, which says how often each was closed."""

import bz2
import gzip
import io
import json
import lzma
import tempfile
import zipfile
from urllib.parse import parse_qs

closed = {}


class Reversing(io.FileIO):
    """An io.FileIO that gives other bytes than its descriptor."""

    def read(self, size=-1):
        return super().read(size)[::-1]

    def readinto(self, buffer):
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Deciphering:
    """Passes everything on to the file but what it reads."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def read(self, size=-1):
        return bytes(byte ^ 1 for byte in self.file.read(size))


def replaced_read(path):
    """The method of one instance."""
    file = open(path, "rb")
    read = file.read
    file.read = lambda size: read(size)[::-1]
    return file


def unflushed(path):
    file = tempfile.TemporaryFile()
    file.write(b"0123456789")
    file.seek(2)
    file.write(b"cd")
    return file


def filled(file):
    file.write(b"0123456789")
    file.seek(3)
    return file


def text_of(file):
    file.write("text")
    file.seek(0)
    return file


def after(file, count):
    file.read(count)
    return file


KINDS = {
    "raw": lambda path: open(path, "rb", buffering=0),
    "buffered": lambda path: open(path, "rb"),
    "updated": lambda path: open(path, "r+b"),
    "raw_later": lambda path: after(open(path, "rb", buffering=0), 3),
    "buffered_later": lambda path: after(open(path, "rb"), 3),
    "gzip": gzip.open,
    "gzip_later": lambda path: after(gzip.open(path), 3),
    "bz2": bz2.open,
    "lzma": lzma.open,
    "zip": lambda path: zipfile.ZipFile(path).open("member"),
    "gzip_buffered": lambda path: io.BufferedReader(gzip.open(path)),
    "subclass": Reversing,
    "subclass_buffered": lambda path: io.BufferedReader(Reversing(path)),
    "deciphering": lambda path: Deciphering(open(path, "rb")),
    "replaced_read": replaced_read,
    "named_temporary": lambda path: filled(tempfile.NamedTemporaryFile()),
    "named_temporary_read": lambda path: after(filled(tempfile.NamedTemporaryFile()), 2),
    "temporary": lambda path: filled(tempfile.TemporaryFile()),
    "spooled": lambda path: filled(tempfile.SpooledTemporaryFile()),
    "spooled_to_disk": lambda path: filled(tempfile.SpooledTemporaryFile(max_size=5)),
    "unflushed": unflushed,
    "text": lambda path: open(path, encoding="utf-8"),
    "text_read_before": lambda path: after(open(path, encoding="utf-8"), 3),
    "text_of_gzip": lambda path: gzip.open(path, "rt"),
    "string_io": lambda path: io.StringIO("text"),
    "named_temporary_text": lambda path: text_of(tempfile.NamedTemporaryFile("w+")),
}


def application(environ, start_response):
    kind = environ["PATH_INFO"].strip("/")
    if kind == "closed":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(closed).encode()]
    path = parse_qs(environ["QUERY_STRING"])["path"][0]
    file = KINDS[kind](path)
    closed[kind] = 0
    close = file.close

    def count():
        closed[kind] += 1
        close()

    file.close = count
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](file)
