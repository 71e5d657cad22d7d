//! Unit tests of `check`: configurations as text against an invented file system.

use super::*;
use crate::config::directives::tests::Site;
use crate::config::options::tests::TestAccounts;
use crate::log::Level;

/// A virtual environment in /venv, a script, and some directories.
struct Invented;

impl Files for Invented {
    fn exists(&self, path: &Path) -> bool {
        self.is_dir(path)
            || self.is_executable(path)
            || ["/srv/a.py", "/jail/srv/a.py", "/srv/a.egg"].iter().any(|known| path == Path::new(known))
    }
    fn is_dir(&self, path: &Path) -> bool {
        ["/", "/srv", "/srv/", "/venv", "/run", "/jail/srv"].iter().any(|known| path == Path::new(known))
    }
    fn is_executable(&self, path: &Path) -> bool {
        ["/venv/bin/python", "/jail/venv/bin/python3"].iter().any(|known| path == Path::new(known))
    }
    fn link(&self, path: &Path) -> Option<PathBuf> {
        let links = [
            ("/old/bin/python", "python3"),
            ("/old/bin/python3", "/usr/bin/python3.7"),
            ("/ring/bin/python", "python"),
        ];
        links.into_iter().find(|(link, _)| path == Path::new(link)).map(|(_, target)| target.into())
    }
    fn is_zip(&self, path: &Path) -> bool {
        path == Path::new("/srv/a.egg")
    }
}

/// The findings for a main server with these lines and, inherited, one virtual host.
fn findings(lines: &[&str]) -> Vec<Message> {
    let (mut site, mut global) = (Site::default(), GlobalConfig::default());
    for line in lines {
        site.read(&mut global, line).unwrap();
    }
    let (config, settings) = (&site.server, &site.settings);
    let servers = [
        ConfiguredServer { name: "main.example", virtual_host: false, config, settings },
        ConfiguredServer { name: "host.example", virtual_host: false, config, settings },
    ];
    global.complete(&servers, &TestAccounts { root: false }).unwrap();
    check(&global, &servers, &Invented)
}

/// The only finding: its number and text.
fn finding(lines: &[&str]) -> (u16, String) {
    match findings(lines).as_slice() {
        [message] if message.level == Level::Warning => (message.code.number(), message.text.clone()),
        other => panic!("one finding expected: {other:?}"),
    }
}

const GOOD: &str = "WSGIScriptAlias / /srv/a.py process-group=blog";
const JAILED: &str = "WSGIScriptAlias / /jail/srv/a.py process-group=blog";

#[test]
fn nothing_to_say_about_a_good_configuration() {
    let good = [
        "WSGIDaemonProcess blog python-home=/venv home=/srv python-path=/srv:relative:/srv/a.egg:/srv/a.egg/lib",
        GOOD,
        "WSGIScriptAlias /s/ /srv/ process-group=%{GLOBAL} application-group=%{SERVER}",
        "WSGIScriptAliasMatch ^/(x) /nowhere/$1.py",
        "WSGISocketPrefix /run/wsgi",
    ];
    assert_eq!(findings(&good), []);
    assert_eq!(findings(&["WSGIDaemonProcess blog chroot=/jail home=/srv python-home=/venv", JAILED]), []);
    assert_eq!(findings(&["WSGIDaemonProcess blog", "WSGIProcessGroup %{ENV:X}"]), []);
}

#[test]
fn scripts() {
    let (code, text) = finding(&["WSGIScriptAlias / /srv/no.py"]);
    assert_eq!((code, text.contains("site.conf:1") && text.contains("/srv/no.py")), (103, true), "{text}");
    assert_eq!(finding(&["WSGIScriptAlias / /srv"]).0, 104);
    assert_eq!(finding(&["WSGIScriptAlias / /srv/a.py/"]).0, 105);
    assert_eq!(finding(&["WSGIScriptAlias / /nowhere/"]).0, 105);
    let import = "WSGIImportScript /no.py process-group=%{GLOBAL} application-group=x";
    assert_eq!(finding(&[import]).0, 103);
}

