//! What an administrator writes, and in `.htaccess` and environment files a site.
//!
//! A part of `fuzz`. Zero bytes separate the parts of an input.

use std::os::unix::ffi::OsStrExt;

use super::parts::{owned, texts};
use crate::config::alias::{Alias, Pattern, substitute};
use crate::config::context::Context;
use crate::config::global::{GlobalConfig, ServerConfig};
use crate::config::group_name::{GroupName, RequestFacts};
use crate::config::options::{Account, Accounts, Reader};
use crate::config::process_group::Origin;
use crate::config::settings::Settings;
use crate::config::values::*;
use crate::config::{directives, env_file, options as daemon_options, version, words as words_of};

/// The user database of a machine with two users.
struct Users;

impl Accounts for Users {
    fn user(&self, name: &str) -> Option<Account> {
        let uid = match name {
            "root" => 0,
            "bob" => 1001,
            _ => name.strip_prefix('#')?.parse().ok()?,
        };
        Some(Account { uid, gid: uid, name: name.to_string(), home: "/home".into() })
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.user(name).map(|user| user.gid)
    }

    fn groups_of(&self, _: &str, gid: u32) -> Vec<u32> {
        vec![gid]
    }

    fn running_as_root(&self) -> bool {
        true
    }

    fn httpd_user(&self) -> Account {
        Account { uid: 33, gid: 33, name: "www-data".to_string(), home: "/var/www".into() }
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_string() } else { format!("/etc/httpd/{path}") }
}

pub fn env_files(input: &[u8]) {
    let Ok(variables) = env_file::parse(input) else { return };
    let mut again = Vec::new();
    for (name, value) in &variables {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        assert!(!name.is_empty() && !name.contains(&b'=') && ![name, value].concat().contains(&0));
        let quote: &[u8] = match (value.contains(&b'"'), value.contains(&b'\'')) {
            (false, _) => b"\"",
            (true, false) => b"'",
            (true, true) => b"",
        };
        for part in [name, b"=", quote, value, quote, b"\n"] {
            again.extend_from_slice(part);
        }
    }
    assert_eq!(env_file::parse(&again), Ok(variables));
}

pub fn env_file_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"# secrets\n\nA=1\r\n  export\tB=two words \nC=\"x # y\"\nD='{\"a\": 1}'\nE=it's=\"so\"\n",
        b"A=\xff",
    ])
}

/// The prefix or the template, the target, and a URL of any bytes. Numbers for the captures come from the
/// URL.
pub fn aliases(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let (Some(Ok(prefix)), Some(Ok(target)), Some(url)) =
        (parts.next().map(str::from_utf8), parts.next().map(str::from_utf8), parts.next())
    else {
        return;
    };
    let alias = |pattern| Alias {
        pattern,
        target: target.to_string(),
        options: Settings::default(),
        origin: Origin::default(),
    };
    let by_prefix = alias(Pattern::Prefix(prefix.to_string()));
    let filename = by_prefix.match_prefix(url);
    assert_eq!(filename.is_some(), by_prefix.has_prefix_of(url));
    assert!(filename.is_none_or(|filename| {
        filename.starts_with(target.as_bytes()) && filename.len() <= target.len() + url.len() + 1
    }));
    let numbers: Vec<usize> = url.iter().map(|byte| usize::from(*byte)).collect();
    let captures: Vec<_> = numbers.chunks_exact(2).take(10).map(|pair| Some((pair[0], pair[1]))).collect();
    let by_regex = alias(Pattern::Regex { text: prefix.into(), slot: 0 });
    let substituted = substitute(target, url, &captures);
    assert!(by_regex.match_regex(url, &captures).starts_with(&substituted));
    assert!(by_regex.fixed_script().is_none_or(|script| substituted == script.as_bytes()));
}

pub fn alias_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"/app\0/srv/app.wsgi\0/app//a",
        b"/\0/srv/wsgi/\0///foo/\xff",
        b"/a//b/\0/srv/$1&$9\\$.wsgi\0/a/b/c",
    ])
}

struct Facts<'a>([&'a str; 4]);

impl RequestFacts for Facts<'_> {
    fn server_name(&self) -> &str {
        self.0[0]
    }

    fn server_port(&self) -> u16 {
        8000
    }

    fn host_header(&self) -> Option<&str> {
        Some(self.0[1])
    }

    fn script_name(&self) -> &str {
        self.0[2]
    }

    fn environment(&self, _: &str) -> Option<String> {
        Some(self.0[3].to_string())
    }

    fn case_sensitive(&self) -> bool {
        self.0[3].is_empty()
    }
}

/// A name as it is written, then what a request says.
pub fn group_names(input: &[u8]) {
    let Some(texts) = texts(input) else { return };
    let [name, server, host, script, variable] = texts[..] else { return };
    let parsed = GroupName::parse(name);
    assert_eq!(GroupName::parse(&parsed.to_string()), parsed);
    let _ = parsed.unknown_form();
    let expanded = parsed.expand(&Facts([server, host, script, variable]));
    let longest = name.len().max(variable.len()).max(server.len() + host.len() + 3 * script.len() + 16);
    assert!(expanded.len() <= longest, "{expanded:?}");
    assert!(
        parsed != GroupName::Host
            || !expanded.bytes().any(|byte| byte.is_ascii_uppercase())
            || host.is_empty()
            || host.starts_with(':')
            || expanded.starts_with(server)
    );
}

