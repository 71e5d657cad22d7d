"""Configurations as applications publish them, in a private Apache: their directives as they stand.

What is of the machine that they were written for is put in place at load time: the paths below /usr, /etc, /home …
lie on a disk of the test's own, `disk` below the server's root; accounts become @USER@, ports those of the server.
`furnish` lays on that disk what the directives name: scripts, folders, certificates, environments.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx

import pythons
from httpd import LIVE_PYTHON, Httpd
from machine import daemon_account, libexec

MODULES = (
    "access_compat", "auth_digest", "authz_groupfile", "autoindex", "cgid", "deflate", "expires", "log_config",
    "proxy", "proxy_http", "reqtimeout", "request", "session", "session_cookie", "version",
)  # fmt: skip
TOPS = "absolute|etc|home|mnt|opt|path|some|somewhere|srv|usr|Users|var"
PORTS = {"80": "PORT", "443": "TLS"}
PASSWORD = "open sesame"
# The application, and every function that a script may have for access control.
STAND_IN = f'''
import json

KEYS = ("SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "HTTP_AUTHORIZATION", "wsgi.url_scheme")
KEYS += ("mod_wsgi.process_group", "mod_wsgi.application_group")


def application(environ, start_response):
    body = json.dumps({{key: environ[key] for key in KEYS if key in environ}}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def check_password(environ, user, password):
    return password == {PASSWORD!r} if user == "ann" else None


def groups_for_user(environ, user):
    return ["secret-agents"] if user == "ann" else []


def allow_access(environ, host):
    return environ["REMOTE_ADDR"] == "127.0.0.1"
'''


def placed(text: str) -> str:
    """The configuration with the words of tests/harness/httpd.py for paths, accounts and ports."""
    text = placed_paths(text)
    text = re.sub(r"(?<=\s)(user|group|supplementary-groups)=[\w-]+", r"\1=@USER@", text)
    text = re.sub(r"^(\s*<VirtualHost \S+?:)(\d+)>", lambda m: f"{m[1]}@{PORTS.get(m[2], 'PORT2')}@>", text, flags=re.M)
    text = re.sub(r"^\s*Listen \d+", "", text, flags=re.M)
    listen = "".join(f"Listen 127.0.0.1:@{port}@\n" for port in ("TLS", "PORT2") if f"@{port}@" in text)
    home = "" if re.search("^ *WSGIPythonHome ", text, re.M) else "WSGIPythonHome @PYTHON@\n"
    return f"{loaded(*MODULES)}Define APACHE_LOG_DIR @ROOT@/disk/var/log/apache2\n{home}{listen}{text}"


def placed_paths(text: str) -> str:
    return re.sub(rf"""(?<=[\s"'=:])/(?=({TOPS})/)""", "@ROOT@/disk/", text)


def loaded(*names: str) -> str:
    return "".join(
        f"<IfModule !{name}_module>\nLoadModule {name}_module {libexec()}/mod_{name}.so\n</IfModule>\n" for name in names
    )


def prepare(serve, text: str, python: Path | None = None, before: str = "") -> Httpd:
    """A server with this configuration and its furnished disk; `python` is every environment that it names."""
    server = serve.prepare("")
    configure(server, text, python or pythons.environment(LIVE_PYTHON).home, before)
    return server


def configure(server: Httpd, text: str, python: Path, before: str = "") -> None:
    """The same for a server whose disk has files already: they stay."""
    server.write_configuration((before + placed(text)).replace("@PYTHON@", str(python)))
    furnish(server, server.configuration_file.read_text(), python)


def furnish(server: Httpd, configuration: str, python: Path) -> None:
    disk = server.root / "disk"
    (disk / "var/log/apache2").mkdir(parents=True, exist_ok=True)
    for line in configuration.replace("\\\n", " ").splitlines():
        directive = line.strip().partition(" ")[0]
        for option, path in re.findall(rf"""(\w[\w-]*=)?{re.escape(str(disk))}(/[^\s"'>:|]*)""", line):
            _lay(server, directive, option, disk / path.lstrip("/"), python)
    subprocess.run(["chmod", "-R", "a+rX", disk], check=True)


def _lay(server: Httpd, directive: str, option: str, path: Path, python: Path) -> None:
    script = _script(directive, path)
    target = script or path
    if "$" in str(target) or "*" in str(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    if script:
        target.write_text(STAND_IN)
    elif directive.startswith("SSLC"):
        shutil.copy(server.root / ("localhost.key" if "Key" in directive else "localhost.crt"), target)
    elif directive == "AuthUserFile":  # htpasswd -s
        target.write_text(f"ann:{{SHA}}{_sha1(PASSWORD)}\n")
    elif directive == "WSGIPythonHome" or option == "python-home=":
        target.symlink_to(python)
    elif directive == "Alias" and path.suffix:
        target.write_text("static\n")
    elif directive == "ScriptAlias":
        target.write_text("#!/bin/sh\necho Content-Type: text/plain\necho\necho program\n")
        target.chmod(0o755)
    elif directive not in ("ErrorLog", "CustomLog", "WSGISocketPrefix", "GssapiSessionKey", "LoadModule"):
        target.mkdir()


def _script(directive: str, path: Path) -> Path | None:
    """The script that the directive names, without what comes after its name."""
    if found := re.match(r".*?\.(wsgi|py)(?=[/$]|$)", str(path)):
        return Path(found[0])
    named = directive.startswith("WSGI") and "Script" in directive and not path.name.endswith("/")
    return path if named or re.search("wsgi|api$", path.name) and directive == "Alias" else None


def _sha1(password: str) -> str:
    return base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def lay(server: Httpd, path: str, text: str) -> Path:
    """A file of the published deployment, at its place on the disk of the test."""
    file = server.root / "disk" / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(server.fill_in(placed_paths(text)))
    return file


def give(server: Httpd, *folders: str) -> None:
    """Make these folders the property of the account that daemons run as."""
    for folder in folders:
        top = server.root / "disk" / folder.lstrip("/")
        top.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            for path in (top, *top.rglob("*")):
                shutil.chown(path, daemon_account())


def ask(server: Httpd, url: str, *, method: str = "GET", user: str = "", password: str = PASSWORD, **options) -> httpx.Response:
    """The answer to a request for this URL of the published site: its host, its user, its scheme's port."""
    wanted = httpx.URL(url)
    user = user or wanted.username
    port = "PORT2" if wanted.port else "TLS" if wanted.scheme == "https" else "PORT"
    headers = {"Host": wanted.host, **options.pop("headers", {})}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    with server.client(port=port, verify=False) as client:
        request = client.build_request(method, wanted.raw_path.decode(), headers=headers, **options)
        request.extensions["sni_hostname"] = wanted.host
        return client.send(request)
