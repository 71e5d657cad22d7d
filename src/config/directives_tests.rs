//! Unit tests of `directives` and `actions`, and the way other tests read a configuration.

use super::*;
use crate::config::alias::Pattern;
use crate::config::global::{GlobalConfig, HashSeed, ServerConfig};
use crate::config::interpreter::{InterpreterOptions, Layers, options_of};
use crate::config::options::tests::TestAccounts;
use crate::config::process_group::Origin;
use crate::config::settings::{Chunked, MapHead, Settings};

/// One server as directives fill it.
#[derive(Default)]
pub struct Site {
    pub settings: Settings,
    pub server: ServerConfig,
    pub notes: Vec<Message>,
    pub virtual_host: bool,
    pub in_htaccess: bool,
    /// As `Context::interpreters`.
    pub interpreters: Option<String>,
    pub line: u32,
}

impl Site {
    /// Reads one line of configuration; its result is what httpd would get.
    pub fn read(&mut self, global: &mut GlobalConfig, text: &str) -> Result<(), String> {
        self.read_in(global, None, text)
    }

    pub fn read_in(
        &mut self,
        global: &mut GlobalConfig,
        section: Option<&str>,
        text: &str,
    ) -> Result<(), String> {
        self.line += 1;
        let mut inner = Settings::default();
        let (name, args) = text.split_once(' ').unwrap_or((text, ""));
        let directive = TABLE.iter().find(|row| row.name() == name).expect("a known directive");
        let mut context = Context {
            settings: if section.is_some() { &mut inner } else { &mut self.settings },
            server: &mut self.server,
            global,
            origin: Origin { file: "site.conf".to_string(), line: self.line },
            section: section.map(str::to_string),
            interpreters: self.interpreters.clone(),
            in_htaccess: self.in_htaccess,
            inside_virtual_host: self.virtual_host,
            accounts: &TestAccounts { root: false },
            resolve_path: &|path| {
                if path.starts_with('/') { path.to_string() } else { format!("/etc/httpd/{path}") }
            },
            notes: &mut self.notes,
        };
        directive.apply(&mut context, args)
    }
}

fn read(lines: &[&str]) -> (Site, GlobalConfig) {
    let (mut site, mut global) = (Site::default(), GlobalConfig::default());
    for line in lines {
        site.read(&mut global, line).unwrap();
    }
    (site, global)
}

fn error(line: &str) -> String {
    Site::default().read(&mut GlobalConfig::default(), line).unwrap_err()
}

#[test]
fn names_are_unique_and_usages_are_given() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(TABLE[..index].iter().all(|other| !other.name().eq_ignore_ascii_case(row.name())));
        assert!(!row.usage().is_empty() && row.words.0 <= row.words.1);
    }
}

#[test]
fn aliases_and_their_options() {
    let (site, global) = read(&[
        r#"WSGIScriptAlias /app "/srv/my app.wsgi" process-group=blog application-group=%{GLOBAL}"#,
        "WSGIScriptAliasMatch ^/m/([^/]+) scripts/$1.wsgi callable-object=app pass-authorization=on",
    ]);
    let [first, second] = site.server.aliases.as_slice() else { panic!("two aliases") };
    assert_eq!((first.mount(), first.target.as_str()), ("/app", "/srv/my app.wsgi"));
    assert_eq!(first.options.process_group().fixed(), Some("blog"));
    assert_eq!(first.options.application_group.as_ref().unwrap().fixed(), Some(""));
    assert_eq!(second.pattern, Pattern::Regex { text: "^/m/([^/]+)".into(), slot: 0 });
    assert_eq!(second.target, "/etc/httpd/scripts/$1.wsgi");
    assert_eq!(second.options.pass_authorization, Some(true));
    assert_eq!(second.origin.to_string(), "site.conf:2");
    assert_eq!(&*global.patterns[0], "^/m/([^/]+)");
    assert_eq!(site.server.uses.len(), 2);
    assert!(error("WSGIScriptAlias /a /b process-grup=x").contains("did you mean 'process-group'?"));
    assert!(error("WSGIScriptAlias /a /b process-group").contains("as option=value"));
    assert!(error("WSGIScriptAlias /a /b pass-authorization=1").contains("expected On or Off, found '1'"));
    let (site, _) = read(&["WSGIScriptAlias app /b callable-object=a.b"]);
    let codes: Vec<u16> = site.notes.iter().map(|message| message.code.number()).collect();
    assert_eq!(codes, [118, 117]);
}

#[test]
fn a_site_does_not_ask_httpd_itself_to_take_its_descriptors() {
    for (in_htaccess, line, expected) in [
        (false, "WSGIEnableSendfile On", (Some(true), Some(true))),
        (true, "WSGIEnableSendfile On", (Some(true), None)),
        (true, "WSGIEnableSendfile Off", (Some(false), Some(false))),
    ] {
        let mut site = Site { in_htaccess, ..Site::default() };
        site.read(&mut GlobalConfig::default(), line).unwrap();
        assert_eq!((site.settings.enable_sendfile, site.settings.takes_files), expected);
    }
    let allowed = Settings { takes_files: Some(true), ..Settings::default() };
    assert!(Settings::merge(&allowed, &Settings::default()).takes_files());
    assert!(!Settings::default().takes_files());
}

#[test]
fn settings_of_sections() {
    let (site, _) = read(&[
        "WSGIProcessGroup %{ENV:SITE}",
        "WSGIApplicationGroup %{GLOBAL}",
        "WSGICallableObject app",
        "WSGIRestrictProcess blog %{GLOBAL}",
        "WSGIPassAuthorization On",
        "WSGIScriptReloading off",
        "WSGIErrorOverride On",
        "WSGIChunkedRequest On",
        "WSGIMapHEADToGET auto",
        "WSGIEnableSendfile On",
        "WSGIIgnoreActivity On",
    ]);
    let settings = &site.settings;
    assert_eq!(settings.process_group().to_string(), "%{ENV:SITE}");
    assert!(settings.allows_process_group("") && settings.allows_process_group("blog"));
    assert!(!settings.allows_process_group("shop"));
    assert!(settings.pass_authorization() && !settings.script_reloading() && settings.error_override());
    assert_eq!((settings.chunked_request(), settings.buffered_request()), (Chunked::On, 0));
    assert_eq!((settings.enable_sendfile, settings.ignore_activity), (Some(true), Some(true)));
    assert_eq!(settings.map_head_to_get, Some(MapHead::Auto));
    let (site, _) = read(&["WSGIChunkedRequest buffered", "WSGIBufferedRequest 200K"]);
    let settings = &site.settings;
    assert_eq!((settings.chunked_request(), settings.buffered_request()), (Chunked::Buffered, 200 << 10));
    let (site, _) = read(&["WSGIBufferedRequest off"]);
    assert_eq!(site.settings.buffered_request, Some(0));
    assert!(error("WSGIChunkedRequest 1M").contains("expected On, Off or Buffered"));
    assert!(error("WSGIBufferedRequest On").contains("expected a size such as"));
    assert!(error("WSGIMapHEADToGET maybe").contains("expected Off, On or Auto"));
}

#[test]
fn the_whole_server() {
    let (site, global) = read(&[
        "WSGIPythonHome /opt/py:/opt/py64",
        "WSGIPythonPath /a:/b",
        "WSGIPythonEggs eggs",
        "WSGIPythonWarnings ignore",
        "WSGIPythonWarnings error::DeprecationWarning",
        "WSGIPythonOptimize 2",
        "WSGIPythonHashSeed random",
        "WSGIDontWriteBytecode On",
        "WSGISwitchInterval 0.02",
        "WSGIDestroyInterpreter Off",
        "WSGISocketPrefix run/wsgi",
        "WSGIRestrictEmbedded On",
        "WSGICaseSensitivity Off",
    ]);
    let python = &global.python;
    assert_eq!((python.home.clone(), python.path.len()), (Some("/opt/py".into()), 2));
    assert_eq!((python.warnings.len(), python.optimize, python.write_bytecode), (2, 2, false));
    assert_eq!((python.hash_seed, python.destroy_interpreter), (Some(HashSeed::Random), false));
    let (prefix, origin) = global.socket_prefix.as_ref().unwrap();
    assert_eq!((prefix.to_str(), origin.line), (Some("/etc/httpd/run/wsgi"), 11));
    assert!(global.restrict_embedded && !global.case_sensitive && site.notes.is_empty());
    assert!(error("WSGIPythonHashSeed 4294967296").contains("or random"));
    assert!(error("WSGIPythonOptimize 3").contains("from 0 to 2"));
}

