"""A file system of a test's own (FUSE, standard library only) that notes who looks, and answers or does not.

`StrangeFiles(folder)` is mounted over the folder: nothing is there, and `seen` has the user and the name of each look,
as the kernel names them: the user whose rights count for files. With `answers=False` a look waits in the kernel, where
no signal ends it, as with a network file system whose server has gone; `close` lets it fail. `StrangeFile(file)` is
mounted over a file, which is a megabyte long; who reads it waits so. Needs root and /dev/fuse.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import threading
from pathlib import Path

LOOKUP, FORGET, GETATTR, OPEN, READ, INIT = 1, 2, 3, 14, 15, 26
MNT_DETACH = 2
IN_HEADER = struct.Struct("<IIQQIIII")
ATTRIBUTES = struct.Struct("<QII6Q10I")
OPENED = struct.pack("<QII", 0, 0, 0)
INIT_ANSWER = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, 0, *[0] * 7)

_libc = ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/fuse", os.O_RDWR))
        return os.geteuid() == 0
    return False


class StrangeFiles:
    mode, size = 0o040755, 0

    def __init__(self, folder: Path, answers: bool = True) -> None:
        self.folder, self.answers = folder, answers
        self.seen: list[tuple[int, str]] = []
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode={self.mode & 0o170000:o},user_id=0,group_id=0,allow_other".encode()
        if _libc.mount(b"strange", os.fsencode(folder), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "mount")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> StrangeFiles:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        _libc.umount2(os.fsencode(self.folder), MNT_DETACH | 1)  # MNT_FORCE: what waits fails
        self._thread.join(5)
        os.close(self._device)

    def users(self) -> set[int]:
        return {user for user, _name in self.seen}

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 17)
            except OSError:
                return  # it is not mounted any more
            _, operation, unique, _, user, *_ = IN_HEADER.unpack_from(request)
            if operation == INIT:
                self._answer(unique, INIT_ANSWER)
            elif operation == GETATTR:
                attributes = ATTRIBUTES.pack(0, 0, 0, 1, self.size, 0, 0, 0, 0, 0, 0, 0, self.mode, 2, 0, 0, 0, 4096, 0)
                self._answer(unique, attributes)
            elif operation == OPEN and self.size:
                self._answer(unique, OPENED)
            elif operation == READ:
                self.seen.append((user, ""))
            elif operation == LOOKUP:
                self.seen.append((user, request[IN_HEADER.size :].rstrip(b"\0").decode()))
                if self.answers:
                    self._answer(unique, error=errno.ENOENT)
            elif operation != FORGET:
                self._answer(unique, error=errno.ENOSYS)

    def _answer(self, unique: int, body: bytes = b"", error: int = 0) -> None:
        with contextlib.suppress(OSError):
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)


class StrangeFile(StrangeFiles):
    mode, size = 0o100644, 1 << 20
