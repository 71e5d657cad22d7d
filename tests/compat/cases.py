"""The requests of the comparison and the configuration that they meet. Both servers get the same bytes."""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
MARK = b"GET /compat/mark?@ HTTP/1.0\r\n\r\n"

# One thread a process: when the next request is served, the one before has been finished and logged.
CONFIGURATION = """
LoadModule wsgi_module "@MODULE@"
Listen 127.0.0.1:@PORT@
ServerAdmin webmaster@example.com
DocumentRoot "@ROOT@/htdocs"
ErrorLogFormat "[%m:%l] %M"
LogLevel warn wsgi:info
Timeout 10
KeepAliveTimeout 10
StartServers 1
ServerLimit 1
ThreadsPerChild 10
MaxRequestWorkers 10
MinSpareThreads 1
MaxSpareThreads 10
<Directory "@ROOT@">
    Require all granted
</Directory>

WSGIPythonHome "@PYTHON@"
WSGISocketPrefix "@ROOT@/run/wsgi"
@GROUPS@

WSGIScriptAlias /compat "@ROOT@/apps/compat.wsgi"
WSGIScriptAlias /events "@ROOT@/apps/events.wsgi"
WSGIScriptAlias /answers "@ROOT@/apps/answers.wsgi"
WSGIScriptAlias /body "@ROOT@/apps/body.wsgi"
WSGIScriptAlias /echo "@ROOT@/apps/echo.wsgi"
WSGIScriptAlias /validated "@ROOT@/apps/validated.wsgi"
WSGIScriptAlias /sub "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /sub/deeper "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /deep/er/still "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /slash/ "@ROOT@/apps/environ.wsgi/"
WSGIScriptAlias /scripts/ "@ROOT@/apps/"
WSGIScriptAliasMatch ^/match/([a-z]+) "@ROOT@/apps/$1.wsgi"
WSGIScriptAlias /import_error "@ROOT@/apps/import_error.wsgi"
WSGIScriptAlias /syntax_error "@ROOT@/apps/syntax_error.wsgi"
WSGIScriptAlias /no_callable "@ROOT@/apps/no_callable.wsgi"
WSGIScriptAlias /named "@ROOT@/apps/environ.wsgi" callable-object=wsgi_callable
WSGIScriptAlias /main "@ROOT@/apps/environ.wsgi" application-group=%{GLOBAL}
WSGIScriptAlias /passed "@ROOT@/apps/environ.wsgi" pass-authorization=On
WSGIScriptAlias /passed-too "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /secret "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /secret-passed "@ROOT@/apps/environ.wsgi" pass-authorization=On
WSGIScriptAlias /limited "@ROOT@/apps/echo.wsgi"
WSGIScriptAlias /chunked "@ROOT@/apps/compat.wsgi"
WSGIScriptAlias /chunked-body "@ROOT@/apps/body.wsgi"
WSGIScriptAlias /chunked-environ "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /no-path-info "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /own-errors "@ROOT@/apps/answers.wsgi"
WSGIScriptAlias /own-compat "@ROOT@/apps/compat.wsgi"
WSGIScriptAlias /head-kept "@ROOT@/apps/answers.wsgi"
WSGIScriptAlias /filtered "@ROOT@/apps/compat.wsgi"
WSGIScriptAlias /rewritten-to "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /forbidden "@ROOT@/apps/environ.wsgi"
WSGIScriptAlias /not-there "@ROOT@/apps/hello.wsgi/nothing.wsgi"
Alias /handled/ "@ROOT@/apps/"
Alias /static.txt "@ROOT@/htdocs/static.txt"
@MORE@
WSGIScriptAlias / "@ROOT@/apps/environ.wsgi"

<LocationMatch "^/(chunked|chunked-body|chunked-environ)(/|$)">
    WSGIChunkedRequest On
</LocationMatch>
<Location /passed-too>
    WSGIPassAuthorization On
</Location>
<LocationMatch "^/secret">
    AuthType Basic
    AuthName secret
    AuthUserFile "@ROOT@/users"
    Require valid-user
</LocationMatch>
<Location /limited>
    LimitRequestBody 10
</Location>
<Location /no-path-info>
    AcceptPathInfo Off
</Location>
<LocationMatch "^/own-">
    WSGIErrorOverride On
    ErrorDocument 404 "httpd's own page"
</LocationMatch>
<Location /head-kept>
    WSGIMapHEADToGET Off
</Location>
<Location /filtered>
    Header set X-Added yes
    Header unset X-Removed
    Header append Vary Appended
</Location>
<Location /forbidden>
    Require all denied
</Location>
<Location /handled>
    Options +ExecCGI
    AddHandler wsgi-script .wsgi
</Location>
SetEnv SITE_COLOUR "deep blue"
SetEnvIf X-Shade (.+) SHADE=$1
<Location /sub>
    SetEnv PLACE sub
</Location>
RewriteEngine On
RewriteRule ^/rewrite/(.*) /rewritten-to/$1 [PT,E=REWRITTEN:yes]
RewriteRule ^/redirected$ /sub/ [R,L]
"""
DAEMON = """
WSGIDaemonProcess site threads=1 display-name=%{GROUP}
WSGIProcessGroup site
"""
EMBEDDED = ""


