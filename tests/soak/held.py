"""What only one process can have: a port or a lock, taken as a script is imported, which fails where it is held.

Used by the last line of port.wsgi and of lock.wsgi. Requests ask for the process that has it: `by()` is its pid.
"""

import fcntl
import os
import socket
import threading

by = None  # how to ask, once something is held
kept = []


def bind(port):
    """As a metrics' or debugger's server does: a listener at import, and a thread that answers."""
    global by
    listener = socket.create_server(("127.0.0.1", port))
    kept.append(listener)
    threading.Thread(target=tell, args=(listener,), daemon=True).start()
    by = lambda: int(ask(port))


def tell(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"%d" % os.getpid())


def ask(port):
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        return connection.recv(20)


def lock(path):
    """As a scheduler's leader or a database for one process does."""
    global by
    file = open(path, "r+")
    kept.append(file)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.truncate()
    file.write(f"{os.getpid()}")
    file.flush()
    by = lambda: int(open(path).read())
