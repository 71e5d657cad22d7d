"""The Pythons that sites under test run on: one virtual environment a version, built once and kept.

Used by the fixture `python` in tests/live/conftest.py. Daemons run as www-data, so everything lies in a
world-readable cache folder (TEST_CACHE, default below /var/tmp); an interpreter which only its owner
can reach, such as root's pyenv, is copied there first and told to find its libpython beside itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("django", "flask", "werkzeug", "webtest")
WANTED_BY_CI = ("3.9", "3.11", "3.12", "3.13")
# What may differ from one Python to another is tried with these.
VERSIONS = ("3.11",) if os.environ.get("QUICK") else WANTED_BY_CI
REFERENCE = bool(os.environ.get("REFERENCE"))
if REFERENCE:
    PACKAGES += ("mod_wsgi==6.1.1",)


@dataclass(frozen=True)
class Python:
    """A virtual environment that sites can name as their python-home."""

    version: str
    home: Path

    @property
    def executable(self) -> Path:
        return self.home / "bin" / "python"

    def run(self, *arguments: str, **options) -> str:
        command = [str(self.executable), *map(str, arguments)]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=_clean_environment(), **options
        ).stdout


def environment(version: str, packages: tuple[str, ...] = PACKAGES) -> Python:
    """The environment of this Python version; the test is skipped, in CI failed, where that Python is missing."""
    with _locked_cache() as cache:
        interpreter = _interpreter(cache, version)
        if interpreter is None:
            _missing(version)
        kind = {PACKAGES: "sites", (): "bare"}.get(packages) or packages[0].partition("==")[0]
        home = cache / f"venv-{version}-{kind}"
        stamp = home / "stamp"
        recipe = f"{interpreter} {_full_version(interpreter)} {' '.join(packages)}\n"
        if not stamp.exists() or stamp.read_text() != recipe:
            _build(interpreter, home, packages)
            stamp.write_text(recipe)
        return Python(version, home)


def reference_module() -> tuple[Path, Path]:
    """With REFERENCE=1: mod_wsgi 6.1.1 as pip builds it, and the libpython it needs."""
    home = environment("3.11").home
    module = next(home.glob("lib/python3.11/site-packages/mod_wsgi/server/mod_wsgi-py*.so"))
    return module, (home / "bin" / "python").resolve().parent.parent / "lib" / "libpython3.11.so.1.0"


def _missing(version: str) -> None:
    text = f"Python {version} is missing: `pyenv install {version}` (or a python{version} package) provides it"
    if os.environ.get("CI") == "true" and version in WANTED_BY_CI:
        pytest.fail(text)
    pytest.skip(text)


def _build(interpreter: Path, home: Path, packages: tuple[str, ...]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    pip = [] if packages else ["--without-pip"]
    _run(interpreter, "-m", "venv", *pip, home)
    if packages:
        _run(home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
    _run("chmod", "-R", "a+rX", home)


def _interpreter(cache: Path, version: str) -> Path | None:
    if REFERENCE:
        return _copy_of_pyenv(cache, version) if version == "3.11" else None
    for folder in ("/usr/bin", "/usr/local/bin"):
        for name in (f"python{version}", "python3"):
            candidate = Path(folder) / name
            if _full_version(candidate).startswith(f"{version}.") and _has_venv(candidate):
                return candidate
    return _copy_of_pyenv(cache, version)


def _copy_of_pyenv(cache: Path, version: str) -> Path | None:
    found = sorted(_pyenv_root().glob(f"versions/{version}.*/bin/python{version}"))
    if not found:
        return None
    original = found[-1]
    if _reachable_by_others(original):
        return original
    prefix = original.parent.parent
    copy = cache / "interpreters" / prefix.name
    executable = copy / "bin" / f"python{version}"
    if not (copy / "stamp").exists():
        if not shutil.which("patchelf"):
            pytest.fail(
                "patchelf is missing: `apt-get install patchelf`; it makes a private Python readable by www-data"
            )
        shutil.rmtree(copy, ignore_errors=True)
        copy.parent.mkdir(mode=0o755, exist_ok=True)
        _run("cp", "-a", prefix, copy)
        _run("patchelf", "--set-rpath", "$ORIGIN/../lib", executable)
        _run("chmod", "-R", "a+rX", copy)
        (copy / "stamp").write_text("copied\n")
    return executable


def _pyenv_root() -> Path:
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return Path(subprocess.run(["pyenv", "root"], check=True, capture_output=True, text=True).stdout.strip())
    return Path.home() / ".pyenv"


def _reachable_by_others(path: Path) -> bool:
    real = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (real, *real.parents))


def _full_version(interpreter: Path) -> str:
    if not interpreter.exists():
        return ""
    return _run(interpreter, "-c", "import platform; print(platform.python_version())").strip()


def _has_venv(interpreter: Path) -> bool:
    return subprocess.run([interpreter, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def _run(*command) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=_clean_environment())
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "PYENV"))}


@contextlib.contextmanager
def _locked_cache():
    suffix = "" if os.geteuid() == 0 else f"-{os.geteuid()}"
    suffix += "-reference" if REFERENCE else ""
    cache = Path(os.environ.get("TEST_CACHE", f"/var/tmp/mod_wsgi_rs-tests{suffix}"))
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    if cache.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{cache} belongs to somebody else: remove it or set TEST_CACHE")
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache
