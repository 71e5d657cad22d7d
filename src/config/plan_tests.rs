//! Unit tests of `plan`: configurations as text, and what is known of them in advance.

use super::*;
use crate::config::directives::tests::Site;
use crate::config::global::ServerConfig;
use crate::config::options::tests::TestAccounts;
use crate::config::settings::Settings;

/// The main server and its virtual hosts, each a name and lines; a line in a section is written
/// `path | directive`. The result has one line for each script that is loaded in advance.
fn loaded(hosts: &[(&str, &[&str])]) -> Vec<String> {
    let mut global = GlobalConfig::default();
    let mut merged: Vec<(&str, ServerConfig, Settings)> = Vec::new();
    for (name, lines) in hosts {
        let mut site = Site { virtual_host: !merged.is_empty(), ..Site::default() };
        for line in *lines {
            let (section, line) = line.split_once(" | ").map_or((None, *line), |(s, l)| (Some(s), l));
            site.read_in(&mut global, section, line).unwrap();
        }
        let own = (*name, site.server, site.settings);
        merged.push(match merged.first() {
            Some((_, server, settings)) => {
                (own.0, ServerConfig::merge(server, &own.1), Settings::merge(settings, &own.2))
            }
            None => own,
        });
    }
    let server = |(index, (name, config, settings))| ConfiguredServer {
        name,
        virtual_host: index > 0,
        config,
        settings,
    };
    let servers: Vec<ConfiguredServer<'_>> =
        merged.iter().map(|(n, c, s)| (*n, c, s)).enumerate().map(server).collect();
    global.complete(&servers, &TestAccounts { root: false }).unwrap();
    let show = |l: &GroupPreload| {
        let callable = l.callable.as_deref().unwrap_or("-");
        format!("{}:{}:{}:{callable}", l.process_group, l.script, l.application_group)
    };
    preloads(&global, &servers).iter().map(show).collect()
}

/// The same for a main server alone, with the group `blog` defined.
fn of(lines: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = ["WSGIDaemonProcess blog"].iter().chain(lines).copied().collect();
    loaded(&[("main.example", &lines)])
}

const NOTHING: [&str; 0] = [];

#[test]
fn one_script_runs_in_the_main_interpreter_of_its_group() {
    let expected = ["blog:/a.py::application"];
    assert_eq!(of(&["WSGIScriptAlias / /a.py process-group=blog"]), expected);
    assert_eq!(of(&["WSGIScriptAlias / /a.py", "WSGIProcessGroup blog"]), expected);
    assert_eq!(of(&["/ | WSGIProcessGroup blog", "WSGIScriptAlias / /a.py"]), expected);
    assert_eq!(of(&["WSGIScriptAliasMatch ^/a /a.py process-group=blog"]), expected);
}

#[test]
fn two_scripts_or_a_directory_keep_interpreters_of_their_own() {
    let first = "WSGIScriptAlias /a /a.py process-group=blog";
    assert_eq!(of(&[first, "WSGIScriptAlias /b /b.py process-group=blog"]), NOTHING);
    assert_eq!(of(&[first, "WSGIScriptAlias /b /a.py process-group=blog"]), NOTHING);
    assert_eq!(of(&[first, "WSGIScriptAlias /b /scripts/ process-group=blog"]), NOTHING);
    assert_eq!(of(&[first, "WSGIScriptAliasMatch ^/(b) /$1 process-group=blog"]), NOTHING);
    let other = of(&[first, "WSGIScriptAlias /b /b.py process-group=other"]);
    assert_eq!(other, ["blog:/a.py::application"]);
}

#[test]
fn named_interpreters_are_fixed() {
    let alias = "WSGIScriptAlias / /a.py process-group=blog application-group=";
    assert_eq!(of(&[&format!("{alias}x")]), ["blog:/a.py:x:application"]);
    assert_eq!(of(&[&format!("{alias}%{{GLOBAL}}")]), ["blog:/a.py::application"]);
    assert_eq!(of(&[&format!("{alias}%{{SERVER}}")]), NOTHING);
    assert_eq!(of(&[&format!("{alias}%{{RESOURCE}}")]), NOTHING);
    let plain = "WSGIScriptAlias / /a.py process-group=blog";
    assert_eq!(of(&[plain, "WSGIApplicationGroup x"]), ["blog:/a.py:x:application"]);
    assert_eq!(of(&[plain, "/ | WSGIApplicationGroup %{ENV:X}"]), NOTHING);
    assert_eq!(of(&[plain, "WSGICallableObject app"]), ["blog:/a.py::app"]);
    assert_eq!(of(&[plain, "WSGICallableObject %{ENV:X}"]), NOTHING);
}

#[test]
fn sections_that_may_send_it_elsewhere() {
    let alias = "WSGIScriptAlias /app /srv/blog/a.py";
    let with = |section: &str| of(&[alias, &format!("{section} | WSGIProcessGroup blog")]);
    for covering in ["/", "/app", "/app/", "/srv/blog/", "/srv", "/srv/blog/a.py"] {
        assert_eq!(with(covering), ["blog:/srv/blog/a.py::application"], "{covering}");
    }
    for elsewhere in ["/ap", "/other", "/app/admin", "/srv/blog/b", "other.py", "a.py", "^/app", "/s*"] {
        assert_eq!(with(elsewhere), NOTHING, "{elsewhere}");
    }
    let uncertain = [alias, "WSGIProcessGroup blog", "^/a | WSGIProcessGroup other"];
    assert_eq!(of(&uncertain), NOTHING);
    let contradicting = [alias, "/ | WSGIProcessGroup blog", "/app | WSGIProcessGroup other"];
    assert_eq!(of(&contradicting), NOTHING);
}

#[test]
fn virtual_hosts() {
    let site: &[&str] = &["WSGIScriptAlias / /a.py process-group=blog"];
    let main: &[&str] = &["WSGIDaemonProcess blog"];
    let both = [("main.example", main), ("blog.example", site), ("Blog.example", site)];
    assert_eq!(loaded(&both), ["blog:/a.py::application"], "the same host with and without TLS");
    let two_names = [("main.example", main), ("blog.example", site), ("shop.example", site)];
    assert_eq!(loaded(&two_names), NOTHING);
    let own: &[&str] = &["WSGIDaemonProcess blog", "WSGIScriptAlias / /a.py process-group=blog"];
    let foreign = [("main.example", &[] as &[&str]), ("blog.example", own), ("shop.example", site)];
    assert_eq!(loaded(&foreign), ["blog:/a.py::application"], "shop gets 500 and does not count");
}

#[test]
fn imports_and_embedded_scripts() {
    let import = "WSGIImportScript /s.py process-group=blog application-group=%{GLOBAL}";
    assert_eq!(of(&[import, import]), ["blog:/s.py::-"]);
    assert_eq!(of(&["WSGIImportScript /s.py process-group=nosuch application-group=x"]), NOTHING);
    let embedded = "WSGIScriptAlias / /a.py process-group=%{GLOBAL} application-group=x";
    assert_eq!(of(&[embedded]), [":/a.py:x:application"]);
    assert_eq!(
        of(&["WSGIScriptAlias / /a.py application-group=x"]),
        NOTHING,
        "nobody asked for Python in httpd"
    );
    assert_eq!(of(&["WSGIScriptAlias / /a.py"]), NOTHING);
}
