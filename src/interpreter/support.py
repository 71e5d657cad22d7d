# What is simpler said in Python: executed once in every interpreter by world.rs.

import sys
import threading  # now, so that threading.main_thread() is the thread that made the interpreter
import types


def prepare(
    stdout,
    stderr,
    home,
    python_path,
    switch_interval,
    restrict_stdin,
    restrict_stdout,
    signal_refusal,
    free_threading,
):
    """Standard streams, sys.path and the rest as the configuration asks for."""
    global error_log, configured_path
    error_log, configured_path = stderr, python_path
    sys.stdout = sys.__stdout__ = Restricted("stdout") if restrict_stdout else text_stream(stdout, "<stdout>")
    sys.stderr = sys.__stderr__ = text_stream(stderr, "<stderr>", 2)
    if restrict_stdin:
        sys.stdin = sys.__stdin__ = Restricted("stdin")
    sys.argv[:] = ["mod_wsgi"]
    if signal_refusal:
        refuse_signal_handlers(signal_refusal)
    if free_threading and "free-threading" not in sys.version:
        text = "WSGIFreeThreading has no effect on %s: it is no free-threaded build of Python" % sys.executable
        stderr.log(4, "mod_wsgi_rs: WSGI412: " + text)
    if switch_interval > 0:
        sys.setswitchinterval(switch_interval)
    if python_path:
        import site

        before = list(sys.path)
        for directory in python_path:
            site.addsitedir(directory)
        added = [entry for entry in sys.path if entry not in before]
        wanted = list(dict.fromkeys(python_path + added))
        sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]
    if home:
        sys.path.insert(0, home)


def look_at_environment(log):
    """An environment has its packages in a directory of the Python that made it; another does not look there."""
    if sys.prefix == sys.base_prefix:
        return
    import os

    own = "python%d.%d" % sys.version_info[:2]
    library = os.path.join(sys.prefix, "lib")
    try:
        names = [name for name in os.listdir(library) if os.path.isdir(os.path.join(library, name, "site-packages"))]
    except OSError:
        return
    others = sorted(name for name in names if name.startswith("python3"))
    if others and own not in names and own + sys.abiflags not in names:
        text = (
            "the environment {0} has its packages in lib/{1}, and its bin/python is Python {2} now, which does not find "
            "them: build it anew (python3 -m venv --clear {0}) and install its packages again, or bring {3} back"
        )
        version = sys.version.split()[0]
        last = "Python " + others[-1].replace("python", "")
        log.log(3, "mod_wsgi_rs: WSGI438: " + text.format(sys.prefix, others[-1], version, last))


def show_stacks_at(number):
    """Has the signal write where all threads of the interpreter are, whatever holds the GIL; False if it cannot be."""
    try:
        import faulthandler
    except ImportError:  # an interpreter with a GIL of its own
        return False
    faulthandler.register(number, file=2)
    return True


