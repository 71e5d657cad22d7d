"""Answers as JSON where it runs: pid, account, Python, folders and process environment.

With the query `busy` the request keeps its thread for a while, as one that waits for a database does.
"""

import getpass
import json
import locale
import os
import pwd
import sys
import threading
import time

mask = os.umask(0)
os.umask(mask)


def application(environ, start_response):
    if environ["QUERY_STRING"] == "busy":
        time.sleep(0.2)
    body = json.dumps(
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "uids": os.getresuid(),
            "gids": os.getresgid(),
            "groups": sorted(os.getgroups()),
            "version": "%d.%d" % sys.version_info[:2],
            "prefix": sys.prefix,
            "executable": sys.executable,
            "path": sys.path,
            "folder": os.getcwd(),
            "umask": "%03o" % mask,
            "environment": dict(os.environ),
            "locale": locale.setlocale(locale.LC_ALL, None),
            "login": getpass.getuser(),
            "threads": threading.active_count(),
            "group": environ["mod_wsgi.process_group"],
        }
    ).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
