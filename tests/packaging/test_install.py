"""`make install` and `make uninstall`: what they put where, with DESTDIR, and that a2enmod takes it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from machine import PROJECT

LIBEXEC = subprocess.check_output(["apxs", "-q", "LIBEXECDIR"], text=True).strip()
ON_DEBIAN = Path("/etc/debian_version").exists()


def make(target, destdir):
    command = ["make", "--no-print-directory", target, f"DESTDIR={destdir}"]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_install_and_uninstall_below_destdir(tmp_path):
    said = make("install", tmp_path)
    wanted = {f"{LIBEXEC}/mod_wsgi_rs.so".lstrip("/")}
    if ON_DEBIAN:
        wanted |= {f"etc/apache2/mods-available/wsgi_rs.{kind}" for kind in ("load", "conf")}
    else:
        assert f"LoadModule wsgi_module {LIBEXEC}/mod_wsgi_rs.so" in said
    assert files_in(tmp_path) == wanted

    make("uninstall", tmp_path)
    assert files_in(tmp_path) == set()


@pytest.mark.skipif(not ON_DEBIAN, reason="mods-available is Debian's layout")
def test_an_edited_configuration_stays(tmp_path):
    make("install", tmp_path)
    conf = tmp_path / "etc/apache2/mods-available/wsgi_rs.conf"
    conf.write_text("# mine\n")
    make("install", tmp_path)
    make("uninstall", tmp_path)
    assert conf.read_text() == "# mine\n"


@pytest.mark.skipif(not shutil.which("a2enmod"), reason="a2enmod is Debian's")
def test_a2enmod_enables_it_and_refuses_it_beside_mod_wsgi(tmp_path):
    make("install", tmp_path)
    etc = tmp_path / "etc/apache2"
    for folder in ("mods-enabled", "conf-available", "conf-enabled", "sites-available", "sites-enabled"):
        (etc / folder).mkdir()
    (etc / "apache2.conf").touch()

    def a2enmod(*words):
        environment = {
            **os.environ,
            "APACHE_CONFDIR": str(etc),
            "APACHE_STATE_DIRECTORY": str(tmp_path / "state"),
            "A2_NO_RELOAD": "1",
        }
        return subprocess.run(["a2enmod", *words], env=environment, capture_output=True, text=True)

    enabled = a2enmod("wsgi_rs")
    assert enabled.returncode == 0, enabled.stdout + enabled.stderr
    assert {path.name for path in (etc / "mods-enabled").iterdir()} == {"wsgi_rs.load", "wsgi_rs.conf"}

    for path in (etc / "mods-enabled").iterdir():
        path.unlink()
    (etc / "mods-available/wsgi.load").write_text("LoadModule wsgi_module /x/mod_wsgi.so\n")
    assert a2enmod("wsgi").returncode == 0
    refused = a2enmod("wsgi_rs")
    assert refused.returncode != 0
    assert "conflicts" in refused.stdout + refused.stderr
