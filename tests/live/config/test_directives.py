"""Every directive, in every place, with good and bad words: httpd takes it, or says file, line, directive and cure.

The table below has a row for each directive that the module brings (`httpd -L`). `httpd -t` is the judge; for `.htaccess`
files, requests are. And the reference page has the names that the module has, and those that existing configurations use.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field

import pytest

from httpd import USUAL_MODULES, Httpd
from machine import PROJECT
from test_config_errors import place_of
from test_option_values import documented

pytestmark = [pytest.mark.ours, pytest.mark.any_mpm]

# Each place: the lines around a directive, and what is said of one that must not stand there.
PLACES = {
    "server": "{}",
    "host": "<VirtualHost *:1>\n{}\n</VirtualHost>",
    "directory": "<Directory @ROOT@/htdocs>\n{}\n</Directory>",
    "location": "<Location /x>\n{}\n</Location>",
    "files": '<Files "*.wsgi">\n{}\n</Files>',
    "directory in a host": "<VirtualHost *:1>\n<Directory @ROOT@/htdocs>\n{}\n</Directory>\n</VirtualHost>",
    "interpreters": "<WSGIInterpreterOptions process-group=a>\n{}\n</WSGIInterpreterOptions>",
}
SECTIONS = {"directory", "location", "files", "directory in a host"}
GLOBAL = {"server"}
HOST = {"server", "host"}
SECTION = HOST | SECTIONS
INTERPRETERS = {"server", "interpreters"}


@dataclass
class Row:
    """A directive: where it may stand, words that it takes, and words that it refuses with what is said of them."""

    places: set[str]
    good: list[str]
    bad: dict[str, str] = field(default_factory=dict)
    # Fewest and most words; None where any number is taken.
    words: tuple[int, int | None] = (1, 1)
    # The class of AllowOverride that lets it into .htaccess files.
    override: str | None = None

    def wrong(self) -> dict[str, str]:
        """All that it refuses, the number of words included."""
        fewest, most = self.words
        sample = self.good[-1].split()
        counts = {" ".join(sample[:count]): f"found {count}: write " for count in range(fewest)}
        if most is not None:
            counts[" ".join([*sample[:1] * most, "more"])] = f"found {most + 1}: write "
        return counts | {f'{self.good[0]} "open': "is not closed"} | self.bad


def flag(places: set[str], override: str | None = None) -> Row:
    bad = {word: f"expected On or Off, found '{word.strip(chr(34))}'" for word in ("yes", "1", "OnOff", '""', "x" * 5000)}
    return Row(places, ["On", "oFF"], bad, override=override)


def script(places: set[str], override: str | None, options: dict[str, str], first: str = "", unknown: str = "colour") -> Row:
    """A directive of a script with options, after as many words as `first` has and the script."""
    start = f"{first} @APPS@/hello.wsgi".strip()
    good = [start, f"{start} {' '.join(f'{name}={value}' for name, value in options.items())}".strip()]
    bad = {f"{start} {option}": option.partition("=")[0] for option in (f"{unknown}=blue", *options, "=", "colour")}
    return Row(places, good, bad, (len(start.split()), None), override)


EVERYWHERE = {"process-group": "%{GLOBAL}", "application-group": "%{GLOBAL}"}
ALIAS = EVERYWHERE | {"callable-object": "app", "pass-authorization": "On"}
NUMBER = "expected a whole number from"
ROWS = {
    "WSGIScriptAlias": script(HOST, None, ALIAS, "/a"),
    "WSGIScriptAliasMatch": script(HOST, None, ALIAS, "^/m/([^/]+)"),
    "WSGIDaemonProcess": Row(
        HOST,
        ["group-@N@", 'group-@N@ threads=2 "env=A=b c"'],
        {
            "x colour=blue": "there is no option 'colour'",
            "x thread=5": "did you mean 'threads'?",
            "x threads": "option 'threads' has no value",
            "x threads=many": "option 'threads': expected a whole number",
            f"x threads={'9' * 5000}": "option 'threads': expected a whole number",
            "x blue": "'blue' is not of the form option=value",
        },
        (1, None),
    ),
    "WSGIImportScript": Row(
        HOST,
        ["@APPS@/hello.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}"],
        {
            "/x": "process-group is missing",
            "/x process-group=a": "application-group is missing",
            "/x process-group=%{HOST} application-group=a": "process-group depends on a request",
            "/x process-group=a application-group=a callable-object=b": "'callable-object=b' is no option",
        },
        (1, None),
    ),
    "WSGIProcessGroup": Row(SECTION, ['"two words"', "%{ENV:GROUP}", "%{GLOBAL}"]),
    "WSGIApplicationGroup": Row(SECTION, ["%{GLOBAL}", "%{RESOURCE}", "blog"]),
    "WSGIRestrictProcess": Row(SECTION, ["%{GLOBAL}", "a b %{GLOBAL}"], words=(1, None)),
    "WSGICallableObject": Row(SECTION, ["application", "%{ENV:NAME}"], override="FileInfo"),
    "WSGIPassAuthorization": flag(SECTION, "FileInfo"),
    "WSGIScriptReloading": flag(SECTION, "FileInfo"),
    "WSGIErrorOverride": flag(SECTION, "FileInfo"),
    "WSGIChunkedRequest": Row(
        SECTION, ["Off", "On", "buffered"], {"Auto": "expected On, Off or Buffered, found 'Auto'"}, override="FileInfo"
    ),
    "WSGIBufferedRequest": Row(
        SECTION,
        ["Off", "0", "512K"],
        dict.fromkeys(["On", "1MB", "-1", "1.5M", "9" * 30, '""'], "expected a size such as"),
        override="FileInfo",
    ),
    "WSGIMapHEADToGET": Row(
        SECTION, ["Off", "On", "auto"], {"maybe": "expected Off, On or Auto, found 'maybe'"}, override="FileInfo"
    ),
    "WSGIEnableSendfile": flag(SECTION, "FileInfo"),
    "WSGIIgnoreActivity": flag(SECTION, "FileInfo"),
    "WSGIPassApacheRequest": flag(SECTION),
    "WSGITrustedProxyHeaders": Row(
        SECTION, ["X-Forwarded-For", "forwarded X-HTTPS", "X-Unknown"], words=(1, None), override="FileInfo"
    ),
    "WSGITrustedProxies": Row(
        SECTION,
        ["10.1.2.3", "10.1 10.1.2.0/24 10.1.2.0/255.255.255.0 ::1 2001:db8::/32"],
        {f"10.1.2.3 {word}": "is no network" for word in ["proxy.example", "10.0.0.0/33", "::1/129", "*", '""', "1" * 5000]},
        (1, None),
        "FileInfo",
    ),
    "WSGIRestrictEmbedded": flag(GLOBAL),
    "WSGIServerMetrics": flag(GLOBAL),
    "WSGICaseSensitivity": flag(GLOBAL),
    "WSGISocketPrefix": Row(GLOBAL, ["run/x", "@ROOT@/run/wsgi"]),
    "WSGISocketRotation": flag(GLOBAL),
    "WSGIAcceptMutex": Row(
        GLOBAL,
        ["default", "flock", "fcntl", "sysvsem", "posixsem", "pthread"],
        {"spin": "found 'spin': remove the line", "sem:/x": "found 'sem:/x'"},
    ),
    "WSGIPythonHome": Row(GLOBAL, ["@ROOT@"]),
    "WSGIPythonPath": Row(INTERPRETERS, ["@APPS@", "@APPS@:@ROOT@"]),
    "WSGIPythonEggs": Row(GLOBAL, ["@ROOT@"]),
    "WSGIPythonWarnings": Row(GLOBAL, ["ignore", "error::DeprecationWarning"]),
    "WSGIPythonOptimize": Row(
        GLOBAL, ["0", "1", "2"], {word: f"{NUMBER} 0 to 2, found '{word}'" for word in ("3", "-1", "1.5", "O", "9" * 30)}
    ),
    "WSGIPythonHashSeed": Row(
        GLOBAL,
        ["random", "0", "4294967295"],
        {word: f"{NUMBER} 0 to 4294967295, found '{word}', or random" for word in ("4294967296", "-1", "Random", "0x1")},
    ),
    "WSGIDontWriteBytecode": flag(GLOBAL),
    "WSGISwitchInterval": Row(
        INTERPRETERS,
        ["0.005", "1"],
        dict.fromkeys(["0", "-1", "5ms", "nan", "inf", "soon"], "expected seconds greater than zero, such as 0.005"),
    ),
    "WSGIDestroyInterpreter": flag(GLOBAL),
    "<WSGIInterpreterOptions": Row(
        GLOBAL,
        ["", "process-group=a", "process-group=%{GLOBAL} application-group=%{GLOBAL}"],
        {
            "threads=1": "'threads=1' is no option of <WSGIInterpreterOptions>",
            "process-group": "process-group must be a fixed name",
            "process-group=%{HOST}": "process-group must be a fixed name",
            "application-group=": "application-group must be a fixed name",
        },
        (0, None),
    ),
    "WSGIPerInterpreterGIL": flag(INTERPRETERS),
    "WSGIFreeThreading": flag(INTERPRETERS),
    "WSGIRestrictStdin": flag(INTERPRETERS),
    "WSGIRestrictStdout": flag(INTERPRETERS),
    "WSGIRestrictSignal": flag(INTERPRETERS),
    "WSGITelemetryService": Row(
        GLOBAL,
        ["unix:/run/t.sock", "unix:/run/t.sock interval=0.5"],
        {
            "/run/t.sock": "expected unix:/path of a socket, found '/run/t.sock'",
            "udp:localhost:80": "expected unix:/path of a socket",
            "unix:": "expected unix:/path of a socket",
            "unix:/t every=1": "'every=1' is no option",
            "unix:/t interval=0.4": "expected at least 0.5 seconds, found '0.4'",
            "unix:/t interval=1x": "option 'interval': expected seconds",
        },
        (1, 2),
    ),
    "WSGISlowRequests": Row(
        GLOBAL, ["0", "2.5"], dict.fromkeys(["-1", "5x", "nan", "soon"], "expected seconds, such as 2 or 0.5, found")
    ),
    "WSGITelemetryOptions": Row(
        GLOBAL,
        ["None", "All", "CaptureUserAgent", "+CaptureUserAgent -CaptureUserAgent"],
        {
            **{word: f"found '{word}'" for word in ("+", "-", "+All", "CaptureCookies")},
            "None +CaptureUserAgent": "exclude each other",
        },
        (1, None),
    ),
    "WSGIVerboseDebugging": flag(GLOBAL),
    "WSGILazyInitialization": flag(GLOBAL),
    "WSGIPy3kWarningFlag": flag(GLOBAL),
    "WSGIPythonExecutable": Row(GLOBAL, ["/usr/bin/python"]),
    "WSGINewRelicConfigFile": Row(GLOBAL, ["/etc/newrelic.ini"]),
    "WSGINewRelicEnvironment": Row(GLOBAL, ["production"]),
    "WSGIReloadMechanism": Row(
        SECTION, ["Module", "Interpreter", "process"], {"Thread": "expected one of Module"}, override="FileInfo"
    ),
    "WSGIOutputBuffering": flag(SECTION, "FileInfo"),
    "WSGIApacheExtensions": flag(SECTION, "FileInfo"),
    "WSGIGroupAuthoritative": flag(SECTIONS, "AuthConfig"),
    "WSGIAccessScript": script(SECTIONS, "AuthConfig", EVERYWHERE),
    "WSGIAuthUserScript": script(SECTIONS, "AuthConfig", EVERYWHERE),
    "WSGIAuthGroupScript": script(SECTIONS, "AuthConfig", EVERYWHERE),
    "WSGIHandlerScript": script(SECTION, None, EVERYWHERE | {"pass-authorization": "On"}, "some-handler", "callable-object"),
    "WSGIDispatchScript": script(SECTION, None, EVERYWHERE, unknown="callable-object"),
}
# Of httpd's own, and ours: the directive is named, and where it should stand, or that it must not stand here.
MISPLACED = r"not allowed (here|in <)|cannot occur within|move it out"
# A small httpd reads its configuration quickly.
OTHER_MODULES = tuple({*USUAL_MODULES} - {"authz_core", "authz_host", "mime"})


@pytest.fixture(scope="module")
def server(serve) -> Httpd:
    """Its files, written anew for each `httpd -t`."""
    return serve.prepare("", without=OTHER_MODULES)


@pytest.fixture(scope="module")
def brought(server) -> set[str]:
    """The names of the module's directives, as httpd lists them."""
    server.write_configuration("")
    done = subprocess.run(server._command("-L"), capture_output=True, text=True, env=server._environment())
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^(<?WSGI\w+) \(mod_wsgi\.c\)$", done.stdout, re.MULTILINE))


