"""Answers questions as the query says (JSON: {function: a name in SAID}), and dumps what each function was given."""

import hashlib
import json
from urllib.parse import unquote

USUAL = {
    "allow_access": "True",
    "check_password": "True",
    "get_realm_hash": "hash",
    "groups_for_user": "groups",
    "process_group": "None",
    "application_group": "None",
    "callable_object": "None",
}
PASSWORD = "secret"
ASKED = {}  # by function, for the request from the port ASKED_FROM
ASKED_FROM = []


class Odd:
    def __bool__(self):
        raise ValueError("no truth")

    def __iter__(self):
        raise ValueError("no items")


def failing_items():
    yield "staff"
    raise ValueError("reason")


def raised(error):
    raise error


def realm_hash(user, realm, password=PASSWORD, encoding="utf-8"):
    return hashlib.md5(f"{user}:{realm}:{password}".encode(encoding)).hexdigest()


SAID = {
    "True": lambda *_: True,
    "False": lambda *_: False,
    "None": lambda *_: None,
    "one": lambda *_: 1,
    "zero": lambda *_: 0,
    "float": lambda *_: 1.5,
    "text": lambda *_: "staff",
    "no text": lambda *_: "",
    "bytes": lambda *_: b"staff",
    "no bytes": lambda *_: b"",
    "bytearray": lambda *_: bytearray(b"staff"),
    "latin-1 text": lambda *_: "Jos\xe9",
    "euro text": lambda *_: "\u20ac",
    "surrogate": lambda *_: "\udc80",
    "utf-8 bytes": lambda *_: "Jos\xe9".encode(),
    "nul": lambda *_: "st\0aff",
    "nul bytes": lambda *_: b"st\0aff",
    "newline": lambda *_: "sta\nff",
    "long": lambda *_: "x" * 20000,
    "subclass of str": lambda *_: type("S", (str,), {})("staff"),
    "list": lambda *_: [],
    "tuple": lambda *_: ("staff",),
    "dict": lambda *_: {"staff": 1},
    "odd": lambda *_: Odd(),
    "function": lambda *_: raised,
    # Realm hashes
    "hash": lambda user, realm: realm_hash(user, realm),
    "hash bytes": lambda user, realm: realm_hash(user, realm).encode(),
    "hash latin-1": lambda user, realm: realm_hash(user, realm, encoding="latin-1"),
    "hash upper": lambda user, realm: realm_hash(user, realm).upper(),
    "hash of another": lambda user, realm: realm_hash(user, realm, "other"),
    # Groups
    "groups": lambda *_: ["other", "staff"],
    "groups of others": lambda *_: ["other", "guests"],
    "groups tuple": lambda *_: ("staff",),
    "groups set": lambda *_: {"staff"},
    "groups generator": lambda *_: (name for name in ("other", "staff")),
    "groups bytes": lambda *_: [b"staff"],
    "groups mixed": lambda *_: [b"other", "staff"],
    "groups blank": lambda *_: ["two words"],
    "groups latin-1": lambda *_: ["Jos\xe9"],
    "groups utf-8": lambda *_: ["Jos\xe9".encode()],
    "groups euro": lambda *_: ["\u20ac", "staff"],
    "groups case": lambda *_: ["Staff"],
    "groups one empty": lambda *_: ["", "staff"],
    "groups int": lambda *_: [1, "staff"],
    "groups int last": lambda *_: ["staff", 1],
    "groups None": lambda *_: [None],
    "groups nul": lambda *_: ["staff\0x"],
    "groups fail": lambda *_: failing_items(),
    # Targets
    "other": lambda *_: "other",
    "other bytes": lambda *_: b"other",
    "global": lambda *_: "%{GLOBAL}",
    "server": lambda *_: "%{SERVER}",
    "resource": lambda *_: "%{RESOURCE}",
    "variable": lambda *_: "%{ENV:SITE_COLOUR}",
    "unknown form": lambda *_: "%{NOTHING}",
    "unknown": lambda *_: "nothing",
    "callable": lambda *_: "wsgi_callable",
    "not callable": lambda *_: "json",
    # Exceptions
    "ValueError": lambda *_: raised(ValueError("reason")),
    "SystemExit": lambda *_: raised(SystemExit(3)),
    "KeyboardInterrupt": lambda *_: raised(KeyboardInterrupt),
    "GeneratorExit": lambda *_: raised(GeneratorExit),
    "recursion": lambda *arguments: SAID["recursion"](*arguments),
}


def outcome(function, *arguments):
    try:
        return repr(function(*arguments))
    except Exception as error:
        return type(error).__name__


def called(environ):
    """A copy of the environ, with what the functions of mod_ssl say in their places."""
    copy = dict(environ)
    if look_up := copy.pop("mod_ssl.var_lookup", None):
        for name in ("HTTPS", "SSL_PROTOCOL", "SERVER_NAME", "HTTP_USER_AGENT", "", "NOTHING", "wsgi.errors", b"HTTPS", 1):
            copy[f"mod_ssl.var_lookup({name!r})"] = outcome(look_up, name)
        copy["mod_ssl.is_https()"] = outcome(copy.pop("mod_ssl.is_https"))
    return copy


def asked(environ):
    """What was asked for this request."""
    if ASKED_FROM != [environ["REMOTE_PORT"]]:
        ASKED_FROM[:] = [environ["REMOTE_PORT"]]
        ASKED.clear()
    return ASKED


def answer(function, environ, *arguments):
    asked(environ)[function] = arguments, called(environ)
    plan = json.loads(unquote(environ["QUERY_STRING"]) or "{}")
    name = plan.get(function) or USUAL[function]
    if name.startswith("says"):
        values = [environ.get(key) for key in ("SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "SCRIPT_FILENAME", "REMOTE_USER")]
        print("says:", function, values, file=environ["wsgi.errors"])
        name = name.partition(" ")[2]
    return SAID[name](*arguments)


def allow_access(environ, host):
    return answer("allow_access", environ, host)


def check_password(environ, user, password):
    return answer("check_password", environ, user, password)


def get_realm_hash(environ, user, realm):
    return answer("get_realm_hash", environ, user, realm)


def groups_for_user(environ, user):
    return answer("groups_for_user", environ, user)


def process_group(environ):
    return answer("process_group", environ)


def application_group(environ):
    return answer("application_group", environ)


def callable_object(environ):
    return answer("callable_object", environ)


# What the functions were given


def plain(value):
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return repr(value)


def application(environ, start_response):
    own = ("wsgi.version", "REMOTE_USER", "AUTH_TYPE", "mod_wsgi.application_group", "mod_wsgi.callable_object")
    dump = {key: [type(environ[key]).__name__, plain(environ[key])] for key in own if key in environ}
    dump["asked"] = ["list", list(asked(environ))]
    for function, (arguments, given) in ASKED.items():
        dump[f"{function} arguments"] = ["tuple", plain(arguments)]
        for key, value in given.items():
            dump[f"{function} {key}"] = [type(value).__name__, plain(value)]
    return sent(start_response, dump)


def handle_request(environ, start_response):
    return sent(start_response, {key: [type(value).__name__, plain(value)] for key, value in environ.items()})


def sent(start_response, dump):
    body = json.dumps(dump).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
