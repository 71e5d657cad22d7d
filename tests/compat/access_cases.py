"""The requests to scripts for access control, dispatch and handlers; access_places.py has their configuration."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from urllib.parse import quote

from access_places import REALM
from cases import Case, request

PASSWORD = b"secret"

ANY = ("True", "False", "None", "one", "zero", "float", "text", "no text", "bytes", "no bytes", "bytearray", "list", "tuple", "dict", "odd",
       "function", "ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "recursion")  # fmt: skip
NAMES = ("latin-1 text", "euro text", "surrogate", "utf-8 bytes", "nul", "nul bytes", "newline", "long", "subclass of str")
HASHES = ("hash", "hash bytes", "hash latin-1", "hash upper", "hash of another")
GROUPS = ("groups", "groups of others", "groups tuple", "groups set", "groups generator", "groups bytes", "groups mixed", "groups blank",
          "groups latin-1", "groups utf-8", "groups euro", "groups case", "groups one empty", "groups int", "groups int last", "groups None",
          "groups nul", "groups fail")  # fmt: skip
TARGETS = ("None", "other", "other bytes", "text", "no text", "no bytes", "global", "server", "resource", "variable", "unknown form", "unknown",
           "callable", "not callable", "one", "False", "list", "bytearray", "latin-1 text", "utf-8 bytes", "euro text", "surrogate", "nul",
           "subclass of str", "ValueError", "SystemExit")  # fmt: skip
CREDENTIALS = {
    "usual": b"ann:secret", "empty password": b"ann:", "empty user": b":secret", "both empty": b":", "no colon": b"ann", "nothing": b"",
    "two colons": b"ann:sec:ret", "blanks": b" ann : secret ", "utf-8": "José:sécret".encode(), "latin-1": "José:sécret".encode("latin-1"),
    "euro": "€:€".encode(), "bad utf-8": b"a\xff:\xfe\x80", "half utf-8": b"a\xc3:\xe2\x82", "mixed": "é:".encode() + b"\xe9",
    "nul": b"a\0b:c\0d", "newline": b"a\nb:c\nd", "control": b"a\x01b:c\x7fd", "long": b"a" * 2000 + b":" + b"b" * 2000,
    "surrogate": b"\xed\xa0\x80:\xed\xb2\x80",
}  # fmt: skip


def planned(path: str, **plan: str) -> str:
    return f"{path}?{quote(json.dumps(plan))}"


def basic(credentials: bytes = b"ann:" + PASSWORD) -> str:
    return "Authorization: Basic " + base64.b64encode(credentials).decode()


def all_cases() -> list[Case]:
    return [*_access(), *_basic(), *_digest(), *_groups(), *_dispatch(), *_handlers()]


def _access() -> list[Case]:
    found = [Case(f"access {name}", request(planned("/asked/access", allow_access=name))) for name in ANY]
    for name, lines in {
        "headers": ["User-Agent: compat", "X-A: 1", "X-A: 2", "X_B: 3", "Cookie: a=1", "Content-Type: text/odd", "Proxy: http://evil/", basic()],
        "setenvif": ["X-Shade: green"],
        "two hosts": ["X-Forwarded-Host: evil", "X-Forwarded-For: 1.2.3.4"],
    }.items():
        found.append(Case(f"access environ {name}", request("/asked/access/x/y", *lines)))
    found += [Case(f"access environ {method}", request("/asked/access", method=method), (method,)) for method in ("POST", "ODD", "OPTIONS")]
    found += [
        Case("access environ double slashes", request("//asked//access///x")),
        Case("access environ encoded", request("/asked/access/Jos%C3%A9%2Fx%20y")),
        Case("access environ body", request("/asked/access", "Content-Length: 3", method="POST", body=b"abc"), ("POST",)),
        Case("access environ 1.0", request("/asked/access", version="1.0")),
        Case("access environ no host", b"GET /asked/access HTTP/1.0\r\n\r\n"),
        Case("access environ absolute", request("http://other.example:81/asked/access")),
        Case("access environ rewritten", request("/asked/access/rewritten")),
        Case("access environ SetEnv", request("/asked/access/deeper")),
        Case("access interpreter of a host", request("/asked/access/host")),
        Case("access HEAD refused", request(planned("/asked/access", allow_access="False"), method="HEAD"), ("HEAD",)),
        Case("access, error document", request(planned("/asked-file/static.txt", allow_access="False"))),
    ]
    for name in ("True", "False", "None", "one"):
        for place in ("granted-and-denied", "any"):
            found.append(Case(f"access {place} {name}", request(planned(f"/asked/access/{place}", allow_access=name))))
    for name in ("True", "False", "None"):
        found.append(Case(f"access to a file {name}", request(planned("/asked-file/static.txt", allow_access=f"says {name}"))))
        found.append(Case(f"access to a file that is not there {name}", request(planned("/asked-file/none/x", allow_access=f"says {name}"))))
        found.append(Case(f"access to a directory {name}", request(planned("/asked-file/", allow_access=f"says {name}"))))
    found += [Case(f"access {place}", request(f"/asked/access/{place}")) for place in ("no-function", "no-script", "syntax")]
    return found


def _basic() -> list[Case]:
    found = [Case(f"basic {name}", request(planned("/asked/basic", check_password=name), basic())) for name in (*ANY, *NAMES)]
    found += [Case(f"basic credentials {name}", request("/asked/basic", basic(words))) for name, words in CREDENTIALS.items()]
    for name, lines in {
        "none": [],
        "bearer": ["Authorization: Bearer abc"],
        "broken": ["Authorization: Basic ????"],
        "digest": ['Authorization: Digest username="ann"'],
        "no words": ["Authorization: Basic"],
        "lower case": ["authorization: basic YW5uOnNlY3JldA=="],
        "two": [basic(), basic(b"bob:secret")],
    }.items():
        found.append(Case(f"basic header {name}", request("/asked/basic", *lines)))
    for place in ("file-next", "file-first", "not-authoritative", "staff-only"):
        for name in ("True", "False", "None", "text", "one", "ValueError"):
            found.append(Case(f"basic {place} {name}", request(planned(f"/asked/basic/{place}", check_password=name), basic(b"ann:test"))))
        found.append(Case(f"basic {place}, another", request(planned(f"/asked/basic/{place}", check_password="None"), basic(b"bob:test"))))
    for plan in ({}, {"allow_access": "False"}, {"allow_access": "None"}, {"check_password": "False"}, {"groups_for_user": "list"}, {"check_password": "text"}):
        found.append(Case(f"basic all {plan}", request(planned("/asked/basic/all", **plan), basic())))
    found += [Case(f"basic {place}", request(f"/asked/basic/{place}", basic())) for place in ("no-function", "no-script", "syntax")]
    found.append(Case("basic without script", request("/asked/no-user-script", basic())))
    found.append(Case("basic without credentials or script", request("/asked/no-user-script")))
    found.append(Case("basic environ", request("/asked/basic/x/y", basic(), "User-Agent: compat")))
    found.append(Case("basic HEAD", request(planned("/asked/basic", check_password="False"), basic(), method="HEAD"), ("HEAD",)))
    return found


def _digest() -> list[Case]:
    def case(name: str, path: str, user: bytes = b"ann", password: bytes = PASSWORD) -> Case:
        return Case(f"digest {name}", request(path), ("GET", "GET"), then=digest(path, user, password))

    found = [case(name, planned("/asked/digest", get_realm_hash=name)) for name in (*HASHES, *ANY, *NAMES)]
    found += [
        case("wrong password", "/asked/digest", password=b"wrong"),
        case("environ", "/asked/digest/x/y"),
        case("no-function", "/asked/digest/no-function"),
        case("no-script", "/asked/digest/no-script"),
        case("utf-8", "/asked/digest", "José".encode()),
        case("latin-1", planned("/asked/digest", get_realm_hash="hash latin-1"), "José".encode("latin-1")),
        Case("digest header basic", request("/asked/digest", basic())),
    ]
    return found


def _groups() -> list[Case]:
    found = [Case(f"group {name}", request(planned("/asked/group/one", groups_for_user=name), basic())) for name in (*GROUPS, *ANY)]
    for place, names in {
        "words": ("groups", "groups of others", "groups blank", "list"),
        "lines": ("groups", "groups of others"),
        "all": ("groups", "groups tuple", "groups of others"),
        "not": ("groups", "groups of others", "list", "None", "one", "groups fail", "ValueError"),
        "any": ("groups", "groups of others", "None", "ValueError"),
        "utf-8": ("groups latin-1", "groups utf-8", "groups"),
    }.items():
        for name in names:
            for user in (b"ann", b"bob") if place == "any" else (b"bob",):
                found.append(Case(f"group {place} {name} {user.decode()}", request(planned(f"/asked/group/{place}", groups_for_user=name), basic(user + b":x"))))
    for script in ("no-function", "no-script", "syntax"):
        for place in ("one", "not", "any"):
            for user in (b"ann", b"bob") if place == "any" else (b"bob",):
                found.append(Case(f"group {script} {place} {user.decode()}", request(f"/asked/group/{script}/{place}", basic(user + b":x"))))
    found += [Case(f"group without script {place}", request(f"/asked/no-group-script/{place}", basic())) for place in ("one", "not")]
    found += [
        Case("group environ", request("/asked/group/one/x/y", basic(), "User-Agent: compat")),
        Case("group renamed", request(planned("/asked/group/one", check_password="text"), basic())),
        Case("group utf-8 user", request("/asked/group/one", basic("José:x".encode()))),
        Case("group latin-1 user", request("/asked/group/one", basic("José:x".encode("latin-1")))),
    ]
    return found


def _dispatch() -> list[Case]:
    found = []
    for function in ("process_group", "application_group", "callable_object"):
        found += [Case(f"dispatch {function} {name}", request(planned("/dispatched", **{function: name}))) for name in TARGETS]
        found.append(Case(f"dispatch {function} over an alias", request(planned("/dispatched-set", **{function: "other"}))))
    everything = {"process_group": "other", "application_group": "other", "callable_object": "callable"}
    found += [
        Case("dispatch everything", request(planned("/dispatched", **everything))),
        Case("dispatch nothing over an alias", request("/dispatched-set")),
        Case("dispatch restricted", request(planned("/dispatched/restricted", process_group="other"))),
        Case("dispatch restricted, allowed", request(planned("/dispatched/restricted", process_group="text"))),
        Case("dispatch environ", request("/dispatched-here/x/y", "User-Agent: compat", basic(), "X-Shade: green")),
        Case("dispatch environ POST", request("/dispatched-here", "Content-Length: 3", "Content-Type: text/odd", method="POST", body=b"abc"), ("POST",)),
        Case("dispatch passed authorization", request("/dispatched/passed", basic())),
        Case("dispatch missing script of the alias", request("/not-there")),
    ]
    found += [Case(f"dispatch {place}", request(f"/dispatched/{place}")) for place in ("no-function", "no-script", "syntax")]
    return found


def _handlers() -> list[Case]:
    paths = ("/by-location", "/by-location/x/y?z", "/by-location/there/static.txt", "/by-location/there/static.txt/x", "/by-location/there/none",
             "/by-location/there/", "/by-location/main/x", "/by-location/here/x", "/by-location/callable", "/by-location/no-path-info/x",
             "/by-location/no-function", "/by-location/no-script", "/by-location/syntax", "/by-location/unknown", "/by-location/inner",
             "/by-extension/page.odd", "/by-extension/page.odd/x//y", "/by-extension/static.txt", "/by-extension/none.odd",
             "/by-rule", "/by-rule/x/y?z", "/by-dash", "/by-dash/x")  # fmt: skip
    found = [Case(f"handler {path}", request(path)) for path in paths]
    found += [Case(f"handler {path}, HEAD", request(path, method="HEAD"), ("HEAD",)) for path in ("/by-location/no-function", "/by-location/no-script")]
    for path in ("/by-location", "/by-location/main", "/by-extension/page.odd"):
        found.append(Case(f"handler {path}, POST", request(path, "Content-Length: 3", basic(), method="POST", body=b"abc"), ("POST",)))
    for function, name in (("process_group", "other"), ("application_group", "other"), ("callable_object", "callable"), ("callable_object", "None")):
        found.append(Case(f"handler dispatched {function} {name}", request(planned("/by-location/dispatched", **{function: name}))))
    return found


def digest(path: str, user: bytes, password: bytes):
    """The request that follows a challenge, signed (RFC 2617, qop=auth)."""

    def signed(answer) -> bytes:
        challenge = next((value for name, value in answer.headers if name == "WWW-Authenticate"), "")
        nonce = re.search(r'nonce="([^"]*)"', challenge)
        if not nonce:
            return request(path)
        md5 = lambda text: hashlib.md5(text).hexdigest().encode()  # noqa: E731
        secret, what = md5(user + b":" + REALM.encode() + b":" + password), md5(b"GET:" + path.encode())
        response = md5(b":".join((secret, nonce[1].encode(), b"00000001", b"abc", b"auth", what)))
        line = (
            f'Authorization: Digest username="{user.decode("latin-1")}", realm="{REALM}", nonce="{nonce[1]}", uri="{path}", '
            f'response="{response.decode()}", algorithm=MD5, qop=auth, nc=00000001, cnonce="abc"'
        )
        return request(path, line)

    return signed
