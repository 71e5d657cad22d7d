//! `httpd -t -D DUMP_WSGI`: all process groups with their users, Pythons and scripts, and what runs in httpd's
//! own processes.
//!
//! Runs in the httpd parent, where only the configuration is tested. What `env=` gives is left out: there are
//! passwords among it.

use crate::config::alias::Alias;
use crate::config::global::{ConfiguredServer, GlobalConfig, GroupKind};
use crate::config::group_name::GroupName;
use crate::config::home::User;
use crate::config::plan;
use crate::config::process_group::{Origin, ProcessGroup};
use crate::config::script_use::ScriptUse;
use crate::config::surroundings::Surroundings;
use crate::config::version;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Width of the names of facts.
const NAME: usize = 12;

/// The whole text.
pub fn listing(
    global: &GlobalConfig,
    servers: &[ConfiguredServer<'_>],
    surroundings: &Surroundings<'_>,
) -> String {
    let listing = Listing { global, surroundings, mounts: mounts(global, servers) };
    let groups = global.groups.groups();
    let mut out = String::new();
    for group in groups {
        listing.group(&mut out, group);
    }
    listing.embedded(&mut out);
    listing.by_request(&mut out);
    if out.is_empty() {
        out.push_str("no process groups and no scripts\n");
    }
    format!("WSGI: what runs where\n{out}")
}

struct Listing<'a> {
    global: &'a GlobalConfig,
    surroundings: &'a Surroundings<'a>,
    /// By process group; None where it depends on the request.
    mounts: HashMap<Option<String>, Vec<Columns>>,
}

/// A script and how it is reached: URL path, script, server, application group, place.
type Columns = [String; 5];

impl Listing<'_> {
    fn group(&self, out: &mut String, group: &ProcessGroup) {
        let _ = writeln!(out, "process group {} ({})", group.name, group.origin);
        fact(out, "user", &self.user(self.surroundings.user_of(group)));
        fact(out, "processes", &processes(group));
        if let Some(root) = &group.chroot {
            fact(out, "chroot", &root.display().to_string());
        }
        self.python(out, group);
        if let Some(home) = &group.home {
            fact(out, "home", &home.display().to_string());
        }
        if let Some(host) = &group.server_name {
            fact(out, "only for", host);
        }
        self.scripts(out, Some(group.name.clone()));
    }

    fn embedded(&self, out: &mut String) {
        if !self.mounts.contains_key(&Some(String::new())) {
            return;
        }
        out.push_str("embedded in httpd's own processes\n");
        fact(out, "user", &self.user(self.surroundings.httpd_user()));
        if self.global.restrict_embedded {
            fact(out, "refused", "with 500, by WSGIRestrictEmbedded On");
        }
        let mut own = ProcessGroup::new("", Origin::default());
        own.python_home.clone_from(&self.global.python.home);
        own.python_path.clone_from(&self.global.python.path);
        self.python(out, &own);
        self.scripts(out, Some(String::new()));
    }

    fn by_request(&self, out: &mut String) {
        if self.mounts.contains_key(&None) {
            out.push_str("in no process group that is known in advance\n");
            self.scripts(out, None);
        }
    }

    fn user(&self, user: Option<User>) -> String {
        let Some(User { name, uid, mut gids }) = user else {
            let account = self.surroundings.accounts.httpd_user();
            return format!("{} (uid {}), who starts httpd", account.name, account.uid);
        };
        gids.sort_unstable();
        gids.dedup();
        let gids: Vec<String> = gids.iter().map(u32::to_string).collect();
        format!("{name} (uid {uid}, groups {})", gids.join(" "))
    }

    fn python(&self, out: &mut String, group: &ProcessGroup) {
        let found = (self.surroundings.python)(group);
        let python = match found.or_else(|| group.interpreters().first().cloned()) {
            Some(python) => {
                let (files, reader) = (self.surroundings.files, self.surroundings.reader(group));
                let version = version::of(&group.seen_from_outside(&python), files, reader.as_ref());
                let version = version.map_or("version unknown".to_string(), |version| version.to_string());
                format!("{} ({version})", python.display())
            }
            None => "none found".to_string(),
        };
        fact(out, "Python", &python);
        if !group.python_path.is_empty() {
            fact(out, "python-path", &joined(&group.python_path));
        }
    }

    fn scripts(&self, out: &mut String, process_group: Option<String>) {
        let own = self.mounts.get(&process_group).map_or(&[][..], Vec::as_slice);
        let widest = |column: usize| own.iter().map(|columns| columns[column].chars().count()).max();
        let widths = [0, 1, 2, 3].map(|column| widest(column).unwrap_or(0));
        for columns in own {
            out.push_str("  ");
            for (text, width) in columns.iter().zip(widths) {
                let _ = write!(out, "  {text:width$}");
            }
            let _ = writeln!(out, "  {}", columns[4]);
        }
        if own.is_empty() {
            out.push_str("    no scripts\n");
        }
    }
}

fn fact(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "    {name:NAME$}{value}");
}

fn processes(group: &ProcessGroup) -> String {
    let number = match (group.minimum_processes, group.processes, group.maximum_processes) {
        (least, first, most) if least == first && first == most => first.to_string(),
        (least, _, most) => format!("{least} to {most}"),
    };
    let threads = match group.threads {
        0 => "no threads for requests".to_string(),
        1 => "1 thread each".to_string(),
        threads => format!("{threads} threads each"),
    };
    let start = if group.sleeps() { ", started on demand" } else { "" };
    format!("{number}, {threads}{start}")
}

fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

/// Hosts that have a name in common list a script once.
fn mounts(global: &GlobalConfig, servers: &[ConfiguredServer<'_>]) -> HashMap<Option<String>, Vec<Columns>> {
    let imports = global.imports.iter().map(|import| {
        let (url, application) = ("(imported)".to_string(), application(&import.application_group));
        let columns = [url, import.script.clone(), String::new(), application, import.origin.to_string()];
        (Some(import.process_group.clone()), columns)
    });
    let aliases = servers
        .iter()
        .flat_map(|server| server.config.aliases.iter().map(|alias| mount(alias, server, global)));
    let mut mounts: HashMap<_, Vec<Columns>> = HashMap::new();
    let mut known = HashSet::new();
    let scripts =
        servers.iter().flat_map(|server| &server.config.scripts).map(|script| asked(script, global));
    for mount in imports.chain(aliases).chain(scripts) {
        if known.insert(mount.clone()) {
            mounts.entry(mount.0).or_default().push(mount.1);
        }
    }
    mounts
}

/// A script for access control, dispatch or a handler.
fn asked(script: &ScriptUse, global: &GlobalConfig) -> (Option<String>, Columns) {
    let group = script.fixed_group().filter(|name| name.is_empty() || global.groups.find(name).is_some());
    let interpreter = script.application_group.as_ref().unwrap_or(&GroupName::Resource).to_string();
    let columns = [
        format!("({})", script.directive),
        script.script.clone(),
        String::new(),
        interpreter,
        script.origin.to_string(),
    ];
    (group.map(str::to_string), columns)
}

fn mount(alias: &Alias, server: &ConfiguredServer<'_>, global: &GlobalConfig) -> (Option<String>, Columns) {
    let process_group = plan::fixed_name(alias, server, GroupKind::Process);
    let group = process_group.as_deref().and_then(|name| global.groups.find(name));
    let sole = group.and_then(|(index, _)| global.groups.sole_script(index));
    let said = alias.options.application_group.as_ref().or(server.settings.application_group.as_ref());
    let application_group = match (plan::fixed_name(alias, server, GroupKind::Application), said) {
        (Some(name), _) => application(&name),
        (None, Some(name)) => name.to_string(),
        (None, None) if sole.is_some_and(|script| Path::new(script) == Path::new(&alias.target)) => {
            application("")
        }
        (None, None) => GroupName::Resource.to_string(),
    };
    let exists = |name: &String| name.is_empty() || group.is_some();
    let place = match process_group.as_ref().filter(|name| !exists(name)) {
        Some(name) => format!("{}: there is no process group {name}", alias.origin),
        None => alias.origin.to_string(),
    };
    let columns =
        [alias.mount().to_string(), alias.target.clone(), server.name.to_string(), application_group, place];
    // What has no group is listed with what is not known in advance.
    (process_group.filter(exists), columns)
}

fn application(name: &str) -> String {
    if name.is_empty() { GroupName::Global.to_string() } else { name.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::directives::tests::Site;
    use crate::config::options::tests::TestAccounts;
    use crate::config::walk::tests::Tree;

    fn listed(lines: &[&str]) -> String {
        let (mut site, mut global) = (Site::default(), GlobalConfig::default());
        for line in lines {
            site.read(&mut global, line).unwrap();
        }
        let (config, settings) = (&site.server, &site.settings);
        let servers = ["main.example", "host.example"].map(|name| ConfiguredServer {
            name,
            virtual_host: name.starts_with("host"),
            config,
            settings,
        });
        let accounts = TestAccounts { root: true };
        global.complete(&servers[..1], &accounts).unwrap();
        let tree = Tree::new(&["l /venv/bin/python -> /usr/bin/python3.11"]);
        let python = |group: &ProcessGroup| Some(group.interpreters().first()?.clone());
        let surroundings = Surroundings { files: &tree, accounts: &accounts, python: &python, served: &[] };
        listing(&global, &servers[..1], &surroundings)
    }

    #[test]
    fn groups_and_what_is_embedded() {
        let text = listed(&[
            "WSGIDaemonProcess blog user=bob processes=2 threads=5 python-home=/venv home=/srv env=SECRET=hush",
            "WSGIDaemonProcess worker threads=0",
            "WSGIScriptAlias /blog /srv/blog.py process-group=blog",
            "WSGIScriptAlias /in /srv/in.py",
            "WSGIScriptAlias /x /srv/x.py process-group=%{ENV:SITE} application-group=x",
            "WSGIScriptAlias /y /srv/y.py process-group=nowhere",
        ]);
        let expected = "\
WSGI: what runs where
process group blog (site.conf:1)
    user        bob (uid 1001, groups 33 50)
    processes   2, 5 threads each
    Python      /venv/bin/python (3.11)
    home        /srv
    /blog  /srv/blog.py  main.example  %{GLOBAL}  site.conf:3
process group worker (site.conf:2)
    user        www-data (uid 33, groups 33)
    processes   1, no threads for requests
    Python      none found
    no scripts
embedded in httpd's own processes
    user        www-data (uid 33, groups 33)
    Python      none found
    /in  /srv/in.py  main.example  %{RESOURCE}  site.conf:4
in no process group that is known in advance
    /x  /srv/x.py  main.example  x            site.conf:5
    /y  /srv/y.py  main.example  %{RESOURCE}  site.conf:6: there is no process group nowhere
";
        assert_eq!(text, expected);
        assert!(listed(&[]).contains("no process groups and no scripts"));
    }
}
