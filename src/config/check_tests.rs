//! Unit tests of `check`: configurations as text against an invented file system.

use super::*;
use crate::config::directives::tests::Site;
use crate::config::global::ServerConfig;
use crate::config::home::{Entry, User};
use crate::config::options::tests::TestAccounts;
use crate::config::surroundings::Served;
use crate::config::walk::tests::Tree;
use crate::log::Level;

/// A virtual environment in /venv, a script, and some directories.
struct Invented;

impl Files for Invented {
    fn exists(&self, path: &Path) -> bool {
        self.is_dir(path)
            || self.is_hidden(path)
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
    fn is_hidden(&self, path: &Path) -> bool {
        path.starts_with("/hidden")
    }
    fn entry(&self, _: &Path) -> Option<Entry> {
        None
    }
    fn text(&self, _: &Path, _: Option<&User>) -> Option<String> {
        None
    }
    fn is_zip(&self, path: &Path, _: Option<&User>) -> bool {
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
    check_all(&global, &servers, &Invented, &[])
}

fn check_all(
    global: &GlobalConfig,
    servers: &[ConfiguredServer<'_>],
    files: &dyn Files,
    served: &[Served],
) -> Vec<Message> {
    let python = |group: &ProcessGroup| group.interpreters().first().cloned();
    check(
        global,
        servers,
        &Surroundings { files, accounts: &TestAccounts { root: true }, python: &python, served },
    )
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
        "WSGIDaemonProcess blog python-home=/venv home=/srv python-path=/srv:./:/srv/a.egg:/srv/a.egg/lib",
        "WSGIScriptAlias /s/ /srv/ process-group=%{GLOBAL} application-group=%{SERVER}",
        GOOD,
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
        assert_eq!(
            (code, text.contains("name the environment, by python-home=/venv or")),
            (123, true),
            "{text}"
        );
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
    let (code, text) = finding(&["WSGIPythonHome /venv/bin", "WSGIScriptAlias / /srv/a.py"]);
    assert_eq!(
        (code, text.contains("so no script runs in httpd's own processes: name the environment")),
        (123, true),
        "{text}"
    );
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
    let (code, text) = finding(&["WSGIDaemonProcess blogs", GOOD]);
    assert_eq!(
        (code, text.contains("did you mean 'blogs', which is defined at site.conf:1?")),
        (106, true),
        "{text}"
    );
    let two = findings(&["WSGIDaemonProcess shop", GOOD]);
    let codes: Vec<u16> = two.iter().map(|message| message.code.number()).collect();
    assert_eq!(codes, [108, 106], "two names that have nothing in common");
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
    let notes = check_all(&global, &servers, &Invented, &[]);
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].code.number(), 107);
    assert!(notes[0].text.contains("belongs to the virtual host blog.example (site.conf:1)"));
}

/// The findings about rights in this tree, with httpd started by root: bob (1001, in group 50) and www-data (33).
fn about_users(tree: &[&str], lines: &[&str], served: &[Served]) -> Vec<(u16, String)> {
    let (mut site, mut global) = (Site::default(), GlobalConfig::default());
    for line in lines {
        site.read(&mut global, line).unwrap();
    }
    let (config, settings) = (&site.server, &site.settings);
    let servers = [
        ConfiguredServer { name: "main.example", virtual_host: false, config, settings },
        ConfiguredServer { name: "host.example", virtual_host: true, config, settings },
    ];
    global.complete(&servers, &TestAccounts { root: true }).unwrap();
    let found = check_all(&global, &servers, &Tree::new(tree), served);
    found.into_iter().map(|message| (message.code.number(), message.text)).collect()
}

/// The same, without what is said of a `user=` that stands alone.
fn about_rights(tree: &[&str], lines: &[&str], served: &[Served]) -> Vec<(u16, String)> {
    about_users(tree, lines, served).into_iter().filter(|(code, _)| *code != 149).collect()
}

const HOME: [&str; 7] = [
    "drwxr-xr-x 0 0 /home",
    "drwxr-x--x 0 0 /home/bob",
    "drwxr-xr-x 0 0 /home/bob/venv",
    "drwxr-xr-x 0 0 /home/bob/venv/bin",
    "l /home/bob/venv/bin/python -> /usr/bin/python3.11",
    "-rw-r--r-- 0 0 /home/bob/a.py",
    "drwxr-xr-x 0 0 /home/bob/static",
];
const USR: [&str; 3] =
    ["drwxr-xr-x 0 0 /usr", "drwxr-xr-x 0 0 /usr/bin", "-rwxr-xr-x 0 0 /usr/bin/python3.11"];
const BOBS: [&str; 2] = [
    "WSGIDaemonProcess blog user=bob python-home=/home/bob/venv home=/home/bob",
    "WSGIScriptAlias / /home/bob/a.py process-group=blog",
];

/// The tree with this line in place of the one for the same path.
fn with<'a>(changed: &[&'a str]) -> Vec<&'a str> {
    [&HOME[..], &USR[..], changed].concat()
}

#[test]
fn a_directory_that_keeps_the_groups_user_out_is_named_once() {
    assert_eq!(about_rights(&with(&["l /home/bob/venv/bin/python3 -> python"]), &BOBS, &[]), []);
    let found = about_rights(&with(&["drwx------ 33 33 /home/bob"]), &BOBS, &[]);
    let [(141, text)] = &found[..] else { panic!("{found:?}") };
    assert!(
        text.starts_with("WSGIDaemonProcess blog at site.conf:1: its user bob may not enter /home/bob"),
        "{text}"
    );
    assert!(
        text.contains("(mode 0700, owner #33), which it needs for the Python /home/bob/venv/bin/python, "),
        "{text}"
    );
    assert!(
        text.contains("home=/home/bob, the script /home/bob/a.py (WSGIScriptAlias at site.conf:2)"),
        "{text}"
    );
    assert!(text.contains("setfacl -m u:bob:x /home/bob"), "{text}");
    let found = about_rights(&with(&["-rwx------ 0 0 /usr/bin/python3.11"]), &BOBS, &[]);
    let [(141, text)] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains("may not execute /usr/bin/python3.11 (mode 0700"), "{text}");
    let packages = with(&[
        "drwxr-xr-x 0 0 /home/bob/venv/lib",
        "drwxr-xr-x 0 0 /home/bob/venv/lib/python3.11",
        "drwx------ 0 0 /home/bob/venv/lib/python3.11/site-packages",
    ]);
    let found = about_rights(&packages, &BOBS, &[]);
    let [(141, text)] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains("may not read /home/bob/venv/lib/python3.11/site-packages"), "{text}");
}

#[test]
fn httpds_own_user_is_shut_out_of_a_home() {
    let closed = with(&["drwx--x--- 1001 1001 /home/bob"]);
    let beside = Origin { file: "site.conf".into(), line: 7 };
    let alias =
        |path: &str| Served { directive: "Alias /s".into(), path: path.into(), origin: beside.clone() };
    let found = about_rights(&closed, &BOBS, &[alias("/home/bob/static")]);
    let [(142, text)] = &found[..] else { panic!("{found:?}") };
    assert!(
        text.starts_with("httpd's own user www-data may not enter /home/bob (mode 0710, owner bob)"),
        "{text}"
    );
    assert!(
        text.contains(
            "requests for WSGIScriptAlias / at site.conf:2, Alias /s at site.conf:7 get 403: let it"
        ),
        "{text}"
    );
    let elsewhere = with(&["drwx------ 0 0 /other", "drwxr-xr-x 0 0 /other/static"]);
    assert_eq!(about_rights(&elsewhere, &BOBS, &[alias("/other/static")]), []);
    let embedded = ["WSGIScriptAlias / /home/bob/a.py"];
    let found = about_rights(&with(&["-rw-r----- 0 0 /home/bob/a.py"]), &embedded, &[]);
    let [(142, text)] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains("may not read /home/bob/a.py (mode 0640"), "{text}");
    let python = ["WSGIPythonHome /home/bob/venv", embedded[0]];
    let found = about_rights(&with(&["-rwx------ 0 0 /usr/bin/python3.11"]), &python, &[]);
    let [(141, text)] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains("httpd's own user www-data may not execute /usr/bin/python3.11"), "{text}");
}