def line_of(name: str, words: str) -> str:
    if name.startswith("<"):
        return f"{name} {words}>\n</{name[1:]}>"
    return f"{name} {words}"


def read(server: Httpd, text: str) -> tuple[int, str]:
    server.write_configuration(f"# in front of it\n{text}\n# and after it\n")
    return server.configtest()


def refused(server: Httpd, place: str, name: str, words: str, said: str) -> None:
    line = line_of(name, words)
    status, answer = read(server, PLACES[place].format(line))
    what = f"{place}: {line[:200]}: {answer[:500]}"
    assert status != 0, f"taken: {what}"
    assert re.search(said, answer), f"not {said!r}: {what}"
    assert re.search(rf"{re.escape(name)}\b", answer), what
    assert re.search(place_of(server, server.fill_in(line.splitlines()[0])), answer), what


def test_the_table_has_every_directive(brought: set[str]):
    assert brought == ROWS.keys(), "write a row for each directive"


def test_good_words_are_taken_in_every_place(server: Httpd):
    for place, around in PLACES.items():
        rows = [(name, row) for name, row in ROWS.items() if place in row.places]
        lines = [line_of(name, words) for name, row in rows for words in row.good]
        lines = [line.replace("@N@", str(number)) for number, line in enumerate(lines)]
        status, said = read(server, around.format("\n".join(lines)))
        assert status == 0, f"{place}: {said}"