#[test]
fn the_whole_server_is_not_a_virtual_host() {
    let mut site = Site { virtual_host: true, ..Site::default() };
    for row in TABLE.iter().filter(|row| row.scope == Scope::Global) {
        let error = site.read(&mut GlobalConfig::default(), &format!("{} On", row.name())).unwrap_err();
        assert!(error.contains("move it out of <VirtualHost>"), "{error}");
    }
}

#[test]
fn daemon_groups_are_unique_and_remembered() {
    let (mut site, mut global) =
        read(&["WSGIDaemonProcess blog threads=2 user=bob socket-user=bob header-buffer-size=8192"]);
    assert_eq!(site.server.defined, ["blog"]);
    let codes: Vec<u16> = site.notes.iter().map(|message| message.code.number()).collect();
    assert_eq!(codes, [114, 116, 116]);
    let error = site.read(&mut global, "WSGIDaemonProcess blog").unwrap_err();
    assert!(error.starts_with("mod_wsgi_rs: WSGI101: WSGIDaemonProcess: process group 'blog' is already"));
    assert!(error.contains("site.conf:1"), "{error}");
}

#[test]
fn imports_need_fixed_groups() {
    let (_, global) = read(&["WSGIImportScript /s.py process-group=blog application-group=%{GLOBAL}"]);
    assert_eq!((&*global.imports[0].process_group, &*global.imports[0].application_group), ("blog", ""));
    assert!(error("WSGIImportScript /s.py process-group=x").contains("application-group is missing"));
    let dynamic = error("WSGIImportScript /s.py process-group=%{HOST} application-group=x");
    assert!(dynamic.contains("process-group depends on a request"), "{dynamic}");
}

#[test]
fn directives_without_effect_are_accepted_with_one_line() {
    for (line, cure) in [
        ("WSGISocketRotation Off", "remove it"),
        ("WSGIAcceptMutex default", "remove it"),
        ("WSGIVerboseDebugging On", "remove it"),
        ("WSGILazyInitialization On", "remove it"),
        ("WSGIPy3kWarningFlag Off", "remove it"),
        ("WSGIGroupAuthoritative Off", "remove it"),
        ("WSGIOutputBuffering On", "remove it"),
        ("WSGIReloadMechanism process", "remove it"),
        ("WSGIApacheExtensions On", "write WSGIPassApacheRequest"),
        ("WSGIPythonExecutable /usr/bin/python", "python= of WSGIDaemonProcess"),
        ("WSGINewRelicConfigFile /etc/newrelic.ini", "newrelic.agent.initialize"),
        ("WSGINewRelicEnvironment production", "newrelic.agent.initialize"),
        ("WSGITelemetryService unix:/run/t.sock", "mod_wsgi.request_metrics"),
        ("WSGITelemetryService unix:/run/t.sock interval=0.5", "mod_status"),
        ("WSGISlowRequests 0", "request-timeout="),
        ("WSGISlowRequests 2.5", "request-timeout="),
        ("WSGITelemetryOptions None", "remove it"),
        ("WSGITelemetryOptions captureuseragent", "remove it"),
        ("WSGITelemetryOptions +CaptureUserAgent -CaptureUserAgent", "remove it"),
    ] {
        let (site, _) = read(&[line]);
        let [message] = site.notes.as_slice() else { panic!("one note for {line}") };
        assert_eq!((message.level, message.code.number()), (crate::log::Level::Info, 114));
        let text = message.to_string();
        assert!(
            text.contains("at site.conf:1 is accepted, but has no effect") && text.contains(cure),
            "{text}"
        );
    }
}