#[test]
fn pythons_and_directories_of_groups() {
    let of = |options: &str| finding(&[&format!("WSGIDaemonProcess blog {options}"), GOOD]);
    let (code, text) = of("python-home=/srv");
    assert_eq!((code, text.contains("python3 -m venv /srv")), (109, true), "{text}");
    assert_eq!(of("python=/srv/a.py").0, 110);
    for part in ["bin", "bin/python3.11", "lib", "lib64/python3.11/site-packages", "pyvenv.cfg"] {
        let (code, text) = of(&format!("python-home=/venv/{part}"));
        assert_eq!((code, text.contains("write python-home=/venv ")), (123, true), "{text}");
    }
    assert_eq!(of("python-home=/venv/other").0, 109);
    let (code, text) = of("python=/venv");
    assert_eq!(
        (code, text.contains("write python-home=/venv in place of python=/venv")),
        (123, true),
        "{text}"
    );
    let (code, text) = of("python-home=/old");
    assert_eq!((code, text.contains("/old/bin/python leads to /usr/bin/python3.7")), (124, true), "{text}");
    assert!(text.contains("python3 -m venv --clear /old"), "{text}");
    assert_eq!(of("python-home=/ring").0, 109);
    assert_eq!(of("python-path=/srv/a.py").0, 112);
    assert_eq!(of("python-path=/srv/b.egg/lib").0, 112);
    assert_eq!(of("home=/nowhere").0, 111);
    assert_eq!(of("python-path=/srv:/nowhere").0, 112);
    assert_eq!(finding(&["WSGIDaemonProcess blog chroot=/jail home=/run", JAILED]).0, 111);
    let (code, text) = of("chroot=/jail");
    assert_eq!((code, text.contains("/srv/a.py at site.conf:2 is not below")), (126, true), "{text}");
    let (code, text) = of("env-file=/srv/a.py env-file=/nowhere/secrets");
    assert_eq!(
        (code, text.contains("site.conf:1: there is no file /nowhere/secrets")),
        (120, true),
        "{text}"
    );
    assert_eq!(finding(&["WSGIPythonPath /nowhere"]).0, 112);
    assert_eq!(finding(&["WSGISocketPrefix /nowhere/wsgi"]).0, 113);
    assert_eq!(finding(&["WSGIPythonHome /nowhere", "WSGIDaemonProcess blog", GOOD]).0, 109);
}

#[test]
fn service_groups() {
    let group = "WSGIDaemonProcess worker threads=0";
    let import = "WSGIImportScript /srv/a.py process-group=worker application-group=%{GLOBAL}";
    assert_eq!(findings(&[group, import]), []);
    let (code, text) = finding(&[group]);
    let cure = "add WSGIImportScript script process-group=worker application-group=%{GLOBAL}";
    assert_eq!(
        (code, text.contains("site.conf:1: with threads=0") && text.contains(cure)),
        (121, true),
        "{text}"
    );
    let (code, text) = finding(&[group, import, "WSGIScriptAlias / /srv/a.py process-group=worker"]);
    assert_eq!((code, text.contains("'worker' has threads=0 (site.conf:1)")), (122, true), "{text}");
}

#[test]
fn names_of_groups() {
    let (code, text) = finding(&[GOOD]);
    assert_eq!((code, text.contains("WSGIScriptAlias at site.conf:1")), (106, true), "{text}");
    let two = findings(&["WSGIDaemonProcess blogs", GOOD]);
    let codes: Vec<u16> = two.iter().map(|message| message.code.number()).collect();
    assert_eq!(codes, [108, 106]);
    assert!(two[1].text.contains("did you mean 'blogs'?"));
    let (code, text) = finding(&["WSGIApplicationGroup %{Global}"]);
    assert_eq!((code, text.contains("did you mean '%{GLOBAL}'?")), (102, true), "{text}");
}

#[test]
fn groups_of_other_virtual_hosts() {
    let (mut main, mut global) = (Site::default(), GlobalConfig::default());
    let mut host = Site { virtual_host: true, ..Site::default() };
    host.read(&mut global, "WSGIDaemonProcess blog").unwrap();
    main.read(&mut global, "WSGIProcessGroup blog").unwrap();
    let servers = [
        ConfiguredServer {
            name: "main.example",
            virtual_host: false,
            config: &main.server,
            settings: &main.settings,
        },
        ConfiguredServer {
            name: "blog.example",
            virtual_host: true,
            config: &host.server,
            settings: &host.settings,
        },
    ];
    global.complete(&servers, &TestAccounts { root: false }).unwrap();
    let notes = check(&global, &servers, &Invented);
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].code.number(), 107);
    assert!(notes[0].text.contains("belongs to the virtual host blog.example (site.conf:1)"));
}
