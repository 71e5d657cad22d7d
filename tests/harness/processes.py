"""What /proc says about the processes of a private httpd: who they are, what they map, hold and use.

Used by httpd.py for the check that nothing is left behind, and by the tests that look into daemons. Standard library
only, since private_apache.py runs before anything is installed; and psutil knows neither the highest resident memory,
nor the signals that a process catches, nor where its descriptors lead.
A process is known by pid and start time together, so that a reused pid is not mistaken for the old one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from waiting import wait_for

PIDFD_GETFD = 438  # the same on every architecture


@dataclass(frozen=True)
class Process:
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        fields = _stat(pid)
        return cls(pid, fields[19]) if fields and fields[0] not in "ZX" else None

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    @property
    def parent(self) -> int:
        return int((_stat(self.pid) or ["?", "0"])[1])

    @property
    def title(self) -> str:
        """The command line as ps shows it, or the short name where the command line does not say it."""
        line = _read(self.pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()
        name = _read(self.pid, "comm").decode("utf-8", "replace").strip()
        return name if name.startswith("(wsgi:") and not line.startswith("(wsgi:") else line

    @property
    def executable(self) -> str:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{self.pid}/exe")
        return ""

    @property
    def maps(self) -> str:
        return _read(self.pid, "maps").decode("utf-8", "replace")

    @property
    def user(self) -> str:
        return pwd.getpwuid(int(self._status("Uid").split()[1])).pw_name

    @property
    def resident(self) -> int:
        """Resident memory in KiB."""
        return int(self._status("VmRSS").split()[0])

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = _stat(self.pid) or ["0"] * 20
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak(self) -> int:
        """The highest resident memory in KiB since `forget_peak`."""
        return int(self._status("VmHWM").split()[0])

    def catches(self, number: int) -> bool:
        """Whether it has a handler for this signal."""
        return bool(int(self._status("SigCgt").split()[0], 16) >> (number - 1) & 1)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def descriptors(self) -> list[str]:
        """What its open descriptors lead to."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(OSError):
                    found.append(os.readlink(entry.path))
        return found

    def sockets(self) -> list[socket.socket]:
        """Copies of its sockets, to ask for their options; to be closed by the caller."""
        pidfd, found = os.pidfd_open(self.pid), []
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(entry.path).startswith("socket:"):
                    copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(entry.name), 0)
                    assert copy >= 0, os.strerror(ctypes.get_errno())
                    found.append(socket.socket(fileno=copy))
        os.close(pidfd)
        return found

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """None of its threads runs in the block."""
        self.kill(signal.SIGSTOP)
        try:
            tasks = [f"{self.pid}/task/{task}" for task in os.listdir(f"/proc/{self.pid}/task")]
            wait_for(lambda: all((_stat(task) or "?")[0] in "T?" for task in tasks), f"{self} stands still")
            yield
        finally:
            self.kill(signal.SIGCONT)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def holds(self, needles: list[bytes]) -> bool:
        """Whether one of these byte strings is in its writable memory."""
        longest = max(map(len, needles))
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            for start, end in self._writable_ranges():
                tail, position = b"", start
                while position < end:
                    try:
                        memory.seek(position)
                        block = memory.read(min(1 << 22, end - position))
                    except OSError:
                        break
                    if not block:
                        break
                    text = tail + block
                    if any(needle in text for needle in needles):
                        return True
                    tail, position = text[-longest:], position + len(block)
        return False

    def _writable_ranges(self) -> list[tuple[int, int]]:
        lines = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", self.maps, re.M)
        return [(int(start, 16), int(end, 16)) for start, end in lines]

    def _status(self, field: str) -> str:
        text = _read(self.pid, "status").decode()
        found = re.search(rf"^{field}:\s*(.*)$", text, re.M)
        return found[1] if found else "0 0"


def every_process() -> list[Process]:
    found = (Process.of(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process]


def descendants(pid: int) -> list[Process]:
    """All living children, grandchildren … of this process."""
    children: dict[int, list[Process]] = {}
    for process in every_process():
        children.setdefault(process.parent, []).append(process)
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child.pid)
    return found


def naming(folder: Path) -> list[Process]:
    """Every process, save this one, whose command line, working directory, open or mapped files name the folder."""
    text = str(folder)

    def names_it(process: Process) -> bool:
        places = [_read(process.pid, "cmdline").decode("utf-8", "replace"), process.maps, *process.descriptors]
        with contextlib.suppress(OSError):
            places.append(os.readlink(f"/proc/{process.pid}/cwd"))
        return any(text in place for place in places)

    return [process for process in every_process() if process.pid != os.getpid() and names_it(process)]


def _stat(pid: int | str) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state first, then the parent."""
    text = _read(pid, "stat").decode("utf-8", "replace")
    return text.rpartition(")")[2].split() if text else None


def _read(pid: int | str, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
