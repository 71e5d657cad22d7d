"""Starts processes in the way that the path names, and answers what became of them."""

import json
import multiprocessing
import os
import subprocess
import tempfile
import threading
import time

MASK = ["grep", "SigBlk", "/proc/self/status"]


def terminate():
    ways = [{}, {"shell": True}, {"close_fds": False}]
    ended = []
    for options in ways:
        command = "exec sleep 100" if "shell" in options else ["/bin/sleep", "100"]
        with subprocess.Popen(command, **options) as child:
            child.terminate()
            try:
                ended.append(child.wait(10))
            except subprocess.TimeoutExpired:
                ended.append("still there")
                child.kill()
    return ended


def by_multiprocessing():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(100,))
    process.start()
    process.terminate()
    process.join(10)
    status = process.exitcode
    process.kill()
    process.join()
    return status


def output(**options):
    return subprocess.run(MASK, stdout=subprocess.PIPE, text=True, check=True, **options).stdout


def of_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(output()))
    thread.start()
    thread.join()
    return found[0]


def into_file(start):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mask")
        start(path)
        with open(path) as file:
            return file.read()


def spawned(spawn):
    def start(path):
        pid = spawn("/bin/sh", ["sh", "-c", f"{' '.join(MASK)} > {path}"], os.environ)
        assert os.waitpid(pid, 0)[1] == 0

    return into_file(start)


WAYS = {
    "popen": output,
    "shell": lambda: subprocess.run(" ".join(MASK), shell=True, stdout=subprocess.PIPE, text=True).stdout,
    "not_closing": lambda: subprocess.run(["/bin/" + MASK[0], *MASK[1:]], close_fds=False, stdout=subprocess.PIPE, text=True).stdout,
    "a_thread": of_thread,
    "os_popen": lambda: os.popen(" ".join(MASK)).read(),
    "os_system": lambda: into_file(lambda path: os.system(f"{' '.join(MASK)} > {path}")),
    "posix_spawn": lambda: spawned(os.posix_spawn),
    "posix_spawnp": lambda: spawned(os.posix_spawnp),
}


def own_mask():
    path = f"/proc/self/task/{threading.get_native_id()}/status"
    masks = []
    for _ in range(2):
        with open(path) as file:
            masks += [line.split()[1] for line in file if line.startswith("SigBlk")]
        output()
    return masks


def os_system():
    os.environ["GIVEN"] = "value"
    try:
        os.system(None)
    except Exception as error:
        refused = type(error).__name__
    given = into_file(lambda path: os.system(b"echo $GIVEN > " + path.encode()))
    return [os.system("true"), os.system("exit 3"), os.system("kill -TERM $$"), refused, given]


def application(environ, start_response):
    way, _, rest = environ["PATH_INFO"].strip("/").partition("/")
    ways = {"terminate": terminate, "multiprocessing": by_multiprocessing, "own_mask": own_mask, "os_system": os_system}
    seen = WAYS[rest]().split()[1] if way == "mask" else ways[way]()
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
