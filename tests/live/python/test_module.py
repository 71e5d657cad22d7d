"""The file itself: one build for every httpd 2.4 and every Python, linked against neither."""

from __future__ import annotations

import re
import subprocess

import pytest

import httpd

pytestmark = pytest.mark.ours


def test_no_symbol_of_httpd_or_python_is_needed():
    needed = subprocess.run(
        ["nm", "-D", "--undefined-only", httpd._module_under_test()], capture_output=True, text=True, check=True
    ).stdout
    assert "malloc" in needed
    assert not re.findall(r"\b(?:_?Py|ap_|apr_)\w*", needed)


def test_both_doors_are_there():
    given = subprocess.run(
        ["nm", "-D", "--defined-only", httpd._module_under_test()], capture_output=True, text=True, check=True
    ).stdout
    assert {"wsgi_module", "PyInit_mod_wsgi_rs"} <= {line.split()[-1] for line in given.splitlines()}
