"""Functions for access control, told by names, headers and queries what to say; each call leaves a line in told/calls."""

import json
import os
import signal
import time
from pathlib import Path

TOLD = Path(__file__).parent.parent / "told"
PASSWORD = "pass-right-7391"
VALUES = {"True": True, "False": False, "None": None, "1": 1, "text": "yes", "list": [], "empty": ""}
GROUPS = {
    "alice": ["staff", b"users"],
    "bob": iter([]),
    "carol": ("banned", "two words"),
    "Иван": {"отдел"},
    "nothing": None,
    "letters": "staff",
    "numbers": [7],
    "mixed": ["staff", None],
}


def allow_access(environ, host):
    tell("allow_access", environ, host=host)
    return decide(environ.get("HTTP_X_ACCESS", "True"))


def check_password(environ, user, password):
    tell("check_password", environ, user=user)
    if user in ("raise", "hang", "crash"):
        decide(user)
    if user in VALUES:
        return VALUES[user]
    if user == "renamed":
        return "Иван" if password == PASSWORD else False
    if user == "stranger":
        return None
    return password == PASSWORD


def get_realm_hash(environ, user, realm):
    tell("get_realm_hash", environ, user=user, realm=realm)
    if user == "raise":
        decide(user)
    if user in VALUES:
        return VALUES[user]
    from hashlib import md5

    hashed = md5(f"{user}:{realm}:{PASSWORD}".encode()).hexdigest()
    return hashed.encode() if user == "bytes" else hashed


def groups_for_user(environ, user):
    tell("groups_for_user", environ, user=user)
    if user in ("raise", "stumble"):
        return (decide("raise") for _ in "1") if user == "stumble" else decide(user)
    return GROUPS.get(user, [])


def decide(word):
    if word == "raise":
        raise RuntimeError("the script does not know")
    if word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "hang":
        end = time.monotonic() + 20
        while time.monotonic() < end and not (TOLD / "go").exists():
            time.sleep(0.02)
        return True
    return VALUES[word]


def tell(function, environ, **arguments):
    told = {key: value for key, value in environ.items() if isinstance(value, (str, tuple))}
    told.update(
        arguments, function=function, types={key: type(value).__name__ for key, value in environ.items()},
        https=environ["mod_ssl.is_https"](), protocol=environ["mod_ssl.var_lookup"]("SSL_PROTOCOL"),
        certificate=environ["mod_ssl.var_lookup"](b"SSL_SERVER_S_DN_CN"), nothing=environ["mod_ssl.var_lookup"]("NO_SUCH"),
    )  # fmt: skip
    with open(TOLD / "calls", "a") as calls:
        calls.write(json.dumps(told) + "\n")
