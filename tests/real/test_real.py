"""Applications from PyPI, each behind the configuration of its documentation: it answers as the application does.

`make real` runs this. What each application needs is installed once, in an environment of its own in TEST_CACHE.
tests/live/real serves Django, Flask, Pyramid, Bottle, Trac, Radicale, pypiserver and Mercurial in the same way.

Of the applications whose configurations are in tests/live/real/documented, these are not served, for pip does not
suffice. CKAN needs PostgreSQL, Solr and Redis; docassemble PostgreSQL and Redis; Weblate PostgreSQL, Redis and headers
of C libraries. MoinMoin 1.9, RestAuth and web2py are for Python 2 on PyPI, and Kallithea needs a FormEncode for 2to3.
Koji's package has no hub, privacyIDEA's no client for Apache. FreeIPA, Odoo, Pagure and Submitty are not on PyPI.
"""

from __future__ import annotations

import re

import pytest

import monitoring
import openstack
import pythons
import reviews
import wikis
from application import disk
from httpd import LIVE_PYTHON
from published import configure

PATIENT = "Timeout 300\n"  # five processes of Keystone, imported side by side on a busy machine
APPLICATIONS = {
    "graphite": monitoring.GRAPHITE,
    "horizon": openstack.HORIZON,
    "keystone": openstack.KEYSTONE,
    "mailman": wikis.MAILMAN,
    "mapproxy": wikis.MAPPROXY,
    "moin": wikis.MOIN,
    "placement": openstack.PLACEMENT,
    "privacyidea": wikis.PRIVACYIDEA,
    "reviewboard": reviews.REVIEWBOARD,
    "reviewboard-daemon": reviews.REVIEWBOARD_DAEMON,
    "reviewboard-below": reviews.REVIEWBOARD_BELOW,
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_it_answers(serve, name: str):
    application = APPLICATIONS[name]
    python = pythons.environment(application.python, application.install)
    server = serve.prepare("")
    application.set_up(server, python)
    configure(server, application.text(server, python), python.home, PATIENT)
    server.start()
    application.check(server)


def test_they_run_beside_each_other(serve):
    """Each with a Python environment of its own, in one Apache."""
    server, text = serve.prepare(""), ""
    beside = {name: APPLICATIONS[name] for name in ("graphite", "horizon", "keystone", "privacyidea")}
    for name, application in beside.items():
        python = pythons.environment(application.python, application.install)
        application.set_up(server, python)
        (disk(server, "/usr/local/venv") / name).symlink_to(python.home)
        home = rf"\g<0> python-home=/usr/local/venv/{name}"
        text += re.sub(r"WSGIDaemonProcess \S+", home, application.text(server, python))
    configure(server, text, pythons.environment(LIVE_PYTHON).home, PATIENT)
    server.start()
    for application in beside.values():
        application.check(server)
