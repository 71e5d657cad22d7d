# The program of a daemon process: python -c THIS /path/of/mod_wsgi_rs.so. The supervisor reads what it reports
# on descriptor 7. It must be readable by every Python 3, so that it can refuse the old ones.
import sys

# Nothing in the working directory may stand in for a module of the standard library.
if sys.path and sys.path[0] == "":
    del sys.path[0]


def refuse(code, text):
    """Tells the supervisor why there is nothing to serve with; 78 is EX_CONFIG of sysexits.h."""
    import os
    import struct

    data = text.encode("utf-8", "replace")[:2000]
    try:
        os.write(7, struct.pack("<cII", b"F", code, len(data)) + data)
    except OSError:
        sys.stderr.write("mod_wsgi_rs: WSGI%d: %s\n" % (code, text))
    sys.exit(78)


def start():
    path = sys.argv[1]
    sys.argv[:] = ["mod_wsgi"]
    version = sys.version.split()[0]
    if sys.version_info < (3, 9):
        refuse(351, "%s is Python %s, and the oldest that can be used is 3.9; name a newer one with python-home= "
                    "or python=" % (sys.executable, version))
    import importlib.machinery
    import importlib.util

    name = "mod_wsgi_rs"
    try:
        loader = importlib.machinery.ExtensionFileLoader(name, path)
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loader.exec_module(module)
    except ImportError as error:
        refuse(352, "Python %s cannot load the module (%s); the file and the directories above it must be readable "
                    "for the user of the process group, and built for this machine" % (version, error))
    return module.serve


sys.exit(start()())
