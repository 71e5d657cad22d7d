"""An application that forks: the path names what it does, and the answer is JSON."""

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import time

FORK = {"x86_64": 57}
HERE = os.path.dirname(__file__)
fork = multiprocessing.get_context("fork")
libc = ctypes.CDLL(None, use_errno=True)


def process(environ):
    return os.getpid()


def terminated(environ):
    """A child is told to end as soon as it is there, and one that has begun to run."""
    codes = []
    for wait in (False, True):
        reader, writer = fork.Pipe(False)
        child = fork.Process(target=says_and_sleeps, args=(writer,))
        child.start()
        if wait:
            reader.recv()
        child.terminate()
        child.join(10)
        codes.append(child.exitcode)
        child.kill()
    return codes


def says_and_sleeps(writer):
    writer.send("here")
    time.sleep(60)


def joined(environ):
    child = fork.Process(target=print, args=("by print of the copy",))
    child.start()
    child.join(10)
    code = child.exitcode
    child.kill()
    return code


def square(number):
    return number * number


def pools(environ):
    found = []
    for _ in range(10):
        with fork.Pool(3) as pool:
            found.append(pool.map_async(square, range(4)).get(10))
    return found


def stays():
    """What each copy does that stays."""
    time.sleep(60)
    os._exit(0)


def forked(environ):
    pid = os.fork()
    return pid or stays()


def bare(environ):
    """By the system call, so that no at-fork function runs."""
    pid = libc.syscall(FORK[os.uname().machine])
    return pid or stays()


def executed(environ):
    """A program that inherits every descriptor."""
    for name in os.listdir("/proc/self/fd"):
        try:
            os.set_inheritable(int(name), True)
        except OSError:
            pass
    return subprocess.Popen(["sleep", "60"], close_fds=False).pid


def signalled(environ):
    """Ends a bare copy by SIGTERM; how it ended."""
    pid = bare(environ)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def held(environ):
    """What a copy holds of the server's, by its own account."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        links = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                links[name] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                pass
        handlers = [line.split()[1] for line in open("/proc/self/status") if line.startswith("SigCgt")]
        shared = [line for line in open("/proc/self/maps") if "memfd:mod_wsgi_rs" in line]
        os.write(writer, json.dumps([links, handlers, shared]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        told = json.load(pipe)
    os.waitpid(pid, 0)
    return told


def handles(environ):
    """A copy sets a handler of its own, which is called."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ignored(environ):
    """In the server's own processes WSGIRestrictSignal holds."""
    return signal.signal(signal.SIGTERM, stays) is stays


def sleeps(environ):
    with open(os.path.join(HERE, "shared", "sleeps"), "w"):
        pass
    time.sleep(60)


def application(environ, start_response):
    answer = json.dumps(globals()[environ["PATH_INFO"].rpartition("/")[2]](environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