pub fn group_name_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"blog\0example.org\0EXAMPLE.org:81\0/app\0",
        b"%{HOST}\0example.org\0[::1]:80\0/a//b\0x",
        b"%{RESOURCE}\0example.org\0a\0/App//x\0x",
        b"%{ENV:NAME}\0example.org\0a\0/\0%{SERVER}",
        b"%{GLOBAL}\0\0\0\0",
        b"%{SERVERS}\0a\0b\0c\0d",
    ])
}

/// The words of a line, each in quotes, are the same words.
pub fn words(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(words) = words_of::split(text) else { return };
    let quoted = words.iter().map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
    assert_eq!(words_of::split(&quoted.collect::<Vec<_>>().join(" ")), Ok(words));
}

pub fn word_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"  /app   \"/srv/my app.wsgi\"\t'a b'",
        b"^/a\\.b/(\\d+) c\\\\d \"say \\\"hi\\\" \\\\\"",
        b"env=\"GREETING=hello big = world\" x=it's",
    ])
}

pub fn values(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = (on_off(text), octal_mask(text), identifier(text), absolute_directory(text));
    let _ = (integer(text, 0u32, 65533), integer(text, -20i32, 19), integer(text, 0, i64::MAX as u64));
    assert!(float_seconds(text).is_ok_and(|number| number > 0.0) || float_seconds(text).is_err());
    assert!(seconds(text).is_ok_and(|number| number.is_finite()) || seconds(text).is_err());
    for unit in [Unit::Seconds, Unit::Milliseconds] {
        if let Ok(time) = duration(text, unit) {
            assert_eq!(duration(&format!("{}ms", time.as_millis()), unit), Ok(time));
        }
    }
    if let Ok(bytes) = size(text) {
        assert_eq!(size(&bytes.to_string()), Ok(bytes));
    }
    let _ = version::in_name(text);
}

pub fn value_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "On",
        "65533",
        "-20",
        "0027",
        "500ms",
        "5m",
        "2h",
        "1d",
        "512K",
        "1G",
        "0.005",
        "/srv",
        "app",
        "python3.13t",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The options of a process group, on one line.
pub fn options(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(words) = words_of::split(text) else { return };
    let reader = Reader { accounts: &Users, resolve_path: &absolute };
    let Ok(definition) = daemon_options::parse(&words, Origin::default(), &reader) else { return };
    let group = definition.group;
    assert!(!group.name.is_empty());
    assert!((group.minimum_processes..=group.maximum_processes).contains(&group.processes));
}

pub fn option_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"blog processes=2 threads=4 umask=0027 home=/srv lang=C.UTF-8 python-home=venv python-path=/a:/b:",
        b"blog user=bob group=#1001 supplementary-groups=bob,root socket-user=#33 script-user=bob env=A=b",
        b"blog minimum-processes=1 maximum-processes=9 idle-timeout=5m start=on-demand overlap=Auto preload=On",
        b"blog display-name='%{GROUP} live' stack-size=512K memory-limit=1G cpu-priority=-5 maximum-requests=7",
    ])
}

/// Lines of configuration; the first part says where they stand.
pub fn directives(input: &[u8]) {
    let Some(parts) = texts(input) else { return };
    let [place, lines] = parts[..] else { return };
    let (mut settings, mut server) = (Settings::default(), ServerConfig::default());
    let (mut global, mut notes) = (GlobalConfig::default(), Vec::new());
    for (line, number) in lines.lines().zip(1..) {
        let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let Some(directive) = directives::find(name) else { continue };
        let mut context = Context {
            settings: &mut settings,
            server: &mut server,
            global: &mut global,
            origin: Origin { file: "site.conf".to_string(), line: number },
            section: place.strip_prefix('<').map(str::to_string),
            interpreters: place.strip_prefix('i').map(str::to_string),
            inside_virtual_host: place == "v",
            in_htaccess: place == "h",
            accounts: &Users,
            resolve_path: &absolute,
            notes: &mut notes,
        };
        if let Err(message) = directive.apply(&mut context, arguments) {
            assert!(message.starts_with("mod_wsgi_rs: WSGI") && message.contains(directive.name()));
        }
    }
}

pub fn directive_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"\0WSGIDaemonProcess blog threads=2\nWSGIScriptAlias / /srv/app.wsgi process-group=blog\nWSGIPythonHashSeed 5",
        b"v\0WSGIScriptAliasMatch ^/m/([^/]+) /srv/$1.wsgi application-group=%{GLOBAL}\nWSGIImportScript /srv/a.py",
        b"</srv\0WSGIAccessScript /srv/access.wsgi\nWSGIAuthUserScript /srv/auth.wsgi\nWSGIProcessGroup %{ENV:GROUP}",
        b"h\0WSGICallableObject app\nWSGITrustedProxies 10.0.0.0/8\nWSGITrustedProxyHeaders X-Forwarded-For Forwarded",
        b"i application-group=own\0WSGIPythonPath /srv:/lib\nWSGISwitchInterval 0.01",
    ])
}
