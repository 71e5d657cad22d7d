# What httpd asks a script beside having it answer a request: executed in every interpreter by world.rs, called by
# verdict::ask for its functions allow_access, check_password, get_realm_hash, groups_for_user, and those of dispatch.

import re


def ask(module, function, environ, variables, arguments):
    """Calls the script's function. What it says is a list of bytes, the kind of verdict first."""
    if function is None:
        names = "process_group", "application_group", "callable_object"
        return [b"target", *(_chosen(module, name, environ) for name in names)]
    found = getattr(module, function, None)
    if not callable(found):
        return [b"missing", function.encode()]
    environ["mod_ssl.is_https"], environ["mod_ssl.var_lookup"] = _mod_ssl(environ, variables)
    said = found(environ, *map(_text, arguments))
    verdict = _VERDICTS[function](said)
    if verdict is None:
        return [b"unusable", function.encode(), type(said).__name__.encode()]
    return verdict


def _text(value):
    """Browsers send UTF-8 (RFC 7617); other bytes are taken as Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _bytes(value):
    """A name as bytes; None if it is no name."""
    if isinstance(value, str):
        value = value.encode(errors="surrogateescape")
    return value if isinstance(value, bytes) and b"\0" not in value else None


def _decision(said):
    known = (None, b"undecided"), (False, b"refused"), (True, b"granted")
    return next(([verdict] for value, verdict in known if said is value), None)


def _password(said):
    return _decision(said) or (_named(said) if said else None)


def _named(said):
    name = _bytes(said)
    return None if name is None else [b"text", name]


def _hash(said):
    """Anything but a hash as httpd compares it would be a hash that others could know."""
    if said is None:
        return [b"undecided"]
    verdict = _named(said)
    return verdict if verdict and re.fullmatch(b"[0-9a-f]{32}", verdict[1]) else None


def _groups(said):
    if isinstance(said, (str, bytes)):
        return None
    try:
        names = iter(said)
    except TypeError:
        return None
    names = [_bytes(name) for name in names]
    return None if None in names else [b"names", *names]


_VERDICTS = {
    "allow_access": _decision,
    "check_password": _password,
    "get_realm_hash": _hash,
    "groups_for_user": _groups,
}


def _chosen(module, name, environ):
    """What a script for dispatch says; None where it says nothing, or has no such function."""
    function = getattr(module, name, None)
    if function is None:
        return None
    said = function(environ)
    chosen = None if said is None else _bytes(said)
    if said is not None and chosen is None:
        raise TypeError("%s() must return a name (str or bytes without NUL) or None, not %s" % (name, type(said).__name__))
    return chosen


def _mod_ssl(environ, variables):
    """The two functions of mod_ssl, by the values that httpd's child has looked up."""
    known = {"HTTPS": "off", **environ, **variables}

    def is_https():
        """1 if the client's connection is encrypted, otherwise 0."""
        return int("HTTPS" in variables)

    def var_lookup(name):
        """A variable of mod_ssl, or one that the environ has too; empty where it has no value."""
        if not isinstance(name, (str, bytes)):
            raise TypeError("the name of a variable is a str, not %s" % type(name).__name__)
        value = known.get(name if isinstance(name, str) else name.decode("latin-1"))
        return value if isinstance(value, str) else ""

    return is_https, var_lookup
