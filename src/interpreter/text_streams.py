"""Text streams that end in httpd's error log, with all that Python's own have.

Executed once in every interpreter by world.rs, where applications run. sys.stdout and sys.stderr are real
io.TextIOWrapper objects; wsgi.errors, which is made anew for every request, is an instance of the module's own
type, and only looks like one. None of them can be closed: what is said after that would be lost.
"""

import io

ENCODING = {"encoding": "utf-8", "errors": "backslashreplace"}


class LogBytes(io.BufferedIOBase):
    """The bytes below such a stream. Nothing waits here: the log itself gathers lines, and knows whose they are."""

    mode = "wb"
    closed = False

    def __init__(self, log, name="<error log>", descriptor=None):
        self._append = log.write_bytes
        self.name = name
        self._descriptor = descriptor

    @property
    def raw(self):
        return self

    def detach(self):
        return self

    def write(self, data):
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        self._append(data)
        return len(data)

    def writable(self):
        return True

    def flush(self):
        """Lines go out when they are whole; an unfinished one waits for its end or the request's."""

    def close(self):
        """The log stays open."""

    def fileno(self):
        """For those who hand their standard error to another process, or have Python's fault handler write there."""
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor


def text_stream(log, name, descriptor=None):
    """sys.stdout or sys.stderr: each write goes to the log at once, so that threads do not mix their lines."""
    stream = io.TextIOWrapper(
        LogBytes(log, name, descriptor), newline="\n", line_buffering=True, write_through=True, **ENCODING
    )
    stream.mode = "w"
    return stream


def _unsupported(name):
    def refuse(self, *arguments, **named):
        raise io.UnsupportedOperation(name)

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


def log_class(base):
    """The type of wsgi.errors, on top of what the module itself does: write, writelines, flush and log."""

    class Log(base):
        encoding, errors = ENCODING["encoding"], ENCODING["errors"]
        name, mode, newlines, closed = "<error log>", "w", None, False
        line_buffering = write_through = True
        buffer = property(LogBytes)
        _CHUNK_SIZE, _finalizing = 8192, False

        def writable(self, message=None):
            return True

        def seekable(self):
            return False

        isatty = readable = seekable
        _checkClosed = _checkWritable = writable

        def close(self):
            """The log stays open."""

        def detach(self):
            return self.buffer

        def reconfigure(self, *, encoding=None, errors=None, newline=None, line_buffering=None, write_through=None):
            """The log is in UTF-8 and has whole lines, whatever is asked for."""

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def __iter__(self):
            return self

    # What is left, for reading, positions and descriptors. A finalizer would have nothing to do.
    for name in set(dir(io.TextIOWrapper)).difference(dir(Log), ["__del__"]):
        setattr(Log, name, _unsupported(name))
    Log.__qualname__ = "Log"
    io.TextIOBase.register(Log)
    return Log
