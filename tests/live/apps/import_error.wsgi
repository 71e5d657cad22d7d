"""Fails while it is loaded."""

import a_module_that_nobody_has_written


def application(environ, start_response):
    raise AssertionError("never called")
