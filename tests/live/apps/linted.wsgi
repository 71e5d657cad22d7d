"""The other test applications inside a linter: /LINTER/SCRIPT/…; what a linter says about them is an exception here."""

import os
import runpy
import warnings
from wsgiref.validate import validator

from webtest.lint import middleware
from werkzeug.middleware.lint import LintMiddleware

warnings.simplefilter("error")
LINTERS = {"wsgiref": validator, "webtest": middleware, "werkzeug": LintMiddleware}
scripts = {}


def application(environ, start_response):
    linter, script = environ["PATH_INFO"].split("/")[1:3]
    environ["SCRIPT_NAME"] += f"/{linter}/{script}"
    environ["PATH_INFO"] = environ["PATH_INFO"][len(f"/{linter}/{script}") :]
    if script not in scripts:
        scripts[script] = runpy.run_path(os.path.join(os.path.dirname(__file__), f"{script}.wsgi"))["application"]
    return LINTERS[linter](scripts[script])(environ, start_response)
