"""Processes that an application starts inside httpd can be sent signals, as those of any other program.

Executed by world.rs in every interpreter of embedded mode. httpd blocks signals in all its threads but one, and a
blocked signal stays blocked in what a thread starts: subprocess.Popen.terminate() would be of no effect. (A fork sees to
that itself; here are the ways that execute another program.) The threads' own mask stays: signals are httpd's.
"""

import os
import signal
import sys


def unblock_signals_of_children():
    os.posix_spawn = _spawning(os.posix_spawn)
    os.posix_spawnp = _spawning(os.posix_spawnp)
    os.system = system
    if sys.version_info < (3, 10):  # its fork_exec is a fork, which sees to that
        return
    try:
        import _posixsubprocess
    except ImportError:  # subprocess cannot be used here either
        return
    _posixsubprocess.fork_exec = _with_open_mask(_posixsubprocess.fork_exec)
    subprocess = sys.modules.get("subprocess")
    if hasattr(subprocess, "_fork_exec"):  # it was imported before, by a site's .pth file perhaps
        subprocess._fork_exec = _posixsubprocess.fork_exec


def _spawning(spawn):
    def with_open_mask(path, argv, env, **options):
        options.setdefault("setsigmask", ())
        return spawn(path, argv, env, **options)

    with_open_mask.__name__ = with_open_mask.__qualname__ = spawn.__name__
    return with_open_mask


def system(command):
    """What system(3) does, with an open mask."""
    sys.audit("os.system", command)
    # SIGINT and SIGQUIT are not for this process anyway.
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ)
    return os.waitpid(pid, 0)[1]


def _with_open_mask(fork_exec):
    """fork_exec gives the new process the mask that it is called with, and has everything blocked meanwhile.

    So this thread can be sent a signal for a few instructions only. Those that wait to be sent stay blocked (but for
    that of ended children, which does nothing); of the others, what the parent sends goes to the main thread first."""

    def fork_exec_with_open_mask(*arguments):
        before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.sigpending() - {signal.SIGCHLD})
        try:
            return fork_exec(*arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    return fork_exec_with_open_mask
