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


def missing_module(value, script):
    """What to do about a module that was not found: the folder to add if it is beside the script or above it, else
    where to install it. Said once for a script.
    """
    name = value.name if isinstance(value, ModuleNotFoundError) else None
    top = (name or "").partition(".")[0]
    if not top or top in sys.modules or top in getattr(sys, "stdlib_module_names", ()) or script in _told:
        return ""
    _told.add(script)
    group = getattr(sys.modules.get("mod_wsgi"), "process_group", "")
    script = os.path.abspath(script)
    folder = os.path.dirname(script)
    while folder != os.path.dirname(folder):
        found = _module_in(folder, top, script)
        if found and folder not in map(os.path.abspath, sys.path):
            said = "%s is in %s, which is not on sys.path: add %s. " % (found, folder, _path_to_add(folder, group))
            break
        folder = os.path.dirname(folder)
    else:
        said = _where_to_install(top, group)
    return said if group else said + _EMBEDDED


_EMBEDDED = (
    "The script runs in embedded mode, with httpd's Python: process-group= of the directive that names it "
    "(WSGIScriptAlias, WSGIAuthUserScript ...) runs it in a process group. "
)


def _path_to_add(folder, group):
    if configured_path:
        return ":%s to the %s that is there" % (folder, "python-path= of WSGIDaemonProcess " + group if group else "WSGIPythonPath")
    return "python-path=%s to WSGIDaemonProcess %s" % (folder, group) if group else "WSGIPythonPath " + folder


def _where_to_install(name, group):
    place = "python-home= of WSGIDaemonProcess " + group if group else "WSGIPythonHome"
    if sys.prefix != sys.base_prefix:
        cure = "install it for this Python (%s -m pip install %s)" % (os.path.join(sys.prefix, "bin", "python"), name)
    else:
        cure = "install it in a virtual environment, and name that by " + place
    path = "python-path=" if group else "WSGIPythonPath"
    return "If %s is a package, %s; if it is the site's own, add its folder by %s. " % (name, cure, path)


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
