"""The module mod_wsgi, in front of the distribution of the same name where a site has that installed.

Executed once in every interpreter by world.rs, where applications run. `import mod_wsgi` is the server's module, as
under mod_wsgi itself; `mod_wsgi.server`, which sites name in INSTALLED_APPS, and the like come from the distribution.
It is looked for when the first of them is asked for: most sites have none.
"""

import importlib.machinery
import sys
import types


class PackageSpec(importlib.machinery.ModuleSpec):
    """A package's if the distribution is there."""

    @property
    def submodule_search_locations(self):
        return getattr(sys.modules.get(self.name), "__path__", None)

    @submodule_search_locations.setter
    def submodule_search_locations(self, _):
        """Looked for each time until it is found."""


def make_module():
    module = types.ModuleType("mod_wsgi", "What the server tells and offers applications.")
    module.__spec__ = PackageSpec("mod_wsgi", None, origin="built into mod_wsgi_rs")
    module.__package__ = "mod_wsgi"
    module.__getattr__ = _make
    module.__dir__ = lambda: sorted({*vars(module), *made_when_used})
    return module


def _make(name):
    made = made_when_used.get(name, _nothing)()
    if made is None:
        raise AttributeError(f"module 'mod_wsgi' has no attribute {name!r}")
    setattr(sys.modules["mod_wsgi"], name, made)
    return made


def _nothing():
    return None


def installed_path():
    """The folders of the installed package, as Python's own finders have them; None without one."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find("mod_wsgi", None) if find else None
        if spec is not None:
            return spec.submodule_search_locations
    return None


# Attributes that most sites have no use for.
made_when_used = {"__path__": installed_path, "LogHandler": log_handler}
