"""What the script needs that raised an exception, if another process has it, and who that is.

Executed when a script cannot be loaded. Exceptions of this kind name errors of the system (an address in use, a lock
that is taken) or are known by their class or text; the holder is looked for in /proc, as far as this user may see it.
"""

import errno
import linecache
import os
import re

LOCK_ERRORS = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
# LockError: zc.lockfile, lmdb, redis and others; LockException: portalocker; NotLocked and the like are no matter.
LOCK_CLASSES = {"LockError", "LockException", "AlreadyLocked", "LockTimeout"}
LOCK_TEXTS = ("could not set lock", "conflicting lock", "unable to lock", "failed to lock", "couldn't lock")
ADDRESS_TEXTS = ("address already in use", "failed to bind to address", "only one usage of each socket address")
LISTENING = "0A"
LONGEST = 300


def held(error, traceback, companions):
    """(what, "itself", "group", "other", "stranger" or "", and its pid or 0), or None where it is another failure."""
    for one, its_traceback in chain(error, traceback):
        text = str(one)
        if is_address(one, text):
            inodes, what = listening(one, text, its_traceback, companions)
            return (f"{what} ({shown(one)})"[:LONGEST], *holder_of_socket(inodes, companions))
        lock = lock_kind(one, text, its_traceback)
        if lock:
            file, pid = lock_of(one, text, companions)
            if pid or lock == "sure":
                what = f"a lock on {file}" if file else "a lock"
                return (f"{what} ({shown(one)})"[:LONGEST], *relation(pid, companions))
    return None


def shown(error):
    return " ".join(f"{type(error).__name__}: {error}".split())


def chain(error, traceback):
    waiting, seen = [(error, traceback)], set()
    while waiting and len(seen) < 100:
        one, its_traceback = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one, its_traceback or one.__traceback__
        within = getattr(one, "exceptions", ())
        others = [one.__cause__, one.__context__, *(within if isinstance(within, (list, tuple)) else ())]
        waiting += [(other, None) for other in others if isinstance(other, BaseException)]


def is_address(error, text):
    said = text.lower()
    return getattr(error, "errno", None) == errno.EADDRINUSE or any(words in said for words in ADDRESS_TEXTS)


def lock_kind(error, text, traceback):
    """ "sure", or "seen" where it is one only if a holder is found."""
    names = {base.__name__ for base in type(error).__mro__}
    of_filelock = any(base.__name__ == "Timeout" and "filelock" in base.__module__ for base in type(error).__mro__)
    if names & LOCK_CLASSES or of_filelock:
        return "sure"
    said = text.lower()
    if any(words in said for words in LOCK_TEXTS):
        return "sure"
    if "database is locked" in said:
        return "seen"
    if isinstance(error, OSError) and error.errno in LOCK_ERRORS and error.filename is None:
        return "sure" if error.errno != errno.EACCES and asks_for_lock(traceback) else "seen"
    return None


def asks_for_lock(traceback):
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    code = traceback.tb_frame.f_code
    return "lock" in (code.co_name + linecache.getline(code.co_filename, traceback.tb_lineno)).lower()


# Locks


def lock_of(error, text, companions):
    """The file and the pid of who has locked it; None and 0 where that cannot be told."""
    taken = locks()
    named = [getattr(error, name, None) for name in ("lock_file", "filename", "path")]
    named += re.findall(r"['\"](/[^'\"]+)['\"]", text)
    for file in named:
        if isinstance(file, (str, bytes, os.PathLike)):
            file = os.fsdecode(file)
            pid = locker(taken, file, companions)
            if pid:
                return repr(file), pid
    own = os.getpid()
    # A file that is still open here, or else what the older processes of the group have locked.
    for pid in (own, *(() if isinstance(error, PermissionError) else companions)):
        for file, path in open_files(pid):
            found = locker(taken, path, companions) if pid == own else pid in lockers(taken, path) and pid
            if found and found != own:
                return repr(file), found
    known = [os.fsdecode(file) for file in named if isinstance(file, (str, bytes, os.PathLike))]
    return (repr(known[0]) if known else None), 0


def locks():
    """(device, inode) to the pids that have it locked."""
    found = {}
    try:
        with open("/proc/locks") as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > 5 and fields[1] != "->" and fields[3] == "WRITE":
                    major, minor, inode = fields[5].split(":")
                    place = os.makedev(int(major, 16), int(minor, 16)), int(inode)
                    found.setdefault(place, []).append(int(fields[4]))
    except (OSError, ValueError):
        pass
    return found


def lockers(taken, path):
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return []
    return taken.get((status.st_dev, status.st_ino), [])


def locker(taken, path, companions):
    pids = [pid for pid in lockers(taken, path) if pid > 0]
    ours = [pid for pid in pids if pid in companions]
    return (ours or pids or [0])[0]


def open_files(pid):
    for target, path in descriptors(pid):
        if target.startswith("/") and not target.startswith(("/dev/", "/memfd:")):
            yield target, path


def descriptors(pid):
    """What each descriptor of a process leads to, and its place in /proc; nothing of one that may not be looked at."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return
    for number in numbers:
        path = f"{folder}/{number}"
        try:
            yield os.readlink(path), path
        except OSError:
            continue


# Addresses


def listening(error, text, traceback, companions):
    """The sockets that it may be about, as inodes, and where they listen."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{table}") as lines:
                for line in list(lines)[1:]:
                    fields = line.split()
                    if fields[3] == LISTENING:
                        sockets[fields[9]] = int(fields[1].rpartition(":")[2], 16), int(fields[7])
        except (OSError, ValueError, IndexError):
            pass
    ports = {port for port, _ in sockets.values()}
    wanted = [port for port in ports_of(text, traceback) if port in ports]
    if wanted:
        return {inode: uid for inode, (port, uid) in sockets.items() if port == wanted[0]}, f"port {wanted[0]}"
    for pid in companions:
        of_companion = sorted({sockets[inode][0] for inode in sockets_of(pid) if inode in sockets})
        if of_companion:
            names = " or ".join(str(port) for port in of_companion[:5])
            inodes = {inode: uid for inode, (port, uid) in sockets.items() if port in of_companion}
            return inodes, f"port {names}"
    return {}, "an address"


def ports_of(text, traceback):
    """Numbers that may be the port: of the text, then of the variables of the innermost frames."""
    found = [int(number) for number in re.findall(r"[:,]\s*(\d{1,5})\b", text)]
    frames = []
    while traceback is not None:
        frames.insert(0, traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in frames[:10]:
        values = [frame.f_locals.get(name) for name in ("address", "addr", "sockaddr", "server_address", "port", "PORT")]
        values.append(getattr(frame.f_locals.get("self"), "server_address", None))
        for value in values:
            value = value[1] if isinstance(value, tuple) and len(value) > 1 else value
            if isinstance(value, int):
                found.append(value)
    return found


def sockets_of(pid):
    for target, _ in descriptors(pid):
        if target.startswith("socket:["):
            yield target[8:-1]


def holder_of_socket(inodes, companions):
    if not inodes:
        return "", 0
    others = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    for pid in (*companions, os.getpid(), *others):
        if any(inode in inodes for inode in sockets_of(pid)):
            return relation(pid, companions)
    return ("", 0) if os.getuid() in inodes.values() else ("stranger", 0)


# Processes


def relation(pid, companions):
    if not pid:
        return "", 0
    if pid == os.getpid():
        return "itself", pid
    one = pid
    for _ in range(20):
        if one in companions:
            return "group", pid
        try:
            with open(f"/proc/{one}/stat") as file:
                one = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        if one <= 1:
            break
    return "other", pid
