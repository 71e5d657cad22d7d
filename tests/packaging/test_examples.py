"""Every file of apache-conf/examples is a configuration that Apache accepts with this module loaded."""

import os
import subprocess

import pytest

from machine import PROJECT, module_so
from private_apache import Apache

EXAMPLES = sorted((PROJECT / "apache-conf/examples").glob("*.conf"))


def configtest(folder, text):
    apache = Apache(folder / "apache", text)
    return subprocess.run(apache.command("-t"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_apache_accepts_the_example(example, tmp_path):
    account = subprocess.check_output(["id", "-un"], text=True).strip() if os.geteuid() else "www-data"
    names = {"SITE": tmp_path, "SITES": tmp_path, "USER": account, "BLOG_USER": account, "SHOP_USER": account}
    defines = "".join(f"Define {name} {value}\n" for name, value in names.items())
    (tmp_path / "htdocs").mkdir()
    result = configtest(tmp_path, f"LoadModule wsgi_module {module_so()}\n{defines}Include {example}\n")
    assert result.returncode == 0, result.stdout
    assert "Syntax OK" in result.stdout


def test_apache_accepts_the_settings_that_are_installed(tmp_path):
    defaults = (PROJECT / "apache-conf/wsgi_rs.conf").read_text()
    # As they are, and with every suggestion taken.
    taken = "".join(line.replace("#WSGI", "WSGI") for line in defaults.splitlines(keepends=True))
    for number, text in enumerate((defaults, taken)):
        folder = tmp_path / str(number)
        folder.mkdir()
        result = configtest(folder, f"LoadModule wsgi_module {module_so()}\n{text}")
        assert result.returncode == 0, result.stdout
