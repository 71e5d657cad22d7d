"""What can be imported from mod_wsgi: with an installed distribution, without one, in a Django site."""

import importlib.util
import json
import pkgutil
import sys

import mod_wsgi


def error_of(name):
    try:
        __import__(name)
    except ImportError as error:
        return [type(error).__name__, error.name]


def modules():
    import mod_wsgi.metrics
    import mod_wsgi.server.apps

    who = [mod_wsgi.server.WHO, mod_wsgi.server.apps.WHO, mod_wsgi.metrics.WHO]
    found = [importlib.util.find_spec(f"mod_wsgi.{name}") for name in ("metrics", "nothing")]
    return {
        "same version": mod_wsgi.server.VERSION == mod_wsgi.version,
        "who": who,
        "ours stays": sys.modules["mod_wsgi"] is mod_wsgi and mod_wsgi.metrics.process_group == mod_wsgi.process_group,
        "path": list(mod_wsgi.__path__),
        "spec": list(importlib.util.find_spec("mod_wsgi").submodule_search_locations),
        "found": [spec and spec.origin for spec in found],
        "listed": sorted(module.name for module in pkgutil.iter_modules(mod_wsgi.__path__)),
        "missing": error_of("mod_wsgi.nothing"),
    }


def without():
    try:
        mod_wsgi.nothing
    except AttributeError as error:
        missing = str(error)
    return {
        "missing": error_of("mod_wsgi.server"),
        "path": getattr(mod_wsgi, "__path__", None),
        "spec": importlib.util.find_spec("mod_wsgi").submodule_search_locations,
        "missing attribute": missing,
    }


def django():
    import django
    from django.apps import apps
    from django.conf import settings
    from django.core.management import get_commands

    if not settings.configured:
        settings.configure(INSTALLED_APPS=["mod_wsgi.server"], SECRET_KEY="no secret")
        django.setup()
    return {
        "apps": [config.name for config in apps.get_app_configs()],
        "version": [mod_wsgi.version >= least for least in ((4, 5), (6, 0), mod_wsgi.mod_wsgi_rs_version)],
        "functions": [hasattr(mod_wsgi, name) for name in ("request_data", "active_requests", "request_metrics")],
        "commands": [name for name, app in get_commands().items() if app == "mod_wsgi.server"],
        "ours": hasattr(mod_wsgi, "process_group") and sys.modules["mod_wsgi"] is mod_wsgi,
    }


def application(environ, start_response):
    body = json.dumps(globals()[environ["PATH_INFO"].strip("/")]()).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
