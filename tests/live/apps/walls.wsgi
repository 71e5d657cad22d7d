"""Does one thing to the file system, by the path of the URL and the query, and says what came of it.

/write?/tmp/x, /read?/tmp/x, /list?/tmp, /fill?/tmp/x (two megabytes), /mount?/tmp; /escape?/tmp takes what is mounted there
away in a namespace of its own, where the kernel lets it have one, and lists what is behind.
"""

import errno
import os
import subprocess

ESCAPE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'umount -l "$0"; ls -A "$0"']


def write(path, text="here"):
    with open(path, "w") as file:
        file.write(text)
    return str(os.getpid())


def read(path):
    with open(path) as file:
        return file.read()


def mount(path):
    flags, mode = os.statvfs(path).f_flag, os.stat(path).st_mode
    return f"{mode & 0o7777:o}" + " nosuid" * bool(flags & os.ST_NOSUID) + " read-only" * bool(flags & os.ST_RDONLY)


DOES = {
    "/write": write,
    "/read": read,
    "/list": lambda path: " ".join(sorted(os.listdir(path))),
    "/fill": lambda path: write(path, "x" * (2 << 20)),
    "/mount": mount,
    "/escape": lambda path: subprocess.run([*ESCAPE, path], stdout=subprocess.PIPE, text=True).stdout,
}


def application(environ, start_response):
    try:
        text = DOES[environ["PATH_INFO"]](environ["QUERY_STRING"])
    except OSError as error:
        text = errno.errorcode[error.errno]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
