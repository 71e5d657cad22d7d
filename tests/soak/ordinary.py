"""What ordinary applications do besides answering: copies of their process, pools, other programs, output.

Imported by app.wsgi. Each function here is a view that does one of these and tells what came of it, which the load
compares. A process that is started here is written to records/started (pid, start time, pid of the parent, kind)
before it is waited for, so that tests/soak/offspring.py can ask for it later. None is meant to live longer than
REST seconds, or than the soak, which ends with records/over: also one whose parent has been killed looks for that.
"""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing import resource_tracker
from pathlib import Path

RECORDS = Path(__file__).parent / "records"
STARTED = os.open(RECORDS / "started", os.O_WRONLY | os.O_APPEND)
OVER = str(RECORDS / "over")

FORK, SPAWN = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
# Longer than httpd's Timeout: what a copy holds open for so long is noticed. A copy of a child of httpd's holds the
# connections of its clients, who do not see that it has been killed before the copy ends.
REST = {"daemon": 25, "child": 3}
LIVING = 2  # copies at once of each process
PATIENCE = 4

copies = set()
# Held while a process is made: a copy that another thread makes meanwhile would hold the pipes by which its maker waits
# for it, whatever server runs this.
guard = threading.Lock()


def note(pid, kind):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return  # reaped already, by another thread of multiprocessing's
    os.write(STARTED, f"{pid} {stat.rpartition(')')[2].split()[19]} {os.getpid()} {kind}\n".encode())


def rest():
    """What these processes do: nothing, until their time or the soak is over."""
    end = time.monotonic() + REST[place()]
    while time.monotonic() < end and not os.path.exists(OVER):
        time.sleep(0.1)


def place():
    import mod_wsgi

    return "daemon" if mod_wsgi.process_group else "child"


# Copies by os.fork


def copy():
    """One that stays while later requests are answered, unless there are enough; those that have ended are reaped."""
    with guard:
        copies.difference_update([pid for pid in copies if os.waitpid(pid, os.WNOHANG)[0]])
        if len(copies) < LIVING:
            pid = os.fork()
            if pid == 0:
                try:
                    rest()
                finally:
                    os._exit(0)
            note(pid, "copy")
            copies.add(pid)
    return "copied"


def short_copy():
    with guard:
        pid = os.fork()
        if pid == 0:
            os._exit(7)
    note(pid, "short copy")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# multiprocessing


def process(context=FORK, kind="process"):
    with guard:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=sender.send, args=(42,))
        child.start()
        sender.close()
    note(child.pid, kind)
    said = receiver.recv() if receiver.poll(3 * PATIENCE) else "nothing"
    how = how_it_ends(child)
    # 1 where the thread that forks is none of Python's: CPython up to 3.12 trips over an assertion of its own.
    return f"{said} {'ended' if how in (0, 1) else how}"


def spawned():
    result = process(SPAWN, "spawned")
    note(resource_tracker._resource_tracker._pid, "tracker")
    return result


def terminated():
    child = FORK.Process(target=rest)
    with guard:
        child.start()
    note(child.pid, "terminated")
    child.terminate()
    return how_it_ends(child)


def how_it_ends(child):
    end = time.monotonic() + PATIENCE
    child.join(PATIENCE)
    # Another thread that starts one asks the kernel for all of them, and may not have written down yet what it got.
    while child.exitcode is None and time.monotonic() < end + 0.5:
        time.sleep(0.05)
    if child.exitcode is None:
        child.kill()
        child.join()
        return f"alive after {PATIENCE} s"
    return child.exitcode


def pool():
    """Nothing of it is left when the block has ended."""
    with guard:
        made = FORK.Pool(2, initializer=limit_life)
    with made as workers:
        pids = [worker.pid for worker in workers._pool]
        for pid in pids:
            note(pid, "pool")
        total = sum(workers.map(abs, range(-9, 0)))
    left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    return f"{total}, left {left}" if left else total


def limit_life():
    """A worker whose parent is killed may wait for ever for another one that holds an end of its pipe."""
    threading.Thread(target=lambda: (rest(), os._exit(9)), daemon=True).start()


# Programs


def program():
    ends = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with guard:
        child = subprocess.Popen(["sh", "-c", "echo out; echo err >&2; exit 3"], **ends)
    out, err = child.communicate()
    return f"{out.strip()} {err.strip()} {child.returncode}"


def stopped():
    with guard:
        child = subprocess.Popen(["sleep", "20"])
    note(child.pid, "program")
    child.terminate()
    try:
        return child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return f"alive after {PATIENCE} s"


# Output


def prints():
    for number in range(20):
        print(f"line {number} ", "x" * 1000)
    sys.stdout.flush()
    return "printed"


def writes():
    left = b"".join(b"%03d %s\n" % (number, b"y" * 200) for number in range(100))
    while left:
        left = left[os.write(1, left) :]
    return "written"


def child_writes():
    """100 KB, on the standard output that it has inherited."""
    line = "z" * 199
    with guard:
        child = subprocess.Popen(["sh", "-c", f"yes {line} | head -c 100000"])
    return child.wait()


VIEWS = {
    "/copy": copy, "/short-copy": short_copy, "/process": process, "/spawned": spawned, "/terminated": terminated,
    "/pool": pool, "/program": program, "/stopped": stopped, "/prints": prints, "/writes": writes,
    "/child-writes": child_writes,
}  # fmt: skip
