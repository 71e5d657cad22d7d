"""What a failure of a site's code most likely comes from, beyond what its exception says.

Executed once in every interpreter by world.rs, where applications run; called by hints.rs, after a failure only.
"""

import os
import sys

_told = set()


def about_import(value):
    """Which Python it was that did not find, or could not load, a module."""
    if not isinstance(value, ImportError):
        return ""
    return " (Python %d.%d.%d in %s)" % (*sys.version_info[:3], sys.prefix)


def missing_beside(value, script):
    """The folder to add to sys.path, if a module that was not found is beside the script or above it. Said once."""
    name = value.name if isinstance(value, ModuleNotFoundError) else None
    top = (name or "").partition(".")[0]
    if not top or top in sys.modules or script in _told:
        return ""
    script = os.path.abspath(script)
    folder = os.path.dirname(script)
    while folder != os.path.dirname(folder):
        found = _module_in(folder, top, script)
        if found and folder not in map(os.path.abspath, sys.path):
            break
        folder = os.path.dirname(folder)
    else:
        return ""
    _told.add(script)
    group = getattr(sys.modules.get("mod_wsgi"), "process_group", "")
    where = "python-path=%s to WSGIDaemonProcess %s" % (folder, group) if group else "WSGIPythonPath " + folder
    return "%s is in %s, which is not on sys.path: add %s. " % (found, folder, where)


def _module_in(folder, name, script):
    module = os.path.join(folder, name)
    if os.path.isfile(module + ".py") and module + ".py" != script:
        return name + ".py"
    try:
        has_code = any(entry.endswith(".py") for entry in os.listdir(module))
    except OSError:
        return ""
    return name + "/" if has_code else ""


def asynchronous(application, result, script):
    """In which way an application is no WSGI application but one of ASGI, or the like. Looked at once for a script."""
    if (asynchronous, script) in _told:
        return ""
    _told.add((asynchronous, script))
    import inspect

    try:
        parameters = list(inspect.signature(application).parameters)
    except (TypeError, ValueError):
        parameters = []
    if parameters[:3] == ["scope", "receive", "send"] or parameters == ["scope"]:
        return "written for ASGI (it takes %s)" % ", ".join(parameters)
    function = application if inspect.isroutine(application) else getattr(type(application), "__call__", None)
    if inspect.iscoroutine(result) or inspect.iscoroutinefunction(function):
        return "a coroutine function (async def)"
    return ""


def other_callable(module, name):
    """A callable that a script without the one that was named has under another usual name."""
    usual = (other for other in ("application", "app") if other != name)
    return next((other for other in usual if callable(getattr(module, other, None))), "")
