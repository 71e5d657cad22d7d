# Executed in the main interpreter before a service script: what the server's signals to end mean there.

import os
import signal
import threading

told = []


def end(number, frame):
    """SystemExit in the script, once: what it does at its end is not disturbed by a second signal."""
    if not told:
        told.append(number)
        raise SystemExit(0)


def begin_fork():
    """Python forgets in the copy what has come for it, so nothing comes before it is ready."""
    kept.mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def end_fork():
    signal.pthread_sigmask(signal.SIG_SETMASK, kept.mask)


def end_fork_in_copy():
    """What the script forks ends by these signals, as every process does, unless the script has said otherwise."""
    for number in numbers:
        if signal.getsignal(number) is end:
            signal.signal(number, signal.SIG_DFL)
    end_fork()


kept = threading.local()
numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU)
for number in numbers:
    signal.signal(number, end)
os.register_at_fork(before=begin_fork, after_in_parent=end_fork, after_in_child=end_fork_in_copy)
