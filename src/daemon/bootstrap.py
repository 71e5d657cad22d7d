# The program of a daemon process: python -c THIS /path/of/mod_wsgi_rs.so [DESCRIPTOR]. The second is the very file that
# httpd has loaded, whatever is at the path by now. The supervisor reads what this program reports on descriptor 7. It
# must be readable by every Python, so that it can refuse the old ones.
import sys

# Nothing in the working directory may stand in for a module of the standard library.
if sys.path and sys.path[0] == "":
    del sys.path[0]


# The number of `Report::Failed` (control/message.rs).
REPORT_FAILED = b"\x05"


def varint(number):
    """An integer as postcard writes it: seven bits a byte, the last ones first."""
    if number > 127:
        return bytes(bytearray([number & 127 | 128])) + varint(number >> 7)
    return bytes(bytearray([number]))


def refuse(code, text):
    """Tells the supervisor why there is nothing to serve with; 78 is EX_CONFIG of sysexits.h."""
    import os

    data = text.encode("utf-8", "replace")[:2000].decode("utf-8", "ignore").encode("utf-8")
    try:
        os.write(7, REPORT_FAILED + varint(code) + varint(len(data)) + data)
    except OSError:
        sys.stderr.write("mod_wsgi_rs: WSGI%d: %s\n" % (code, text))
    sys.exit(78)


def start():
    import os

    path, descriptors = sys.argv[1], sys.argv[2:]
    sys.argv[:] = ["mod_wsgi"]
    version = sys.version.split()[0]
    if sys.version_info < (3, 9):
        refuse(351, "%s is Python %s, and the oldest that can be used is 3.9; name a newer one with python-home= "
                    "or python=" % (sys.executable, version))
    import importlib.machinery
    import importlib.util

    # The loader keeps this name for good, and gives the module to all who open the same one: not one that an
    # application may come to use for a file of its own. Without /proc, as in a chroot, there is the path.
    names = ["/proc/thread-self/fd/" + descriptor for descriptor in descriptors]
    place = next((name for name in names if os.access(name, os.R_OK)), path)
    name = "mod_wsgi_rs"
    try:
        loader = importlib.machinery.ExtensionFileLoader(name, place)
        spec = importlib.util.spec_from_file_location(name, place, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loader.exec_module(module)
    except ImportError as error:
        refuse(352, "Python %s cannot load the module %s (%s); the file and the directories above it must be readable "
                    "for the user of the process group, and built for this machine" % (version, path, error))
    module.__file__ = spec.origin = loader.path = path
    for descriptor in descriptors:
        os.close(int(descriptor))
    return module.serve


sys.exit(start()())