#[test]
fn their_words_are_checked() {
    for (line, words) in [
        ("WSGIAcceptMutex spin", "found 'spin': remove the line"),
        ("WSGIReloadMechanism Thread", "expected one of Module, Interpreter, Process"),
        ("WSGIOutputBuffering 1", "expected On or Off"),
        ("WSGITelemetryService udp:host:80", "expected unix:/path of a socket, found 'udp:host:80'"),
        ("WSGITelemetryService unix:", "expected unix:/path"),
        ("WSGITelemetryService unix:/t interval=0.4", "at least 0.5 seconds, found '0.4'"),
        ("WSGITelemetryService unix:/t interval=1x", "option 'interval': expected seconds"),
        ("WSGITelemetryService unix:/t every=1", "the only one is interval=seconds"),
        ("WSGITelemetryService unix:/t interval=1 interval=1", "expected 1 to 2 arguments, found 3"),
        ("WSGISlowRequests -1", "expected seconds, such as 2 or 0.5, found '-1'"),
        ("WSGITelemetryOptions +", "found '+'"),
        ("WSGITelemetryOptions +All", "found '+All'"),
        ("WSGITelemetryOptions CaptureCookies", "found 'CaptureCookies'"),
        ("WSGITelemetryOptions None +CaptureUserAgent", "exclude each other"),
    ] {
        assert!(error(line).contains(words), "{}", error(line));
    }
}