#[test]
fn packages_of_another_python() {
    let group =
        |path: &str| format!("WSGIDaemonProcess blog user=bob python-home=/home/bob/venv python-path={path}");
    let found = |path: &str| {
        let path = group(path);
        let there = [
            "drwxr-xr-x 0 0 /lib",
            "drwxr-xr-x 0 0 /lib/python3.9",
            "drwxr-xr-x 0 0 /lib/python3.9/site-packages",
        ];
        about_rights(&with(&there), &[&path, BOBS[1]], &[])
    };
    let (code, text) = found("/lib/python3.9/site-packages").remove(0);
    assert_eq!(
        (code, text.contains("the packages of Python 3.9, and Python 3.11 runs here")),
        (143, true),
        "{text}"
    );
    assert_eq!(found("/lib/python3.9"), []);
    let (code, text) = found("site/lib").remove(0);
    assert_eq!((code, text.contains("and /home/bob/site/lib, where Python looks")), (144, true), "{text}");
    assert_eq!(found("static"), []);
}

#[test]
fn an_environment_that_an_upgrade_has_left_behind() {
    let lines = ["WSGIDaemonProcess blog user=bob python-home=/home/bob/old", BOBS[1]];
    let tree = |packages: &str, python: &str| {
        let found = about_rights(
            &with(&[
                "drwxr-xr-x 0 0 /home/bob/old",
                "drwxr-xr-x 0 0 /home/bob/old/bin",
                &format!("l /home/bob/old/bin/python -> /usr/bin/{python}"),
                &format!("-rwxr-xr-x 0 0 /usr/bin/{python}"),
                "-rw-r--r-- 0 0 /home/bob/old/pyvenv.cfg version = 3.11.4",
                "drwxr-xr-x 0 0 /home/bob/old/lib",
                &format!("drwxr-xr-x 0 0 /home/bob/old/lib/{packages}"),
                &format!("drwxr-xr-x 0 0 /home/bob/old/lib/{packages}/site-packages"),
            ]),
            &lines,
            &[],
        );
        found.into_iter().find(|(code, _)| *code == 148).map(|(_, text)| text)
    };
    let text = tree("python3.11", "python3.13").unwrap();
    assert!(text.contains("packages in lib/python3.11, and its bin/python is Python 3.13 now"), "{text}");
    assert_eq!(tree("python3.11", "python3.11"), None);
    assert_eq!(tree("python3.13t", "python3.13"), None);
}

#[test]
fn an_alias_after_one_that_takes_all() {
    let (root, api) = ("WSGIScriptAlias / /srv/a.py", "WSGIScriptAlias /api /srv/a.py callable-object=api");
    let (code, text) = finding(&[root, api]);
    let words = "WSGIScriptAlias /api at site.conf:2 never matches, since WSGIScriptAlias / at site.conf:1 comes first";
    assert_eq!((code, text.starts_with(words)), (145, true), "{text}");
    assert_eq!(findings(&[api, root]), []);
    assert_eq!(findings(&["WSGIScriptAlias /a /srv/a.py", "WSGIScriptAlias /apple /srv/a.py"]), []);
    assert_eq!(findings(&[root, root]), []);
}

#[test]
fn what_a_host_hides_of_the_main_server_is_no_mistake() {
    let (mut main, mut global) = (Site::default(), GlobalConfig::default());
    let mut host = Site { virtual_host: true, line: 10, ..Site::default() };
    main.read(&mut global, "WSGIScriptAlias /api /srv/a.py").unwrap();
    host.read(&mut global, "WSGIScriptAlias / /srv/a.py").unwrap();
    let merged = ServerConfig::merge(&main.server, &host.server);
    let settings = &main.settings;
    let servers = [
        ConfiguredServer { name: "main.example", virtual_host: false, config: &main.server, settings },
        ConfiguredServer { name: "host.example", virtual_host: true, config: &merged, settings },
    ];
    assert_eq!(check_all(&global, &servers, &Invented, &[]), []);
    let only_there = [servers[1]];
    assert_eq!(check_all(&global, &only_there, &Invented, &[]).len(), 1);
}