def show_stacks():
    """The same for those, in faulthandler's form. An import would wait for the GIL at every file it touches."""
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        lines = ["Thread %#018x (most recent call first):" % ident]
        while frame:
            lines.append('  File "%s", line %s in %s' % (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        error_log.write("\n".join(lines) + "\n")


class Restricted:
    """A standard stream that an application is not to use."""

    def __init__(self, name):
        object.__setattr__(self, "name", name)

    def __getattribute__(self, attribute):
        name = object.__getattribute__(self, "name")
        raise OSError(f"sys.{name} is restricted by WSGIRestrict{name.capitalize()}")


def refuse_signal_handlers(refuses):
    """Signals are the server's: a handler that an application sets would never be called."""
    import signal as module

    set_handler = module.signal
    names = {int(known): known.name for known in module.Signals}

    def signal(signalnum, handler):
        if not 0 < signalnum < module.NSIG:
            raise ValueError("signal number out of range")
        if refuses(int(signalnum), names.get(signalnum, f"signal {signalnum}")):
            return handler
        try:
            return set_handler(signalnum, handler)
        except ValueError:  # another interpreter than the main one
            return handler

    module.signal = signal


def install_modules(mod_wsgi_names, apache_names, recorder, scoreboard, classes):
    """The modules mod_wsgi and apache, which applications may import."""
    module = make_module()
    vars(module).update(mod_wsgi_names)
    module.FileWrapper = FileWrapper
    module.RequestTimeout = RequestTimeout
    # Whatever an application comes across is found where it says that it is.
    for known in (Restricted, LogBytes, type(recorder), type(scoreboard), *classes):
        for class_ in known.__mro__:
            if class_.__module__ == "mod_wsgi":
                setattr(module, class_.__name__, class_)
    module.event_callbacks = event_callbacks
    module.shutdown_callbacks = []
    module.fork_callbacks = []
    module.subscribe_fork = _subscribe(module.fork_callbacks)
    module.signal_callbacks = []
    module.subscribe_events = _subscribe(module.event_callbacks)
    module.subscribe_shutdown = _subscribe(module.shutdown_callbacks)
    module.subscribe_signals = _subscribe(module.signal_callbacks)
    module.request_data = recorder.request_data
    module.start_recording_metrics = recorder.start_recording_metrics
    module.request_metrics = recorder.request_metrics
    module.process_metrics = recorder.process_metrics
    module.server_metrics = _server_metrics(scoreboard)
    made_when_used["active_requests"] = lambda: recorder.keep_active_requests() or active_requests
    sys.modules["mod_wsgi"] = module

    httpd = types.ModuleType("apache")
    vars(httpd).update(apache_names)
    sys.modules["apache"] = httpd


class RequestTimeout(BaseException):
    """A request took too long; where an application lets it go by, its client gets 504."""


def _server_metrics(scoreboard):
    def server_metrics():
        """What httpd's children and their threads are doing; None where the configuration does not allow it."""
        return scoreboard() if scoreboard else None

    return server_metrics


def _subscribe(callbacks):
    def subscribe(callback):
        """Have the callback called with the name of an event and its details; also a decorator."""
        if not callable(callback):
            raise TypeError("the callback must be callable")
        callbacks.append(callback)
        return callback

    return subscribe


def _subscribers(special):
    """Those of all events, and those of a special kind."""
    module = sys.modules.get("mod_wsgi")
    return getattr(module, "event_callbacks", []) + getattr(module, special, [])


def fork():
    """Forks twice, so that the new process is no child of this one; 0 in it, its pid here, or None if there is none.

    Python's own at-fork functions run."""
    import os

    reader, writer = os.pipe()
    between = os.fork()
    if between:
        os.close(writer)
        os.waitpid(between, 0)
        with open(reader, "rb", 0) as pipe:
            return int(pipe.read(20) or 0) or None
    try:
        pid = os.fork()
        if pid:
            os.write(writer, b"%d" % pid)
    except OSError:
        os._exit(1)
    if pid:
        os._exit(0)
    os.close(reader)
    os.close(writer)
    return 0


def warn_of_forks(watch):
    """From now on this process has several interpreters, which Python's fork cannot deal with in the copy.

    `watch` is told before a fork, and in the copy when that goes on."""
    import os

    told = []

    def warn():
        watch(True)
        if not told:
            told.append(True)
            error_log.log(
                4,
                "mod_wsgi_rs: WSGI389: the application forks a process that has several interpreters, and in the copy "
                "Python hangs or crashes: let all scripts of the process have application-group=%{GLOBAL}, give each "
                "a process group of its own, or start processes by subprocess or multiprocessing's 'spawn'",
            )

    os.register_at_fork(before=warn, after_in_child=lambda: watch(False))


def publish_fork():
    """In a process that was forked from one which had loaded the scripts, before it serves."""
    tell(_subscribers("fork_callbacks"), "process_forked", {})


def publish_signal(name, number):
    """A signal that was sent to this daemon process, on a thread that is there for it."""
    tell(_subscribers("signal_callbacks"), "process_signal", {"signame": name, "signum": number})


def log_handler():
    """mod_wsgi.LogHandler: not every site wants logging to be imported."""
    import logging

    class LogHandler(logging.Handler):
        """A logging.Handler whose records keep their level in httpd's error log."""

        def emit(self, record):
            steps = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
            level = next((number for least, number in steps if record.levelno >= least), 7)
            try:
                error_log.log(level, self.format(record))
            except Exception:
                self.handleError(record)

    LogHandler.__qualname__ = "LogHandler"
    return LogHandler


class FileWrapper:
    """wsgi.file_wrapper of PEP 3333: a file as an iterable of blocks."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        self._read = _bytes_of(filelike).read
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self._read(self.blksize)
        if data:
            return data
        raise StopIteration


def file_position(wrapper):
    """Descriptor, position and size of a wrapped regular file; None if it is something else.

    Only where the descriptor's bytes are what `read` would give: many objects have a fileno() that is about other
    bytes, as a gzip.GzipFile's is."""
    import os
    import stat

    file = _plain_file(_bytes_of(wrapper.filelike))
    if file is None:
        return None
    descriptor, position = file.fileno(), file.tell()
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    # Files of /sys are shorter than they say; and an OSError if it cannot be read at all.
    if not os.pread(descriptor, 1, status.st_size - 1):
        return None
    return descriptor, position, status.st_size


def _bytes_of(file):
    """What gives the bytes of a file that was opened as text; any other file as it is, but for tempfile's wrapper."""
    import io

    wrapper = getattr(sys.modules.get("tempfile"), "_TemporaryFileWrapper", None)
    if type(file) is wrapper and "read" not in vars(file):
        file = file.file
    if type(file) is not io.TextIOWrapper:
        return file
    if file.seekable():
        file.seek(file.tell())  # it has read ahead
    return file.buffer


def _plain_file(file):
    """The io.FileIO, or the buffered reader straight over one, that this is; else None."""
    import io

    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    if type(raw) is not io.FileIO or "read" in {**vars(file), **vars(raw)}:
        return None
    file.flush()  # what was written to a file that is open for both
    return file


def view(buffer):
    """The bytes of a buffer, for readinto()."""
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError("readinto() needs a writable buffer")
    return view.cast("B")


def fill(view, data):
    """Copy into the beginning of a view; how much that was."""
    view[: len(data)] = data
    return len(data)


def load(path):
    """Execute a WSGI script as a module of its own; its imports are ordinary ones."""
    import hashlib
    import importlib.machinery
    import importlib.util
    import os

    try:
        digest = hashlib.md5(os.fsencode(path), usedforsecurity=False)
    except TypeError:
        digest = hashlib.md5(os.fsencode(path))
    name = "_mod_wsgi_" + digest.hexdigest()
    with open(path, "rb") as script:
        mtime = int(os.fstat(script.fileno()).st_mtime)
        source = script.read()
    # Since Python 3.15 a traceback through a module without a loader is a DeprecationWarning.
    loader = importlib.machinery.SourceFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path, loader=loader))
    module.__mtime__ = mtime
    code = compile(source, path, "exec", dont_inherit=True)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        if before is not None:
            sys.modules[name] = before
        raise
    return module


def describe(class_, value, traceback):
    """The traceback as text, from the first frame that is not ours."""
    import traceback as formatter

    while traceback is not None and traceback.tb_frame.f_code.co_filename == "<mod_wsgi_rs>":
        traceback = traceback.tb_next
    return "".join(formatter.format_exception(class_, value, traceback))


def finish(reason):
    """What Python does at its own end: waits for this interpreter's threads and calls its exit functions.

    Those who asked for it hear of it before."""
    import atexit

    # SystemExit is a signal to a service script.
    tell(_subscribers("shutdown_callbacks"), "process_stopping", {"shutdown_reason": reason}, let_go=SystemExit)
    # What waits for the main thread can go on now. Up to 3.12 threading._shutdown() goes by the thread: the one that
    # ends the interpreter stands in for the one that made it. From 3.13 on it sees to the main interpreter only.
    main_thread = threading.main_thread()
    if sys.version_info < (3, 13):
        main_thread._set_ident()
    elif not threading._is_main_interpreter():
        main_thread._handle._set_done()
    try:
        threading._shutdown()
    finally:
        atexit._run_exitfuncs()
