"""Says as JSON what its process is and has; at /child what a program gets that it starts, at /files what it can reach."""

import json
import os
import resource
import socket
import struct
import subprocess
import sys

mask = os.umask(0)
os.umask(mask)

LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
FIELDS = ("NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "SigIgn")


def status(thread):
    with open(f"/proc/{thread}/status") as file:
        lines = [line.partition(":") for line in file]
    return {name: value.strip() for name, _, value in lines if name in FIELDS}


def of_socket(descriptor):
    """What kind of socket it is, where it is bound, and the process at its other end."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        listens = copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        credentials = copy.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return {
            "kind": f"{copy.family.name} {copy.type.name}{' listens' if listens else ''}",
            "name": copy.getsockname(),
            "peer": struct.unpack("iII", credentials)[0],
        }


def descriptors():
    """All but the one with which the folder is read."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        found[name] = {"target": target, "inheritable": os.get_inheritable(int(name))}
        if target.startswith("socket:"):
            found[name].update(of_socket(int(name)))
    return found


def process():
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "umask": mask,
        "folder": os.getcwd(),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "environment": dict(os.environ),
        "descriptors": descriptors(),
        "main thread": status("self"),
        "this thread": status("thread-self"),
    }


CHILD = """
import json, os
listing = os.open("/proc/self/fd", os.O_RDONLY)
held = {name: os.readlink("/proc/self/fd/" + name) for name in os.listdir(listing) if int(name) < listing}
print(json.dumps({"descriptors": held, "uids": os.getresuid(), "environment": dict(os.environ)}))
"""


def child():
    """Nothing is closed for it but what says so itself."""
    done = subprocess.run([sys.executable, "-c", CHILD], close_fds=False, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def files():
    def attempt(call, *arguments):
        try:
            return call(*arguments)
        except OSError as error:
            return type(error).__name__

    outside = os.environ["OUTSIDE"]
    return {
        "folder": os.getcwd(),
        "root": sorted(os.listdir("/")),
        "above": sorted(os.listdir("/../..")),
        "outside": attempt(os.stat, outside),
        "from below": attempt(os.stat, "../" * 40 + outside),
        "chroot": attempt(os.chroot, "/"),
        "uids": os.getresuid(),
        "executable": sys.executable,
    }


PAGES = {"/child": child, "/files": files}


def application(environ, start_response):
    body = json.dumps(PAGES.get(environ["PATH_INFO"], process)()).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