#[test]
fn a_group_with_another_users_name() {
    let of = |shop: &str, other: &str| {
        let other = format!("WSGIDaemonProcess {other} threads=0");
        about_rights(
            &HOME,
            &[shop, &other, "WSGIImportScript /home/bob/a.py process-group=shop application-group=x"],
            &[],
        )
        .into_iter()
        .filter(|(code, _)| *code == 146)
        .collect::<Vec<_>>()
    };
    let found = of("WSGIDaemonProcess shop user=#4242", "bob user=#4242");
    let [(146, text)] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains("there is a user bob: if that one is meant"), "{text}");
    assert_eq!(of("WSGIDaemonProcess shop user=#4242", "bob user=bob"), []);
    assert_eq!(of("WSGIDaemonProcess shop", "bob"), []);
}

#[test]
fn a_user_without_a_group() {
    let of = |options: &str| {
        let lines = [&format!("WSGIDaemonProcess shop {options}"), "WSGIDaemonProcess other threads=0"];
        let found = about_users(&HOME, &lines, &[]).into_iter().filter(|(code, _)| *code == 149);
        found.map(|(_, text)| text).collect::<Vec<_>>()
    };
    assert!(of("user=bob")[0].ends_with("Write user=bob group=bob"), "{:?}", of("user=bob"));
    assert!(of("user=#4242")[0].ends_with("Write user=#4242 group=#4242"), "{:?}", of("user=#4242"));
    for meant in ["", "group=bob", "user=bob group=bob", "user=bob group=#33"] {
        assert_eq!(of(meant), [""; 0], "{meant}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_not_missed() {
    let hidden = [
        "WSGIDaemonProcess blog python-home=/hidden home=/hidden/home python-path=/hidden/lib",
        "WSGIScriptAlias /s/ /hidden/scripts/",
        GOOD,
        "WSGISocketPrefix /hidden/run/wsgi",
    ];
    assert_eq!(findings(&hidden), []);
}

#[test]
fn the_cure_names_the_environment_and_not_its_bin() {
    for home in ["/new", "/new/bin", "/new/bin/python3"] {
        let (code, text) = finding(&[&format!("WSGIDaemonProcess blog python-home={home}"), GOOD]);
        assert_eq!(
            (
                code,
                text.contains("(python3 -m venv /new)")
                    || text.contains("(python3 -m venv /new, and write python-home=/new)")
            ),
            (109, true),
            "{text}"
        );
    }
}

#[test]
fn walls_that_hide_a_site_or_need_root() {
    let walled = [
        "WSGIDaemonProcess blog user=bob python-home=/home/bob/venv private-tmp=On protect-home=On",
        BOBS[1],
    ];
    let found = about_rights(&with(&[]), &walled, &[]);
    let [(152, python), (152, _), (152, script)] = &found[..] else { panic!("{found:?}") };
    assert!(
        python.starts_with("WSGIDaemonProcess blog at site.conf:1: protect-home= hides the Python "),
        "{python}"
    );
    assert!(
        script.contains("hides the script /home/bob/a.py (WSGIScriptAlias at site.conf:2) from"),
        "{script}"
    );
    let others = walled[0].replace("protect-home=On", "protect-home=others");
    assert_eq!(about_rights(&with(&[]), &[&others, BOBS[1]], &[]), []);
    let (code, text) = finding(&["WSGIDaemonProcess blog python-home=/venv home=/srv private-tmp=On", GOOD]);
    assert_eq!((code, text.contains("only root can do what private-tmp= asks for")), (151, true), "{text}");
}