@pytest.mark.parametrize("name", ROWS)
def test_a_forbidden_place_is_refused(server: Httpd, name: str):
    row = ROWS[name]
    for place in PLACES.keys() - row.places:
        refused(server, place, name, row.good[0].replace("@N@", "x"), MISPLACED)


@pytest.mark.parametrize("name", ROWS)
def test_wrong_words_are_refused(server: Httpd, name: str):
    row = ROWS[name]
    place = "server" if "server" in row.places else "directory"
    for words, said in row.wrong().items():
        refused(server, place, name, words.replace("@N@", "x"), re.escape(said))


# Other mistakes

SECTION_OF_OURS = "<WSGIInterpreterOptions>\n</WSGIInterpreterOptions>"
STRAYS = [
    (f"<VirtualHost *:1>\n{SECTION_OF_OURS}\n</VirtualHost>", 2, "move it out of <VirtualHost>"),
    (f"<WSGIInterpreterOptions>\n{SECTION_OF_OURS}\n</WSGIInterpreterOptions>", 2, "move it out"),
    ("<WSGIInterpreterOptions>\nWSGIRestrictStdin On", 1, "was not closed"),
    ("<WSGIInterpreterOptions process-group=a\n</WSGIInterpreterOptions>", 1, "closing '>'"),
    ("</WSGIInterpreterOptions>", 1, "without matching|but was not"),
    ("WSGIDaemonProcess a\nWSGIDaemonProcess a", 2, "process group 'a' is already"),
    ("WSGIScriptAlias /a", 1, "WSGIScriptAlias"),
    ("WSGINoSuchDirective On", 1, "Invalid command 'WSGINoSuchDirective'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), STRAYS)
def test_strays(server: Httpd, text: str, line: int, words: str):
    status, said = read(server, text)
    number = server.last_line_of("# in front of it") + line
    assert status != 0 and re.search(words, said), said
    assert re.search(rf"line {number} of {re.escape(str(server.configuration_file))}|line {number}\b", said), said


TAKEN = "10 10. 10.1 10.1.2. 10.1.2.3 10.1.2.3. 010.1.2.3 10.1.2.3/32 10.1.2.3/255.0.255.0 ::1 ::/1 2001:db8::/32"
REFUSED = "10/8 10.1/16 10.1.2.3/0 10.1.2.3/33 10.1.2.3/ 10.1.2.3/8x 10.1.2.3.4 10..1 300.1 ::/0 ::1/129 ::ffff:10.1.2.3 [::1]"


def test_networks_are_those_of_require_ip(server: Httpd):
    for words, taken in [(TAKEN, True), *((word, False) for word in REFUSED.split())]:
        ours = read(server, f"WSGITrustedProxies {words}")
        httpds = read(server, f"<Location />\nRequire ip {words}\n</Location>")
        assert (ours[0] == 0, httpds[0] == 0) == (taken, taken), f"{words}: {ours} {httpds}"


# .htaccess files


@pytest.fixture(scope="module")
def directories(serve) -> Httpd:
    """A folder for each class of AllowOverride, directive and kind of words, with a `.htaccess` file and a page."""
    server = serve.prepare(
        "".join(
            f"<Directory @ROOT@/htdocs/{override}>\nAllowOverride {override}\n</Directory>\n"
            for override in ("None", "FileInfo", "AuthConfig")
        ),
        without=OTHER_MODULES,
    )
    for override in ("None", "FileInfo", "AuthConfig"):
        for name in ROWS:
            for kind, line in htaccess_lines(name, override).items():
                folder = server.root / "htdocs" / override / f"{name.strip('<')}-{kind}"
                folder.mkdir(parents=True)
                (folder / "page").write_text("the page")
                (folder / ".htaccess").write_text(server.fill_in(line) + "\n")
    return server.start()


def htaccess_lines(name: str, override: str) -> dict[str, str]:
    row = ROWS[name]
    lines = {"good": line_of(name, row.good[0].replace("@N@", "x"))}
    if row.override == override:
        lines |= {f"wrong-{number}": line_of(name, words) for number, words in enumerate(row.wrong())}
    return lines


def words_about(name: str, kind: str) -> str:
    return "not allowed here" if kind == "good" else [*ROWS[name].wrong().values()][int(kind.partition("-")[2])]


@pytest.mark.parametrize("override", ["None", "FileInfo", "AuthConfig"])
def test_htaccess(directories: Httpd, override: str):
    log = len(directories.error_log())
    expected = {}
    with directories.client() as client:
        for name in ROWS:
            for kind in htaccess_lines(name, override):
                place = f"{override}/{name.strip('<')}-{kind}"
                taken = override == "None" or (kind == "good" and ROWS[name].override == override)
                status = client.get(f"/{place}/page").status_code
                # Where the script of an access control is taken it is asked, in a Python that this httpd has not.
                assert status == (200 if taken and (override, name) != ("AuthConfig", "WSGIAccessScript") else 500), place
                expected[place] = None if taken else (name, words_about(name, kind))
    said = directories.error_log()[log:].splitlines()
    for place, words in expected.items():
        about = [line for line in said if f"{directories.root}/htdocs/{place}/.htaccess: " in line]
        assert bool(about) == bool(words) and (not words or all(word in about[0] for word in words)), f"{place}: {about}"


# Names


def test_page_module_and_existing_configurations_agree(brought: set[str]):
    page = (PROJECT / "docs/directives.md").read_text().partition("## WSGIDaemonProcess options")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(<?WSGI\w+)>?`", cell)}
    assert named == brought
    assert set(DIRECTIVES.split()) <= brought
    assert len(DIRECTIVES.split()) == 49


def test_every_option_of_existing_configurations_is_there():
    assert len(set(OPTIONS.split())) == 44 and set(OPTIONS.split()) <= set(documented())


# Of mod_wsgi 6.1.
DIRECTIVES = """
WSGIScriptAlias WSGIScriptAliasMatch WSGIProcessGroup WSGIApplicationGroup WSGICallableObject WSGIRestrictProcess
WSGIHandlerScript WSGIDispatchScript WSGIImportScript WSGICaseSensitivity WSGIDaemonProcess WSGISocketPrefix
WSGISocketRotation WSGIAcceptMutex WSGIPythonHome WSGIPythonPath WSGIPythonEggs WSGIPythonWarnings WSGIPythonOptimize
WSGIPythonHashSeed WSGIDontWriteBytecode WSGISwitchInterval WSGIDestroyInterpreter WSGIPerInterpreterGIL
WSGIFreeThreading <WSGIInterpreterOptions WSGIRestrictEmbedded WSGIRestrictStdin WSGIRestrictStdout WSGIRestrictSignal
WSGIVerboseDebugging WSGIPassAuthorization WSGIPassApacheRequest WSGIScriptReloading WSGIErrorOverride
WSGIChunkedRequest WSGIMapHEADToGET WSGIIgnoreActivity WSGITrustedProxyHeaders WSGITrustedProxies WSGIEnableSendfile
WSGIAccessScript WSGIAuthUserScript WSGIAuthGroupScript WSGIGroupAuthoritative WSGIServerMetrics WSGITelemetryService
WSGISlowRequests WSGITelemetryOptions
"""
OPTIONS = """
user group supplementary-groups processes threads umask chroot home lang locale python-home python-path python-eggs
switch-interval stack-size maximum-requests startup-timeout shutdown-timeout deadlock-timeout inactivity-timeout
request-timeout interrupt-timeout graceful-timeout eviction-timeout restart-interval connect-timeout socket-timeout
queue-timeout listen-backlog display-name send-buffer-size receive-buffer-size header-buffer-size response-buffer-size
response-socket-timeout response-flush-delay socket-user script-user script-group cpu-time-limit cpu-priority
memory-limit virtual-memory-limit server-metrics
"""
