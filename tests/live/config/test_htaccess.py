"""What the author of a `.htaccess` file can have executed, and as whom: the table of docs/security.md."""

from __future__ import annotations

import pytest

from httpd import Httpd

pytestmark = [pytest.mark.any_mpm, pytest.mark.ours]

HANDLER = "SetHandler wsgi-script"
ACCESS = "WSGIAccessScript @APPS@/access.wsgi"
# Folder: its section, its .htaccess, the status of its script and where that ran.
FOLDERS = {
    "none": ("AllowOverride None\nOptions ExecCGI\nWSGIProcessGroup site", HANDLER, 200, None),
    "static": ("AllowOverride FileInfo\nOptions None\nWSGIProcessGroup site", HANDLER, 403, None),
    "group": ("AllowOverride FileInfo\nOptions ExecCGI\nWSGIProcessGroup site", HANDLER, 200, "site"),
    "embedded": ("AllowOverride FileInfo\nOptions ExecCGI", HANDLER, 500, None),
    "options": ("AllowOverride FileInfo Options\nOptions None\nWSGIProcessGroup site", f"{HANDLER}\nOptions +ExecCGI", 200, "site"),
    "chosen": (
        "AllowOverride FileInfo\nOptions ExecCGI\nWSGIProcessGroup %{ENV:GROUP}", f"{HANDLER}\nSetEnvIf Host . GROUP=other", 200, "other",
    ),
    "restricted": (
        "AllowOverride FileInfo\nOptions ExecCGI\nWSGIProcessGroup %{ENV:GROUP}\nWSGIRestrictProcess site",
        f"{HANDLER}\nSetEnvIf Host . GROUP=other", 500, None,
    ),
    "access": ("AllowOverride AuthConfig\nOptions None", ACCESS, 500, None),
    "access-group": ("AllowOverride AuthConfig\nOptions None", f"{ACCESS} process-group=site", 500, None),
    "choice": ("AllowOverride All\nOptions ExecCGI", f"{HANDLER}\nWSGIProcessGroup site", 500, None),
}  # fmt: skip
SCRIPT = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ran in " + environ["mod_wsgi.process_group"].encode()]
"""


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    sections = [f'<Directory "@ROOT@/htdocs/{name}">\n{section}\n</Directory>' for name, (section, *_) in FOLDERS.items()]
    groups = [f"WSGIDaemonProcess {name} python-home=@PYTHON@ threads=2" for name in ("site", "other")]
    server = serve.prepare("\n".join(["WSGIRestrictEmbedded On", *groups, *sections]))
    for name, (_, htaccess, *_) in FOLDERS.items():
        folder = server.root / "htdocs" / name
        folder.mkdir()
        (folder / ".htaccess").write_text(server.fill_in(htaccess) + "\n")
        (folder / "script.txt").write_text(SCRIPT)
    return server.start()


@pytest.mark.parametrize("name", FOLDERS)
def test_what_htaccess_can_have_executed(server: Httpd, name: str):
    *_, status, group = FOLDERS[name]
    answer = server.get(f"/{name}/script.txt")
    assert answer.status_code == status, server.error_log()[-1500:]
    assert (answer.text == f"ran in {group}") == (group is not None), answer.text
