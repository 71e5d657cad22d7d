"""The differences that docs/differences.md lists, by the key of their row: which lines of the comparison each explains.

A line is `mode | case | what: mod_wsgi's → ours`; a pattern that is found in it explains it. Where the status differs,
headers and body are not compared.
"""

from __future__ import annotations

REFUSED = r"(status: 'HTTP/1.1 [^']*' → 'HTTP/1.1 500 Internal Server Error'|worst level: '-' → 'error')"
BROKEN = r"(event raises later|raised_later .*|answer (exc_info_after|twice|raises_in_middle).*|finally_raises|returned bytes, then str|start\w* write, then (start|exc_info))"
TOO_LITTLE = r"(answer too_little.*|length 5 for \[(2, 2)?\])"
HOP_BY_HOP = r"(headers (connection .*|keep-alive|transfer-encoding.*|te|trailers?|upgrade|proxy-auth.*)|(HEAD )?answer hop_by_hop.*)"
NO_100 = r"expects 100(, body at once| at /(body/unread|answers/not_found|sub))"

DIFFERENCES = {
    # Answers that go wrong
    "broken-answer": (
        rf"\| {BROKEN} \| end: '(whole|silent)' → 'closed'",
        r"^embedded \| \w+ write, then (start|exc_info) \| body: b'written <!DOCTYPE",
    ),
    "too-little-data": (
        rf"\| {TOO_LITTLE} \| end: 'silent' → 'closed'",
        rf"\| {TOO_LITTLE} \| worst level: '-' → 'error'",
        rf"\| length 5 for \[\] \| {REFUSED}",
    ),
    "too-much-data": (r"(too_much.*|write too much|length \d+ for .*) \| worst level: '-' → 'warn'",),
    "file-too-short": (r"\| file too long(, 1.0)? \| (end|body|worst level): ",),
    "page-for-500": (
        r"^daemon \| headers (control in value|delete in value|latin-1 name|brackets in name) \| body: b'<!DOCTYPE",
        r"^embedded \| headers .* \| (header Content-Length: \[' 579'\]|end: 'closed' → 'whole')",
    ),
    # Headers
    "one-item-length": (
        r"header Transfer-Encoding: \[' chunked'\] → \[\]",
        r"header Content-Length: \[\] → \[' \d+'\]",
        r"keep-alive 1.0 \| header Connection: \[' close'\] → \[' Keep-Alive'\]",
        r"keep-alive 1.0 \| header Keep-Alive: \[\] → ",
    ),
    "ranges": (
        r"\| (conditional Range: bytes=1-2|file with Range) \| status: 'HTTP/1.1 200 OK' → 'HTTP/1.1 206 Partial Content'",
        r"\| conditional Range: bytes=9- \| status: 'HTTP/1.1 200 OK' → 'HTTP/1.1 416",
    ),
    "repeated-headers": (
        r"^daemon .* header [\w-]+: \[' [^']*, [^']*'\] → \[' [^']*'(, ' [^']*')+\]",
        r"^daemon .* two of a name, other case \| header (X-A|x-a)",
        r"^daemon .* two Location \| header Location",
        r"^daemon .* two Last-Modified \| header Last-Modified",
        r"^daemon .* filtered two Vary \| header Vary",
    ),
    "header-values": (
        r"^daemon .* headers (blanks around|only blanks) \| header X-A",
        r"^daemon .* headers odd type \| header Content-Type",
        r"^daemon .* headers last-modified odd \| header Last-Modified",
    ),
    "header-order": (r"^daemon .* \| order: \['(Content-Length|Last-Modified)'",),
    "status-header": (r"^daemon .* (headers status|headers status odd|Status and status) \| status: ",),
    "location-with-200": (
        r"^embedded .* (headers location path|answer location.*) \| (header (Content-|Location|Transfer-|Connection|Keep-Alive)|body)",
        r"^daemon .* answer location.* 1.0 \| order: ",
    ),
    "redirected-environ": (
        r"^daemon .* (headers location path|answer location.*) \| environ REDIRECT_",
        r"^(daemon|modes) \| HEAD answer location \| header Content-Length",
    ),
    "status-as-a-mark": (r"^daemon .* (status \"200 Error\"|answer marks.*) \| status: .* → 'HTTP/1.1 200 Error'",),
    "error-override": (
        r"^daemon .* error override.* \| header (X-A|Set-Cookie|ETag|X-Second): \[\] → ",
        r"^embedded .* error override.* \| (status: 'HTTP/1.1 (500 Sorry|404 Not Here)'|header Content-|body: b'hello')",
    ),
    # What start_response takes
    "status-range": (rf'\| status "(600|999|100|101|103|199|099|000) .*" \| ({REFUSED}|status: \'5\' → \'none\')',),
    "status-nul": (rf'\| status "200 A.u0000B" \| {REFUSED}',),
    "hop-by-hop": (
        rf"\| {HOP_BY_HOP} \| (header [\w-]+: \[.*\] → \[\]|worst level: '-' → 'warn')$",
        r"\| headers transfer-encoding.* \| (end: 'silent' → 'whole'|body: b'.*' → b'hello'|rest: b'hello' → b'')$",
    ),
    "header-name-or-value": (rf"\| headers (nul in value|nul in name|colon in name) \| {REFUSED}",),
    "content-length-value": (rf"\| headers (two lengths|length (empty|plus|blank)) \| {REFUSED}",),
    "started-twice": (
        rf"\| (started|started_in_generator) twice \| {REFUSED}",
        r"\| start_refused twice \| status: 'HTTP/1.1 201 Created' → 'HTTP/1.1 200 OK'",
    ),
    "empty-write": (
        rf"\| started_in_generator write empty, then start \| {REFUSED}",
        r"\| start_refused write empty, then start \| (status|worst level|tracebacks)",
    ),
    "exc-info-value": (
        rf"\| \w+ exc_info (of None|a pair) \| ({REFUSED}|body: b'accepted' → b'TypeError')",
        r"\| start_refused exc_info a str \| body: b'RuntimeError' → b'TypeError'",
    ),
    "start-response-keywords": (r"\| start\w+ keywords \| (status: .* → 'HTTP/1.1 200 OK'|worst level: 'error' → '-'|body: b'TypeError' → b'accepted')",),
    "header-tuple-error": (r"\| start_refused header of (three|one) \| body: b'ValueError' → b'TypeError'",),
    # Request bodies
    "read-none": (
        r"\| body read_none.* \| (status: .* → 'HTTP/1.1 200 OK'|worst level: 'error' → '-')",
        r"\| read (readline|readlines)\(None\).* \| body: b'TypeError' → ",
    ),
    "input-methods": (r"\| read (readinto|attributes).* \| body: ",),
    "malformed-chunks": (
        r"^daemon \| chunked, odd.* \| worst level: 'error' → '-'",
        r"\| chunked, odd( later)? \| body: b'<!DOCTYPE",
        r"\| chunked, odd, unread \| status: 'HTTP/1.1 400 Bad Request' → 'HTTP/1.1 200 OK'",
    ),
    "expect-100": (
        rf"\| {NO_100} \| status: 'HTTP/1.1 (100 Continue' → 'HTTP/1.1 (200 OK|404 Not Here)'|(200 OK|404 Not Here)' → 'none')",
        r"^embedded \| expects 100 at .* \| (header Connection: \[\] → \[' close'\]|end: 'silent' → 'whole')",
    ),
    # The environ and the process
    "server-software": (r"environ SERVER_SOFTWARE: ", r"\| metrics apache description \| (header Content-Length|body): "),
    "errors-stream": (r"environ wsgi.errors: ", r"\| errors (encoding|read|buffer|type|name|isatty|fileno) \| body: "),
    "callable-missing": (
        r"^embedded \| error /no_callable.* \| status: 'HTTP/1.1 404 Not Found' → 'HTTP/1.1 500",
        r"^embedded \| (dispatch|handler) .* \| status: 'HTTP/1.1 404 Not Found' → 'HTTP/1.1 500",
    ),
    "interpreter-names": (
        r"environ path match.* \| environ mod_wsgi.application_group: ",
        r"environ (absolute URI|host with port) \| environ mod_wsgi.application_group: \['str', 'localhost:\d+\|/sub'\]",
    ),
    "user-packages": (r"^(embedded|modes) \| python flags \| body: .*no_user_site=1",),
    "process-state": (r"^(daemon|embedded) \| python (cwd|environment|globals) \| ",),
    "two-modes": (
        r"^modes \| python (cwd|environment) \| ",
        r"^modes \| (event plain: started|metrics (again|counts|module)) \| (header Content-Length|body): ",
    ),
    "python-modules": (r"\| python mod_wsgi \| body: ",),
    "subscribers": (r"\| metrics subscribe, not callable \| ",),
    "application-start": (r"\| event plain: application_start \| ",),
    "event-status": (r"\| event text: status \| body: b'\[200\]' → b'\[500\]'",),
    "input-reads": (r"^embedded \| event reads: input \| body: ",),
    "no-start": (r"\| event no start: exception \| (header Content-Length|body): ",),
    # The log
    "whole-traceback": (r"tracebacks: 0 → [13]",),
    "import-errors": (r"\| error /import_error.* \| tracebacks: 1 → 0",),
    "level-of-print": (r"\| errors sys.stdout \| (says|worst level): ",),
    "lines-of-errors": (r"\| errors (write, flush|surrogate|nul|longer) \| (says|body): ",),
    "level-of-refusals": (
        r"\| (over the limit|expects 100 at /limited|conditional Range: bytes=9-) \| worst level: '-' → 'error'",
        r"\| (transfer-encoding gzip, chunked|file only read.*) \| worst level: 'error' → '-'",
    ),
    "refused-signals": (r"\| python signal \| worst level: ",),
    # Access control, dispatch and handlers
    "broken-access": (
        r"\| access .* \| status: 'HTTP/1.1 403 Forbidden' → 'HTTP/1.1 500",
        r"\| group .* \| status: 'HTTP/1.1 (401 Unauthorized|200 OK)' → 'HTTP/1.1 500",
        r"\| group (groups nul|no-function any ann) \| worst level: '-' → 'error'",
    ),
    "broken-dispatch": (r"\| dispatch (no-script|syntax) \| status: 'HTTP/1.1 200 OK' → 'HTTP/1.1 500",),
    "group-decision": (r"\| group (lines|not) .* \| worst level: 'error' → '-'", r"\| access any False \| worst level: '-' → 'error'"),
    "text-in-utf-8": (
        r"\| \w+ environ arguments: ",
        r"\| (digest utf-8|group groups euro|group utf-8 groups latin-1 bob) \| (status: .* → 'HTTP/1.1 200 OK'|worst level: 'error' → '-')",
        r"\| dispatch application_group (euro text|surrogate) \| (status: .* → 'HTTP/1.1 200 OK'|worst level: 'error' → '-')",
        r"\| dispatch application_group utf-8 bytes \| environ mod_wsgi.application_group: ",
        r"\| basic surrogate \| (status: .* → 'HTTP/1.1 200 OK'|worst level: 'error' → '-')",
        r"\| (basic credentials|group latin-1) .* \| environ REMOTE_USER: ",
    ),
    "names-of-bytes": (r"\| basic (utf-8 )?bytes \| (status: .* → 'HTTP/1.1 200 OK'|worst level: 'error' → '-')",),
    "names-with-nul": (rf"\| (basic nul|dispatch application_group nul) \| {REFUSED}",),
    "realm-hash": (r"\| digest .* \| status: 'HTTP/1.1 401 Unauthorized' → 'HTTP/1.1 500 Internal Server Error'",),
    "callable-forms": (rf"\| dispatch callable_object (global|server|resource|unknown form) \| {REFUSED}",),
    "asked-in-a-group": (r"^daemon .* \w+ environ mod_wsgi.process_group: \['str', ''\] → \['str', 'site'\]",),
    "proxy-header": (r"\| access environ headers \| allow_access environ HTTP_PROXY: ",),
    "dispatch-environ": (
        r"\| dispatch environ.* \| \w+ environ (apache|mod_wsgi).version: None → ",
        r"\| dispatch environ.* \| \w+ environ mod_wsgi.x-\w+: .* → None",
    ),
    "handler-interpreter": (r"\| handler .* \| environ mod_wsgi.application_group: .* → \['str', 'localhost\|/.*/apps/access.wsgi'\]",),
    # Trusted proxies
    "proxy-look-alikes": (r"\| proxy .* headers unknown there \| environ HTTP_(FORWARDED|X_FORWARDED_PREFIX): \['str', .*\] → None",),
    "proxy-values": (
        r"\| proxy .* (client )?(IPv6 in brackets|IPv6 and port|port|unknown|unknown, then a proxy|a name|quotes|number|too large) \| environ REMOTE_ADDR: ",
        r"\| proxy near, client proxy with port \| environ (REMOTE_ADDR|HTTP_X_FORWARDED_FOR): ",
        r"\| proxy .*host 'a[ /]b' \| environ HTTP_HOST: .* → \['str', 'localhost'\]",
        r"\| proxy .*port '(0|99999|word|-1)' \| environ SERVER_PORT: .* → \['str', '80'\]",
        r"\| proxy .*script-name 'shop' \| environ (SCRIPT_NAME|mod_wsgi.mount_point): \['str', 'shop'\] → ",
    ),
    "proxy-nothing": (
        r"\| proxy .*(''|empty|commas) \| environ HTTP_X_\w+: \['str', '[ ,]*'\] → None",
        r"\| proxy .*(''|empty) \| environ (REMOTE_ADDR|HTTP_HOST|SERVER_NAME|SERVER_PORT|SCRIPT_NAME|mod_wsgi.mount_point): \['str', ''\] → ",
    ),
    "proxy-lists": (
        r"\| proxy .*x-(client|real)-ip (by proxies|IPv6) \| environ (REMOTE_ADDR|HTTP_X_\w+): \['str', '[^']*, [^']*'\] → ",
        r"\| proxy .*'\S+, \S+' \| environ (HTTP_HOST|SERVER_NAME|SERVER_PORT|SCRIPT_NAME|mod_wsgi.mount_point): \['str', '[^']*, [^']*'\] → ",
        r"\| proxy .*'\S+, \S+' \| environ wsgi.url_scheme: \['str', 'http'\] → \['str', 'https'\]",
    ),
    "proxy-mount": (r"\| proxy .*script-name '[^',]*/[^',]*' \| environ (SCRIPT_NAME|mod_wsgi.mount_point): ",),
    "proxy-wss": (r"\| proxy .* 'wss' \| environ wsgi.url_scheme: \['str', 'http'\] → \['str', 'https'\]",),
}