@dataclass(frozen=True)
class Case:
    name: str
    send: bytes
    methods: tuple[str, ...] = ("GET",)  # of the requests in `send`
    after_100: bytes = b""  # sent when the server asks for it
    then: Callable[..., bytes] | None = None  # what is sent next, from the first answer


def request(path: str, *headers: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def sized(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    return request(path, f"Content-Length: {len(body)}", *headers, method=method, body=body)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunked(path: str, *pieces: bytes, body: bytes = b"") -> bytes:
    return request(path, "Transfer-Encoding: chunked", method="POST", body=body or chunks(*pieces))


def compat(kind: str, argument, mount: str = "/compat") -> str:
    return f"{mount}/{kind}?{quote(json.dumps(argument))}"


def functions(script: Path, *left_out: str) -> list[str]:
    """The names of a script's functions."""
    nodes = ast.parse(script.read_text()).body
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name not in left_out]


def table(name: str, script: str = "compat.wsgi") -> list[str]:
    """The keys of one of a script's tables."""
    for node in ast.parse((HERE / "apps" / script).read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return [key.value for key in node.value.keys]
    raise KeyError(name)


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "QUERY", "ODD", "get")
BODY = b"first line\nsecond line\n\nlast"
BASIC = "Authorization: Basic " + base64.b64encode(b"ann:test").decode()

STATUSES = (
    "200 OK", "200", "200 ", "200  OK", "201 Created", "202 Accepted", "203 X", "205 Reset Content", "206 Partial Content",
    "226 IM Used", "299 Odd", "300 Choices", "301 Moved", "302 Found", "303 See Other", "307 T", "308 P", "310 Odd", "400 Bad Request", "401 No",
    "403 Forbidden", "404 Not Found", "404 Somewhere Else", "405 X", "410 Gone", "413 Large", "416 Range", "418 I'm a teapot", "451 Law",
    "499 Odd", "500 Internal Server Error", "500 Own Words", "501 X", "502 X", "503 Busy", "504 X", "511 X", "599 Odd",
    "204 No Content", "304 Not Modified", "600 Odd", "999 Odd", "100 Continue", "101 Switching Protocols", "103 Early Hints", "199 Odd",
    "099 Odd", "000 Odd", "20 OK", "2000 OK", "200OK", "OK", "", " 200 OK", "-20 OK", "2x0 OK", "200\tOK", "200 A\tB", "200 A\nB", "200 A\r\nX-B: c",
    "200 A\0B", "200 A\x7fB", "200 Jos\xe9", "200 \u20ac", "200 Error", "200 Continue", "200 Timeout", "200 Rejected", "200 " + "x" * 9000,
)  # fmt: skip

TYPE = ["Content-Type", "text/plain"]
HEADERS = {
    "none": [],
    "no type": [["X-A", "b"]],
    "empty type": [["Content-Type", ""]],
    "type in lower case": [["content-type", "text/plain; charset=utf-8"]],
    "odd type": [["Content-Type", "Text/Plain;Charset=UTF-8"]],
    "two types": [["Content-Type", "text/plain"], ["Content-Type", "text/html"]],
    "order and case": [["X-b", "1"], TYPE, ["x-a", "2"], ["X-C", "3"]],
    "empty value": [TYPE, ["X-A", ""]],
    "blanks around": [TYPE, ["X-A", "  b  "]],
    "only blanks": [TYPE, ["X-A", "   "]],
    "tab inside": [TYPE, ["X-A", "a\tb"]],
    "nul in value": [TYPE, ["X-A", "a\0b"]],
    "control in value": [TYPE, ["X-A", "a\x01b"]],
    "delete in value": [TYPE, ["X-A", "a\x7fb"]],
    "newline in value": [TYPE, ["X-A", "a\nb"]],
    "return in value": [TYPE, ["X-A", "a\rb"]],
    "folded value": [TYPE, ["X-A", "a\r\n b"]],
    "newline at the end": [TYPE, ["X-A", "a\n"]],
    "latin-1 value": [TYPE, ["X-A", "Jos\xe9"]],
    "euro value": [TYPE, ["X-A", "\u20ac"]],
    "blank in name": [TYPE, ["X A", "b"]],
    "colon in name": [TYPE, ["X:A", "b"]],
    "empty name": [TYPE, ["", "b"]],
    "latin-1 name": [TYPE, ["X-\xe9", "b"]],
    "euro name": [TYPE, ["X-\u20ac", "b"]],
    "newline in name": [TYPE, ["X-A\n", "b"]],
    "nul in name": [TYPE, ["X\0A", "b"]],
    "brackets in name": [TYPE, ["X(A)", "b"]],
    "underscore in name": [TYPE, ["X_A", "b"]],
    "all token characters": [TYPE, ["!#$%&'*+-.^_`|~09aZ", "b"]],
    "two of a name": [TYPE, ["X-A", "1"], ["X-B", "2"], ["X-A", "3"]],
    "two of a name, other case": [TYPE, ["X-A", "1"], ["x-a", "2"]],
    "cookies": [TYPE, ["Set-Cookie", "a=1; Path=/"], ["Set-Cookie", "b=2; Expires=Wed, 09 Jun 2021 10:18:14 GMT"]],
    "two Vary": [TYPE, ["Vary", "Cookie"], ["Vary", "Accept"]],
    "two Link": [TYPE, ["Link", "<a>; rel=x"], ["Link", "<b>; rel=y"]],
    "two challenges": [TYPE, ["WWW-Authenticate", 'Basic realm="x"'], ["WWW-Authenticate", "Bearer"]],
    "two Cache-Control": [TYPE, ["Cache-Control", "no-cache"], ["Cache-Control", "private"]],
    "two Location": [TYPE, ["Location", "http://localhost/a"], ["Location", "http://localhost/b"]],
    "two ETag": [TYPE, ["ETag", '"a"'], ["ETag", '"b"']],
    "two Last-Modified": [TYPE, ["Last-Modified", "Wed, 09 Jun 2021 10:18:14 GMT"]] * 2,
    "length right": [TYPE, ["Content-Length", "5"]],
    "length twice": [TYPE, ["Content-Length", "5"], ["Content-Length", "5"]],
    "two lengths": [TYPE, ["Content-Length", "5"], ["Content-Length", "3"]],
    "length list": [TYPE, ["Content-Length", "5, 5"]],
    "length word": [TYPE, ["Content-Length", "five"]],
    "length empty": [TYPE, ["Content-Length", ""]],
    "length negative": [TYPE, ["Content-Length", "-5"]],
    "length plus": [TYPE, ["Content-Length", "+5"]],
    "length blank": [TYPE, ["Content-Length", " 5"]],
    "length blank after": [TYPE, ["Content-Length", "5 "]],
    "length zeros": [TYPE, ["Content-Length", "005"]],
    "length hex": [TYPE, ["Content-Length", "0x5"]],
    "length huge": [TYPE, ["Content-Length", "9" * 30]],
    "length lower case": [TYPE, ["content-length", "5"]],
    "connection close": [TYPE, ["Connection", "close"]],
    "connection keep-alive": [TYPE, ["Connection", "keep-alive"]],
    "keep-alive": [TYPE, ["Keep-Alive", "timeout=5"]],
    "transfer-encoding": [TYPE, ["Transfer-Encoding", "chunked"]],
    "transfer-encoding identity": [TYPE, ["Transfer-Encoding", "identity"]],
    "te": [TYPE, ["TE", "trailers"]],
    "trailer": [TYPE, ["Trailer", "X-A"]],
    "trailers": [TYPE, ["Trailers", "X-A"]],
    "upgrade": [TYPE, ["Upgrade", "websocket"]],
    "proxy-authenticate": [TYPE, ["Proxy-Authenticate", "Basic"]],
    "proxy-authorization": [TYPE, ["Proxy-Authorization", "Basic"]],
    "proxy-connection": [TYPE, ["Proxy-Connection", "close"]],
    "status": [TYPE, ["Status", "404 Not Found"]],
    "status odd": [TYPE, ["Status", "odd"]],
    "script-control": [TYPE, ["Script-Control", "no-abort"]],
    "last-modified": [TYPE, ["Last-Modified", "Wed, 09 Jun 2021 10:18:14 GMT"]],
    "last-modified odd": [TYPE, ["Last-Modified", "yesterday"]],
    "etag": [TYPE, ["ETag", '"five"'], ["Content-Length", "5"]],
    "weak etag": [TYPE, ["ETag", 'W/"five"']],
    "content-encoding": [TYPE, ["Content-Encoding", "gzip"]],
    "content-language": [TYPE, ["Content-Language", "de"], ["Content-Language", "en"]],
    "content-range": [TYPE, ["Content-Range", "bytes 0-4/10"]],
    "accept-ranges": [TYPE, ["Accept-Ranges", "bytes"], ["Content-Length", "5"]],
    "expires": [TYPE, ["Expires", "0"]],
    "location": [TYPE, ["Location", "http://example.com/x"]],
    "location path": [TYPE, ["Location", "/sub/x"]],
    "location relative": [TYPE, ["Location", "x"]],
    "x-sendfile": [TYPE, ["X-Sendfile", "/etc/passwd"]],
    "allow": [TYPE, ["Allow", "GET"], ["Allow", "HEAD"]],
    "mod_wsgi's own": [TYPE, ["X-Mod-Wsgi", "1"], ["mod_wsgi.x-a", "2"]],
    "long value": [TYPE, ["X-A", "x" * 7000]],
    "longer value": [TYPE, ["X-A", "x" * 40000]],
    "many": [TYPE, *[[f"X-{number}", "x" * 50] for number in range(150)]],
}
HEADS = {
    "302 to a path": ["302 Found", [TYPE, ["Location", "/sub/x"]]],
    "302 to a URL": ["302 Found", [TYPE, ["Location", "http://example.com/"]]],
    "302 without place": ["302 Found", [TYPE]],
    "201 with a path": ["201 Created", [TYPE, ["Location", "/sub/x"]]],
    "204 with a type": ["204 No Content", [TYPE]],
    "204 with a length": ["204 No Content", [TYPE, ["Content-Length", "5"]]],
    "304 with a length": ["304 Not Modified", [TYPE, ["Content-Length", "5"], ["ETag", '"x"']]],
    "304 with odd headers": ["304 Not Modified", [TYPE, ["X-A", "b"], ["Set-Cookie", "a=1"], ["Last-Modified", "Wed, 09 Jun 2021 10:18:14 GMT"]]],
    "401 with a challenge": ["401 Unauthorized", [TYPE, ["WWW-Authenticate", 'Basic realm="x"']]],
    "404 with odd headers": ["404 Not Found", [TYPE, ["X-A", "b"], ["Set-Cookie", "a=1"], ["X-A", "c"], ["ETag", '"x"']]],
    "404 with a length": ["404 Not Found", [TYPE, ["Content-Length", "5"]]],
    "206 with a range": ["206 Partial Content", [TYPE, ["Content-Range", "bytes 0-4/10"], ["Content-Length", "5"]]],
    "500 with cookies": ["500 Sorry", [TYPE, ["Set-Cookie", "a=1"], ["Set-Cookie", "b=1"]]],
    "Status and status": ["201 Created", [TYPE, ["Status", "404 Not Found"]]],
}  # fmt: skip
LENGTHS = (
    ("5", [5]), ("5", [2, 3]), ("5", [5, 1]), ("5", [6]), ("5", [2, 2]), ("5", []), ("0", []), ("0", [3]), ("5", [0, 5, 0]), ("100000", [65536, 40000]),
)  # fmt: skip

ENVIRON = {
    # Paths
    "/": "/", "/a/b": "/a/b", "/sub": "/sub", "/sub/": "/sub/", "/sub/x": "/sub/x", "/subx": "/subx",
    "/sub/deeper/x": "/sub/deeper/x", "/deep/er/still/x": "/deep/er/still/x", "/deep/er": "/deep/er",
    "/slash/": "/slash/", "/slash/x": "/slash/x", "/slash": "/slash",
    "directory": "/scripts/environ.wsgi/x", "directory, no path info": "/scripts/environ.wsgi", "directory, no slash": "/scripts",
    "match": "/match/environ/x/y", "match, no path info": "/match/environ",
    "handler": "/handled/environ.wsgi/x", "rewrite": "/rewrite/x?y=z", "named": "/named/x", "main": "/main/x",
    "double slashes": "//sub//x///y//", "double slash at the root": "//x", "double slash in the mount": "/deep//er///still//x",
    "dots": "/sub/a/./b/../c", "dots above": "/sub/../sub/x", "dots above the root": "/../sub/x", "dots at the end": "/sub/a/..",
    "three dots": "/sub/.../x", "semicolon": "/sub/a;b=c/d", "colon": "/sub/a:b", "at": "/sub/a@b", "plus": "/sub/a+b",
    "tilde": "/sub/~ann/", "brackets": "/sub/[a]{b}", "quotes": "/sub/'a'", "asterisk": "/sub/*", "pipe": "/sub/a|b", "backslash": "/sub/a\\b",
    "space encoded": "/sub/a%20b", "percent encoded": "/sub/100%25", "percent twice": "/sub/%2525", "slash encoded": "/sub/a%2Fb",
    "utf-8": "/sub/Jos%C3%A9", "latin-1": "/sub/Jos%E9", "latin-1 raw": "/sub/Jos\xe9", "bad utf-8": "/sub/%ff%fe", "nul": "/sub/a%00b",
    "newline": "/sub/a%0Ab", "control": "/sub/a%01b", "bad percent": "/sub/a%zz", "half percent": "/sub/a%2", "dot encoded": "/sub/%2e%2e/sub/y",
    "mount encoded": "/%73ub/x", "question encoded": "/sub/a%3Fb", "long path": "/sub/" + "x" * 7000, "too long path": "/sub/" + "x" * 9000,
    # Queries
    "query": "/sub?a=b&c=d", "empty query": "/sub?", "two questions": "/sub?a?b", "query encoded": "/sub?a=%20%C3%A9+%2B",
    "query raw latin-1": "/sub?a=Jos\xe9", "query quotes": "/sub?a='b'&c=\"d\"", "query with fragment": "/sub?a#b", "query slash": "/sub?a=/b//c",
    "fragment": "/sub/a#b",
}  # fmt: skip

REQUEST_HEADERS = {
    "usual": ["User-Agent: compat", "Accept: */*", "Accept-Language: de", "Referer: http://x/"],
    "cookies": ["Cookie: a=1; b=2", "Cookie: c=3"],
    "two of a name": ["X-A: 1", "X-A: 2", "x-a: 3"],
    "empty": ["X-Empty:", "X-Blank:   "],
    "blanks": ["X-A:   b  \t"],
    "odd names": ["X_A: b", "X.A: b", "X!A: b", "X-1: b", "-X: b", "X-: b", "1-X: b", "x~y: b"],
    "same after mapping": ["X-Under: dash", "X_Under: score"],
    "latin-1": ["X-A: Jos\xe9"],
    "control": ["X-A: a\x01b"],
    "tab": ["X-A: a\tb"],
    "folded": ["X-A: a", " b"],
    "proxy": ["Proxy: http://evil/"],
    "blank before colon": ["X-A : b"],
    "no colon": ["XA"],
    "names of CGI": ["Script-Name: /evil", "Path-Info: /evil", "Remote-User: evil", "Https: on", "Server-Name: evil"],
    "names of mod_wsgi": ["mod_wsgi.process_group: evil", "Mod-Wsgi.Input: evil", "wsgi.input: evil", "Wsgi-Input: evil"],
    "forwarded": ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4", "X-Script-Name: /evil"],
    "type": ["Content-Type: text/x-odd; a=b"],
    "two types": ["Content-Type: text/a", "Content-Type: text/b"],
    "content-encoding": ["Content-Encoding: gzip"],
    "range": ["Range: bytes=1-2", "If-Range: x"],
    "conditions": ["If-Match: x", "If-Modified-Since: Wed, 09 Jun 2041 10:18:14 GMT", "If-None-Match: x"],
    "connection": ["Connection: keep-alive, X-Named", "Keep-Alive: 5", "X-Named: b", "TE: trailers"],
    "close": ["Connection: close"],
    "upgrade": ["Connection: Upgrade", "Upgrade: websocket"],
    "setenvif": ["X-Shade: green"],
    "long": ["X-A: " + "x" * 8000],
    "too long": ["X-A: " + "x" * 9000],
    "many": [f"X-{number}: {number}" for number in range(90)],
    "too many": [f"X-{number}: {number}" for number in range(110)],
    "length 0": ["Content-Length: 0"],
    "authorization": [BASIC],
    "bearer": ["Authorization: Bearer abc"],
    "two authorizations": [BASIC, "Authorization: Bearer abc"],
    "proxy-authorization": ["Proxy-Authorization: Basic abc"],
}


def all_cases() -> list[Case]:
    return [*_environs(), *_heads(), *_answers(), *_bodies(), *_connections(), *_errors(), *_events(), *_metrics()]


def _environs() -> list[Case]:
    found = [Case(f"environ method {m}", request("/sub/x?y", method=m), (m,)) for m in METHODS if m != "HEAD"]
    found += [Case(f"environ path {name}", request(path)) for name, path in ENVIRON.items()]
    found += [Case(f"environ header {name}", request("/sub/x", *lines)) for name, lines in REQUEST_HEADERS.items()]
    for mount in ("/passed", "/passed-too", "/secret", "/secret-passed"):
        found += [
            Case(f"environ {mount} {name}", request(mount, *lines))
            for name, lines in (("basic", [BASIC]), ("bearer", ["Authorization: Bearer abc"]), ("none", []))
        ]
    for version in ("1.0", "1.1", "1.2", "2.0", "0.9"):
        found.append(Case(f"environ version {version}", request("/sub/x", version=version)))
    found += [
        Case("environ absolute URI", request("http://other.example:81/sub/x?y")),
        Case("environ absolute URI, https", request("https://other.example/sub/x")),
        Case("environ no host, 1.0", b"GET /sub/x HTTP/1.0\r\n\r\n"),
        Case("environ no host, 1.1", b"GET /sub/x HTTP/1.1\r\n\r\n"),
        Case("environ host with port", b"GET /sub/x HTTP/1.1\r\nHost: other.example:8080\r\n\r\n"),
        Case("environ odd host", b"GET /sub/x HTTP/1.1\r\nHost: a b\r\n\r\n"),
        Case("environ empty host", b"GET /sub/x HTTP/1.1\r\nHost:\r\n\r\n"),
        Case("environ two hosts", b"GET /sub/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        Case("environ IPv6 host", b"GET /sub/x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
        Case("environ asterisk", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", ("OPTIONS",)),
        Case("environ bare newlines", b"GET /sub/x HTTP/1.1\nHost: localhost\n\n"),
        Case("environ newline before", b"\r\nGET /sub/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        Case("environ body", sized("/sub/x", BODY, "Content-Type: text/plain")),
        Case("environ body, GET", sized("/sub/x", BODY, method="GET")),
        Case("environ chunked body", chunked("/chunked-environ/x", BODY)),
        Case("environ keep-alive, 1.0", request("/sub/x", "Connection: keep-alive", version="1.0")),
    ]
    return found


def _heads() -> list[Case]:
    found = [Case(f"status {json.dumps(line[:40])}", request(compat("status", line))) for line in STATUSES]
    found += [Case(f"HEAD status {line}", request(compat("status", line), method="HEAD"), ("HEAD",)) for line in ("200 OK", "204 None", "404 No")]
    found += [Case(f"headers {name}", request(compat("headers", pairs))) for name, pairs in HEADERS.items()]
    found += [Case(f"head {name}", request(compat("head", given))) for name, given in HEADS.items()]
    found += [Case(f"HEAD head {name}", request(compat("head", given), method="HEAD"), ("HEAD",)) for name, given in HEADS.items()]
    found += [Case(f"error override {name}", request(compat("head", given, "/own-compat"))) for name, given in HEADS.items()]
    found += [Case(f"filtered {name}", request(compat("headers", HEADERS[name], "/filtered"))) for name in ("two Vary", "order and case", "etag")]
    conditions = ('If-None-Match: "five"', 'If-None-Match: "other"', 'If-Match: "other"', "If-None-Match: *", "Range: bytes=1-2", "Range: bytes=9-")
    found += [Case(f"conditional {line}", request(compat("headers", HEADERS["etag"]), line)) for line in conditions]
    found += [Case(f"conditional since {line}", request(compat("headers", HEADERS["last-modified"]), line)) for line in (
        "If-Modified-Since: Wed, 09 Jun 2021 10:18:14 GMT", "If-Modified-Since: Wed, 09 Jun 2020 10:18:14 GMT",
        "If-Unmodified-Since: Wed, 09 Jun 2020 10:18:14 GMT")]  # fmt: skip
    return found


def _answers() -> list[Case]:
    kinds = functions(HERE.parent / "live/apps/answers.wsgi", "endless", "slow", "report", "application")
    found = []
    for kind in kinds:
        found += [
            Case(f"answer {kind}", request(f"/answers/{kind}")),
            Case(f"answer {kind}, 1.0", request(f"/answers/{kind}", version="1.0")),
            Case(f"answer {kind}, keep-alive 1.0", request(f"/answers/{kind}", "Connection: keep-alive", version="1.0")),
            Case(f"HEAD answer {kind}", request(f"/answers/{kind}", method="HEAD"), ("HEAD",)),
            Case(f"answer {kind}, error override", request(f"/own-errors/{kind}")),
        ]
    found += [Case(f"HEAD kept {kind}", request(f"/head-kept/{kind}", method="HEAD"), ("HEAD",)) for kind in ("method", "a_list", "single")]
    for kind, name in (("returned", "RETURNED"), ("started", "STARTS"), ("started_in_generator", "STARTS"), ("start_refused", "STARTS"),
                       ("raised", "EXCEPTIONS"), ("raised_later", "EXCEPTIONS"), ("raised_in_close", "EXCEPTIONS"),
                       ("errors", "ERRORS"), ("python", "PYTHON")):  # fmt: skip
        found += [Case(f"{kind} {key}", request(compat(kind, key))) for key in table(name)]
    found += [Case(f"{kind} HEAD {key}", request(compat(kind, key), method="HEAD"), ("HEAD",)) for kind, key in (
        ("returned", "empty generator"), ("returned", "large pieces"), ("raised_later", "OSError"), ("started", "write"))]  # fmt: skip
    found += [Case(kind, request(compat(kind, None))) for kind in ("recursion", "finally_raises")]
    found += [Case(f"length {size} for {pieces}", request(compat("lengths", [size, pieces]))) for size, pieces in LENGTHS]
    found += [Case(f"length {size} for {pieces}, HEAD", request(compat("lengths", [size, pieces]), method="HEAD"), ("HEAD",)) for size, pieces in LENGTHS]
    for key in ("", "part", "end", "written before", "length", "part with length", "too long", "block size", "BytesIO", "text",
                "no arguments", "no read", "only read", "iterated", "in a generator", "closed"):  # fmt: skip
        found.append(Case(f"file {key}", request(compat("wrapped", key))))
        found.append(Case(f"file {key}, 1.0", request(compat("wrapped", key), version="1.0")))
        found.append(Case(f"file {key}, HEAD", request(compat("wrapped", key), method="HEAD"), ("HEAD",)))
    found.append(Case("file with Range", request(compat("wrapped", ""), "Range: bytes=5-9")))
    found += [Case(f"validated {name}", sized(f"/validated/{name}", BODY)) for name in ("hello", "generator", "written", "body", "lines", "errors", "nothing")]
    return found


def _bodies() -> list[Case]:
    found = []
    for way in functions(HERE.parent / "live/apps/body.wsgi", "application"):
        found += [
            Case(f"body {way}", sized(f"/body/{way}", BODY)),
            Case(f"body {way}, none", request(f"/body/{way}", method="POST")),
            Case(f"body {way}, length 0", sized(f"/body/{way}", b"")),
            Case(f"body {way}, chunked", chunked(f"/chunked-body/{way}", BODY[:7], BODY[7:])),
        ]
    for key in table("READS"):
        found += [
            Case(f"read {key}", sized(compat("read", key), BODY)),
            Case(f"read {key}, none", request(compat("read", key))),
            Case(f"read {key}, chunked", chunked(compat("read", key, "/chunked"), BODY)),
        ]
    for kind in ("read_while_answering", "read_after_answer"):
        found.append(Case(f"{kind}", sized(compat(kind, None), BODY)))
        found.append(Case(f"{kind}, chunked", chunked(compat(kind, None, "/chunked"), BODY)))
    found += [Case(f"echo by {method}", sized("/echo", BODY, method=method), (method,)) for method in METHODS if method != "HEAD"]
    found += [
        Case("echo", sized("/echo", bytes(range(256)) * 40)),
        Case("echo of 300 kB", sized("/echo", b"x" * 300_000)),
        Case("echo in pieces", sized("/echo/stream", b"x" * 30_000)),
        Case("chunked refused", chunked("/echo", BODY)),
        Case("chunked with extension", chunked("/chunked-body/read", body=b"4;a=b\r\nabcd\r\n0\r\n\r\n")),
        Case("chunked with trailer", chunked("/chunked-body/read", body=b"4\r\nabcd\r\n0\r\nX-Trailer: a\r\n\r\n")),
        Case("chunked, odd", chunked("/chunked-body/read", body=b"zz\r\nabcd\r\n0\r\n\r\n")),
        Case("chunked, odd later", chunked("/chunked-body/read", body=b"4\r\nabcd\r\nzz\r\n\r\n")),
        Case("chunked, odd, unread", chunked("/chunked-body/unread", body=b"zz\r\nabcd\r\n0\r\n\r\n")),
        Case("chunked and length", request("/chunked-body/read", "Content-Length: 3", "Transfer-Encoding: chunked", method="POST", body=chunks(b"abcd"))),
        Case("transfer-encoding gzip", request("/chunked-body/read", "Transfer-Encoding: gzip", method="POST")),
        Case("transfer-encoding gzip, chunked", request("/chunked-body/read", "Transfer-Encoding: gzip, chunked", method="POST", body=chunks(b"abcd"))),
        Case("transfer-encoding identity", request("/body/read", "Transfer-Encoding: identity", method="POST")),
        Case("over the limit", sized("/limited", b"x" * 11)),
        Case("at the limit", sized("/limited", b"x" * 10)),
        Case("not read", sized("/body/unread", b"x" * 3000)),
        Case("not read, then another", sized("/body/unread", b"x" * 3000) + request("/answers/single"), ("POST", "GET")),
        Case("partly read, then another", sized(compat("read", "read(3)"), BODY) + request("/answers/single"), ("POST", "GET")),
    ]
    found += [Case(f"request length {value!r}", request("/body/read", f"Content-Length: {value}", method="POST", body=b"abcde")) for value in (
        "abc", "-1", "+5", "5 5", "5, 5", "", "005", "99999999999999999999")]  # fmt: skip
    found.append(Case("two request lengths", request("/body/read", "Content-Length: 5", "Content-Length: 4", method="POST", body=b"abcde")))
    for path in ("/body/read", "/body/unread", "/answers/not_found", "/limited", "/secret", "/forbidden", "/sub"):
        found.append(Case(f"expects 100 at {path}", request(path, "Expect: 100-continue", "Content-Length: 20", method="POST"), ("POST",), b"x" * 20))
    found.append(Case("expects 100, body at once", sized("/body/read", BODY, "Expect: 100-continue")))
    found.append(Case("expects odd", sized("/body/read", BODY, "Expect: odd")))
    found.append(Case("expects 100, 1.0", request("/body/read", "Expect: 100-continue", "Content-Length: 3", method="POST", version="1.0", body=b"abc")))
    return found


def _connections() -> list[Case]:
    single, chunks_, none = (request(f"/answers/{kind}") for kind in ("a_generator", "two_pieces_with_length", "no_content"))
    failed = request("/answers/raises")
    post = sized("/body/read", BODY)
    return [
        Case("pipeline of three", single + chunks_ + none, ("GET",) * 3),
        Case("pipeline with bodies", post + single + post, ("POST", "GET", "POST")),
        Case("pipeline with an error", single + failed + chunks_, ("GET",) * 3),
        Case("pipeline with HEAD", request("/answers/a_list", method="HEAD") + single, ("HEAD", "GET")),
        Case("pipeline after a file", request(compat("wrapped", "")) + single, ("GET",) * 2),
        Case("pipeline, the last closes", single + request("/answers/a_list", "Connection: close"), ("GET",) * 2),
        Case("pipeline with httpd's own", single + request("/static.txt", "If-None-Match: *") + single, ("GET",) * 3),
        Case("close and a list", request("/answers/a_list", "Connection: close")),
        Case("close and a length", request("/answers/two_pieces_with_length", "Connection: close")),
    ]


def _errors() -> list[Case]:
    paths = ("/import_error", "/syntax_error", "/no_callable", "/scripts/", "/scripts/none.wsgi", "/scripts/none.wsgi/x", "/match/none",
             "/not-there", "/forbidden/x", "/handled/none.wsgi", "/handled/", "/redirected", "/no-path-info/x", "/answers/no_such_function")  # fmt: skip
    found = [Case(f"error {path}", request(path)) for path in paths]
    found += [Case(f"error {path}, HEAD", request(path, method="HEAD"), ("HEAD",)) for path in paths]
    found += [Case(f"error {path}, POST", sized(path, BODY)) for path in paths]
    found.append(Case("environ without path info", request("/no-path-info")))
    return found


EVENTS = {
    "plain": ("order", "types", "application_start", "status", "output", "started", "response", "times"),
    "created": ("status", "response"),
    "raises": ("order", "types", "status", "output", "exception"),
    "raises later": ("order", "status", "output", "exception"),
    "text": ("order", "status", "output", "exception"),
    "no start": ("order", "status", "output", "exception"),
    "refused": ("order", "status", "exception", "response"),
    "close raises": ("order", "status", "output", "exception"),
    "exc_info": ("order", "status", "response"),
    "write": ("order", "output"),
    "file": ("order", "output"),
    "reads": ("order", "input", "output"),
    "data": ("order",),
    "replaced application": ("order", "later"),
    "no application": ("order", "status", "exception"),
    "changed environ": ("order", "later"),
    "replaced environ": ("order",),
    "replaced status": ("order", "status"),
    "changed headers": ("order", "response"),
    "subscriber raises": ("order", "later"),
    "subscriber exits": ("order", "later"),
    "returns a list": ("order", "later"),
    "returns a name": ("order", "later"),
}


def _events() -> list[Case]:
    """One that is observed, then what its subscribers have heard."""
    found = []
    for kind, aspects in EVENTS.items():
        found.append(Case(f"event {kind}", sized(compat("do", kind, "/events"), BODY), ("POST",)))
        found += [Case(f"event {kind}: {aspect}", request(compat("seen", [kind, aspect], "/events"))) for aspect in aspects]
    return found


def _metrics() -> list[Case]:
    return [Case(f"metrics {name}", request(compat("metrics", name, "/events"))) for name in table("METRICS", "events.wsgi")]
