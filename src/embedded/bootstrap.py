# The program of Python inside a child of httpd: -c THIS /path/of/mod_wsgi_rs.so. It comes back only if it cannot
# start; a thread of the child waits in it until the child ends. The path is the name by which the loader knows the
# module that httpd has loaded, and gives that one, whatever is at the path by now.
import sys

# Nothing in the working directory may stand in for a module of the standard library.
if sys.path and sys.path[0] == "":
    del sys.path[0]


def start():
    import importlib.machinery
    import importlib.util

    path = sys.argv[1]
    sys.argv[:] = ["mod_wsgi"]
    loader = importlib.machinery.ExtensionFileLoader("mod_wsgi_rs", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("mod_wsgi_rs", path, loader=loader))
    sys.modules["mod_wsgi_rs"] = module
    loader.exec_module(module)
    return module.embed


start()()