#[test]
fn proxies_add_up_within_a_section() {
    let (site, _) = read(&[
        "WSGITrustedProxyHeaders X-Forwarded-For x-forwarded-proto",
        "WSGITrustedProxyHeaders Forwarded",
        "WSGITrustedProxies 10.1 ::1",
        "WSGITrustedProxies 192.0.2.0/24",
    ]);
    let names: Vec<&str> =
        site.settings.proxy_headers.iter().flat_map(|all| all.iter()).map(|one| one.name).collect();
    assert_eq!(names, ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"]);
    assert_eq!(site.settings.proxies.map(|all| all.len()), Some(3));
    let (site, _) = read(&["WSGITrustedProxyHeaders X-Forwarded-Fro X-Mine"]);
    assert_eq!(site.settings.proxy_headers.map(|all| all.len()), Some(0), "it is not as if nothing was said");
    let [message] = site.notes.as_slice() else { panic!("one note") };
    assert_eq!((message.level, message.code.number()), (crate::log::Level::Warning, 127));
    let names = "'X-Forwarded-Fro' (did you mean 'X-Forwarded-For'?), 'X-Mine' are no headers";
    assert!(message.text.contains(names) && message.text.matches("X-Real-IP").count() == 1, "{message}");
    assert!(error("WSGITrustedProxies 10.1.2.3 proxy.example").contains("'proxy.example' is no network"));
}

#[test]
fn relative_paths_are_below_server_root_with_few_exceptions() {
    let (site, global) = read(&[
        "WSGIScriptAlias / a.py",
        "WSGIAccessScript a.py",
        "WSGIAuthUserScript a.py",
        "WSGIAuthGroupScript a.py",
        "WSGIDispatchScript a.py",
        "WSGIHandlerScript x a.py",
        "WSGIImportScript a.py process-group=blog application-group=%{GLOBAL}",
        "WSGISocketPrefix run/wsgi",
        "WSGIPythonHome venv",
        "WSGIPythonEggs eggs",
        "WSGIPythonPath lib",
        "WSGIDaemonProcess blog python-home=venv python=bin/python env-file=env python-eggs=eggs python-path=lib",
    ]);
    let group = &global.groups.groups()[0];
    let scripts = site.server.scripts.iter().map(|script| script.script.as_str());
    let scripts = scripts.chain([site.server.aliases[0].target.as_str(), &global.imports[0].script]);
    assert!(scripts.map(|script| assert_eq!(script, "/etc/httpd/a.py")).count() == 7);
    let found = [
        &global.socket_prefix.unwrap().0,
        &global.python.home.unwrap(),
        &global.python.eggs.unwrap(),
        group.python_home.as_ref().unwrap(),
        group.python.as_ref().unwrap(),
        &group.env_files[0],
        group.python_eggs.as_ref().unwrap(),
    ];
    let below = ["run/wsgi", "venv", "eggs", "venv", "bin/python", "env", "eggs"];
    assert_eq!(found.map(|path| path.strip_prefix("/etc/httpd").unwrap().to_str().unwrap()), below);
    assert_eq!(
        [&global.python.path[0], &group.python_path[0]].map(|path| path.to_str().unwrap()),
        ["lib"; 2]
    );
    for option in ["home", "chroot"] {
        assert!(error(&format!("WSGIDaemonProcess blog {option}=srv")).contains("begins with /"));
    }
}

#[test]
fn what_is_given_twice_is_told() {
    for (lines, cure) in [
        (
            &["WSGIDaemonProcess blog threads=1 python-path=/a python-path=/b python-path=/c"][..],
            "join the directories with ':'",
        ),
        (
            &["WSGIDaemonProcess blog supplementary-groups=staff supplementary-groups=staff"],
            "join the names with ','",
        ),
        (
            &["WSGIDaemonProcess blog threads=1 env=A=1 threads=2 env=A=2"],
            "threads= is given more than once, and only the last one counts",
        ),
        (
            &["WSGIScriptAlias / /a.py process-group=x process-group=y"],
            "process-group= is given more than once",
        ),
        (
            &["WSGIPythonPath /a", "WSGIPythonPath /b"],
            "WSGIPythonPath at site.conf:2: it takes the place of one before it",
        ),
    ] {
        let (site, _) = read(lines);
        let told: Vec<_> = site.notes.iter().filter(|message| message.code.number() == 147).collect();
        let [message] = told[..] else { panic!("one note: {:?}", site.notes) };
        assert!(message.text.contains(cure) && message.text.contains("at site.conf:"), "{message}");
    }
    let (site, global) = read(&[
        "WSGIDaemonProcess blog python-path=/a env=A=1 env=B=2 env-file=/x env-file=/y",
        "WSGIDaemonProcess shop python-path=/b",
    ]);
    assert_eq!((site.notes, global.groups.groups().len()), (vec![], 2));
}

#[test]
fn the_number_of_words_is_checked() {
    assert!(
        error("WSGIProcessGroup a b").contains("expected one argument, found 2: write WSGIProcessGroup name")
    );
    assert!(error("WSGIScriptAlias /a").contains("expected at least 2 argument(s), found 1"));
    assert!(error("WSGIProcessGroup").contains("found 0"));
    assert!(error("WSGIScriptAlias /a \"/b").contains("is not closed"));
}

#[test]
fn sections_for_interpreters() {
    let (_, global) = read(&["WSGIRestrictSignal Off", "WSGISwitchInterval 1"]);
    let base = InterpreterOptions::default();
    assert!(!global.interpreters.resolve("", &base)[0].1.restrict_signal);
    let inside = |section: &str, line: &str| {
        let (mut site, mut global) = (Site::default(), GlobalConfig::default());
        site.interpreters = Some(section.to_string());
        site.read(&mut global, line).map(|()| (site, global))
    };
    let (_, global) =
        inside("process-group=blog application-group=%{GLOBAL}>", "WSGIPerInterpreterGIL On").unwrap();
    let blog = global.interpreters.resolve("blog", &base);
    assert!(options_of(&blog, "").own_gil && !options_of(&blog, "x").own_gil);
    assert_eq!(global.interpreters.resolve("shop", &base).len(), 1);
    let (site, global) = inside("application-group=x>", "WSGIFreeThreading On").unwrap();
    assert_eq!((site.notes[0].code.number(), global.interpreters), (119, Layers::default()));
    for (section, line, reason) in [
        ("process-group=a>", "WSGIPythonHome /venv", "move it out"),
        ("group=a>", "WSGIRestrictStdin On", "process-group=name"),
        ("process-group=>", "WSGIRestrictStdin On", "a fixed name"),
        ("process-group=%{HOST}>", "WSGIRestrictStdin On", "a fixed name"),
        (">", "WSGISwitchInterval soon", "WSGISwitchInterval"),
    ] {
        assert!(inside(section, line).err().unwrap().contains(reason), "{section} {line}");
    }
    assert!(error("<WSGIInterpreterOptions threads=1>").contains("'threads=1' is no option"));
    assert!(error("<WSGIInterpreterOptions process-group=a").contains("no closing '>'"));
}

#[test]
fn every_directive_is_documented() {
    let page = include_str!("../../docs/directives.md");
    for row in TABLE {
        assert!(
            page.contains(&format!("`{}`", row.name())) || page.contains(&format!("`{}>`", row.name())),
            "{} is missing in docs/directives.md",
            row.name()
        );
    }
}
