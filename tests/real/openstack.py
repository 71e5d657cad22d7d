"""OpenStack: Keystone, Placement and Horizon."""

from __future__ import annotations

import re
import shutil

from application import Application, ask, disk, program, site_packages
from httpd import Httpd
from published import PASSWORD, give, lay
from pythons import Python

KEYSTONE_SETTINGS = """
[database]
connection = sqlite:///@ROOT@/disk/var/lib/keystone/keystone.db

[fernet_tokens]
key_repository = /etc/keystone/fernet-keys

[fernet_receipts]
key_repository = /etc/keystone/fernet-keys
"""


def set_up_keystone(server: Httpd, python: Python) -> None:
    settings = lay(server, "/etc/keystone/keystone.conf", KEYSTONE_SETTINGS)
    disk(server, "/var/lib/keystone")
    manage = ("keystone-manage", "--config-file", settings)
    program(server, python, *manage, "db_sync")
    program(server, python, *manage, "fernet_setup", "--keystone-user", "root", "--keystone-group", "root")
    program(server, python, *manage, "bootstrap", "--bootstrap-password", PASSWORD)
    lay(server, "/usr/local/bin/keystone-wsgi-public", (site_packages(python) / "keystone/wsgi/api.py").read_text())
    give(server, "/etc/keystone", "/var/lib/keystone")
    server.environment["OS_KEYSTONE_CONFIG_FILES"] = str(settings)


def check_keystone(server: Httpd) -> None:
    for place in ("http://localhost:5000", "http://localhost/identity"):
        version = ask(server, f"{place}/v3").json()["version"]
        assert version["id"].startswith("v3.") and version["status"] == "stable"
    admin = {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
    login = {"auth": {"identity": {"methods": ["password"], "password": {"user": admin}}}}
    entered = ask(server, "http://localhost:5000/v3/auth/tokens", method="POST", json=login)
    assert entered.status_code == 201, entered.text
    token = {"X-Auth-Token": entered.headers["X-Subject-Token"]}
    users = ask(server, "http://localhost/identity/v3/auth/projects", headers=token).json()
    assert "projects" in users
    admin["password"] = "wrong"
    assert ask(server, "http://localhost:5000/v3/auth/tokens", method="POST", json=login).status_code == 401


KEYSTONE = Application(("keystone==30.0.0",), "keystone", set_up_keystone, check_keystone)

PLACEMENT_SETTINGS = """
[placement_database]
connection = sqlite:///@ROOT@/disk/var/lib/placement/placement.db

[api]
auth_strategy = noauth2
"""


def set_up_placement(server: Httpd, python: Python) -> None:
    settings = lay(server, "/etc/placement/placement.conf", PLACEMENT_SETTINGS)
    disk(server, "/var/lib/placement")
    program(server, python, "placement-manage", "--config-file", settings, "db", "sync")
    lay(server, "/usr/bin/placement-api", (site_packages(python) / "placement/wsgi/api.py").read_text())
    give(server, "/var/lib/placement")
    server.environment["OS_PLACEMENT_CONFIG_DIR"] = str(settings.parent)


def check_placement(server: Httpd) -> None:
    for place in ("http://localhost:8778", "http://localhost/placement-api"):
        assert ask(server, f"{place}/").json()["versions"][0]["id"] == "v1.0"
        assert ask(server, f"{place}/traits").status_code == 401
        headers = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.6"}
        assert "HW_CPU_X86_AVX" in ask(server, f"{place}/traits", headers=headers).json()["traits"]


PLACEMENT = Application(("openstack-placement==16.0.0",), "placement", set_up_placement, check_placement)

HORIZON_SETTINGS = """
ALLOWED_HOSTS = ["localhost"]
WEBROOT = "/dashboard/"
SECRET_KEY = "a secret of many characters that no other site has"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
OPENSTACK_KEYSTONE_URL = "http://localhost:@PORT2@/v3"
"""


def set_up_horizon(server: Httpd, python: Python) -> None:
    checkout = disk(server, "/opt/stack/horizon")
    shutil.copytree(site_packages(python) / "openstack_dashboard", checkout / "openstack_dashboard")
    lay(server, "/opt/stack/horizon/openstack_dashboard/local/local_settings.py", HORIZON_SETTINGS)
    told = {"DJANGO_SETTINGS_MODULE": "openstack_dashboard.settings", "PYTHONPATH": "."}
    for words in (["collectstatic", "--noinput", "-v0"], ["compress", "--force", "-v0"]):
        program(server, python, "django-admin", *words, folder="/opt/stack/horizon", **told)


def check_horizon(server: Httpd) -> None:
    assert ask(server, "http://localhost/").headers["Location"].endswith("/dashboard/")
    page = ask(server, "http://localhost/dashboard/auth/login/").text
    assert "OpenStack Dashboard</title>" in page
    style = re.search(r'href="(/dashboard/static/[^"]+\.css)"', page)[1]
    assert ask(server, f"http://localhost{style}").headers["Accept-Ranges"] == "bytes"  # httpd's
    assert "/dashboard/auth/login/?next=" in ask(server, "http://localhost/dashboard/project/").headers["Location"]


HORIZON = Application(("horizon==27.0.0",), "horizon", set_up_horizon, check_horizon)
