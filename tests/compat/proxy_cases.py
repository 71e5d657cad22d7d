"""Headers of trusted proxies: the configuration and the requests of the comparison."""

from __future__ import annotations

from cases import Case, request

ALL = ("X-Forwarded-For X-Client-IP X-Real-IP X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port X-Script-Name "
       "X-Forwarded-Script-Name X-Forwarded-Proto X-Forwarded-Scheme X-Scheme X-Forwarded-HTTPS X-Forwarded-SSL X-HTTPS")  # fmt: skip
NEAR, FAR = "127.0.0.1 10.0.0.0/8 2001:db8::/32", "192.0.2.0/24"

# Each place: the headers that are listed there, and the proxies.
PLACES = {
    "usual": ("X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto", ""),
    "near": ("X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto", NEAR),
    "far": ("X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto", FAR),
    "near-all": (ALL, NEAR),
    "far-all": (ALL, FAR),
    "only-proxies": ("", NEAR),
    "two-lines": ("X-Forwarded-For X-Forwarded-Host\n    WSGITrustedProxyHeaders X-Real-IP X-Forwarded-Proto", ""),
    "near/inner": ("X-Real-IP", ""),
    "far/inner": ("X-Real-IP", "127.0.0.1"),
    "lower-case": (ALL.lower(), ""),
    "reversed": (" ".join(reversed(ALL.split())), ""),
    **{name.lower(): (name, "") for name in ALL.split()},
    **{f"near-{name.lower()}": (name, NEAR) for name in ALL.split()},
}
CONFIGURATION = "WSGIScriptAlias /proxied \"@ROOT@/apps/environ.wsgi\"\n" + "".join(
    f"<Location /proxied/{place}>\n"
    + (f"    WSGITrustedProxyHeaders {headers}\n" if headers else "")
    + (f"    WSGITrustedProxies {proxies}\n" if proxies else "")
    + "</Location>\n"
    for place, (headers, proxies) in PLACES.items()
)

ADDRESSES = {
    "one": "192.0.2.7",
    "two": "192.0.2.7, 203.0.113.5",
    "by proxies": "6.6.6.6, 192.0.2.7, 10.0.0.8, 10.0.0.9",
    "proxies only": "10.0.0.8, 10.0.0.9",
    "without blanks": "6.6.6.6,192.0.2.7,10.0.0.8",
    "empty entries": " , ,192.0.2.7,, 10.0.0.8,",
    "empty": "",
    "commas": ", ,",
    "IPv6": "2001:470::7, 2001:db8::1",
    "IPv6 in brackets": "[2001:470::7]",
    "IPv6 and port": "[2001:470::7]:4711",
    "IPv4 in IPv6": "::ffff:192.0.2.7",
    "port": "192.0.2.7:4711",
    "proxy with port": "192.0.2.7, 10.0.0.8:80",
    "unknown": "unknown",
    "unknown, then a proxy": "192.0.2.7, unknown, 10.0.0.8",
    "a name": "client.example",
    "quotes": '"192.0.2.7"',
    "number": "3221225991",
    "too large": "300.1.2.3",
    "long": ", ".join(["192.0.2.7"] * 300),
}
# Values, by the headers of one kind.
VALUES = {
    "X-Forwarded-Host X-Host": ("shop.example", "shop.example:8443", "shop.example, inner.example", "", "a b", "a/b", "[2001:db8::1]:80", "SHOP.example"),
    "X-Forwarded-Server": ("shop.example", "shop.example:81", "a.example, b.example", ""),
    "X-Forwarded-Port": ("8443", "443", "0", "99999", "word", "", " 80 ", "80, 81", "-1"),
    "X-Script-Name X-Forwarded-Script-Name": ("/shop", "/shop/", "/", "", "shop", "//shop//a", "/shop, /other", "/proxied", "/a b", "/a?b"),
    "X-Forwarded-Proto X-Forwarded-Scheme X-Scheme": ("https", "http", "HTTPS", "wss", "https, http", "http, https", "on", "1", "", "ftp"),
    "X-Forwarded-HTTPS X-Forwarded-SSL X-HTTPS": ("on", "On", "off", "true", "TRUE", "1", "0", "https", "yes", "", "on, off"),
}
MISLEADING = [
    "X-Forwarded-For: 6.6.6.6", "X-Client-IP: 6.6.6.7", "X-Real-IP: 6.6.6.8", "X-Forwarded-Host: evil.example", "X-Host: evil2.example",
    "X-Forwarded-Server: evil3.example", "X-Forwarded-Port: 666", "X-Script-Name: /evil", "X-Forwarded-Script-Name: /evil2",
    "X-Forwarded-Proto: https", "X-Forwarded-Scheme: http", "X-Scheme: https", "X-Forwarded-HTTPS: on", "X-Forwarded-SSL: off", "X-HTTPS: 1",
]  # fmt: skip
UNKNOWN_THERE = ["Forwarded: for=6.6.6.6;host=evil.example;proto=https", "X-Forwarded-Prefix: /evil"]


def all_cases() -> list[Case]:
    def case(name: str, place: str, *lines: str) -> Case:
        return Case(f"proxy {name}", request(f"/proxied/{place}/x?y", *lines))

    found = [case(f"{place}, no header", place) for place in ("usual", "near", "far")]
    # Who is believed, and what is hidden
    found += [case(f"{place}, all headers", place, *MISLEADING) for place in PLACES]
    found += [case(f"{place}, headers unknown there", place, *UNKNOWN_THERE) for place in ("usual", "near", "far")]
    found += [case(f"{place}, look-alikes", place, "X_Forwarded_For: 6.6.6.6", "X.Real.IP: 6.6.6.6") for place in ("usual", "far")]
    # Addresses
    for place in ("usual", "near", "far"):
        found += [case(f"{place}, client {name}", place, f"X-Forwarded-For: {value}") for name, value in ADDRESSES.items()]
    found += [
        case(f"{place}, two lines of clients", place, "X-Forwarded-For: 6.6.6.6, 192.0.2.7", "X-Forwarded-For: 10.0.0.8") for place in ("usual", "near")
    ]
    for header in ("X-Client-IP", "X-Real-IP"):
        for name in ("one", "by proxies", "IPv6", "port", "unknown", "empty"):
            for place in (header.lower(), f"near-{header.lower()}"):
                found.append(case(f"{place} {name}", place, f"{header}: {ADDRESSES[name]}"))
    # Other values
    for headers, values in VALUES.items():
        for header in headers.split():
            for place in (header.lower(), f"near-{header.lower()}"):
                found += [case(f"{place} {value!r}", place, f"{header}: {value}") for value in values]
    # The mount and the path
    found += [
        Case(f"proxy mount {path}", request(path, "X-Script-Name: /shop"))
        for path in ("/proxied/x-script-name", "/proxied/x-script-name/", "/proxied//x-script-name//a", "/proxied/x-script-name/a%20b")
    ]
    found.append(case("mount of the script", "x-script-name", "X-Script-Name: /proxied"))
    return found
