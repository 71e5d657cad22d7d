//! Whether a group's user gets to its Python, its directories and its scripts, and httpd's own user to what it
//! maps requests to.
//!
//! Runs in the httpd parent. Where another user than root starts httpd, all processes are that user's own, and
//! nothing is checked.

use crate::config::alias::Alias;
use crate::config::global::{ConfiguredServer, GlobalConfig, GroupKind};
use crate::config::home::{Kind, User};
use crate::config::plan;
use crate::config::process_group::{Origin, ProcessGroup};
use crate::config::script_use::ScriptUse;
use crate::config::surroundings::Surroundings;
use crate::config::version;
use crate::config::walk::{self, Closed, Need};
use crate::log::{Code, Message};
use std::collections::{HashMap, HashSet};
use std::path::Path;

pub fn check(
    global: &GlobalConfig,
    servers: &[ConfiguredServer<'_>],
    surroundings: &Surroundings<'_>,
) -> Vec<Message> {
    let mut rights = Rights { global, surroundings, found: Vec::new(), hidden: Vec::new() };
    let aliases = aliases(servers);
    let mut by_group: HashMap<Option<&str>, Vec<&Alias>> = HashMap::new();
    for (group, alias) in &aliases {
        by_group.entry(group.as_deref()).or_default().push(alias);
    }
    let scripts: Vec<&ScriptUse> =
        servers.iter().flat_map(|server| &server.config.scripts).map(|s| &**s).collect();
    for group in global.groups.groups() {
        rights.group(group, by_group.get(&Some(&*group.name)).map_or(&[], Vec::as_slice), &scripts);
    }
    let embedded = |script: &&ScriptUse| script.fixed_group() == Some("");
    if by_group.contains_key(&Some("")) || scripts.iter().any(embedded) {
        rights.embedded();
    }
    let (of_groups, hidden) = (std::mem::take(&mut rights.found), std::mem::take(&mut rights.hidden));
    rights.httpd(&aliases, &scripts);
    let of_groups = of_groups.iter().map(|found| {
        let text = rights.text(found, &format!("which it needs for {}", found.behind.join(", ")));
        Message::new(Code::RightsMissing, text)
    });
    let of_httpd = rights.found.iter().map(|found| {
        let text = rights.text(found, &format!("so that requests for {} get 403", found.behind.join(", ")));
        Message::new(Code::HttpdShutOut, text)
    });
    of_groups.chain(of_httpd).chain(hidden).collect()
}

/// All aliases with their process groups (None where the request chooses it), in the order of the
/// configuration. What virtual hosts inherit comes once.
fn aliases<'a>(servers: &[ConfiguredServer<'a>]) -> Vec<(Option<String>, &'a Alias)> {
    let mut known = HashSet::new();
    let aliases = servers.iter().flat_map(|server| {
        let of_server = server.config.aliases.iter();
        of_server.map(|alias| (plan::fixed_name(alias, server, GroupKind::Process), alias))
    });
    aliases
        .filter(|(group, alias)| {
            let Origin { file, line } = &alias.origin;
            known.insert((file.as_str(), *line, alias.mount(), alias.target.as_str(), group.clone()))
        })
        .collect()
}

struct Rights<'a> {
    global: &'a GlobalConfig,
    surroundings: &'a Surroundings<'a>,
    found: Vec<Found>,
    /// What a group does not see of its own (`private-tmp=`, `protect-home=`).
    hidden: Vec<Message>,
}

/// A place that one user cannot pass, with all that is behind it.
struct Found {
    /// Who, in words.
    who: String,
    user: String,
    closed: Closed,
    behind: Vec<String>,
}

impl Rights<'_> {
    fn group(&mut self, group: &ProcessGroup, aliases: &[&Alias], scripts: &[&ScriptUse]) {
        let Some(user) = self.surroundings.user_of(group) else { return };
        let who = format!("WSGIDaemonProcess {} at {}: its user {}", group.name, group.origin, user.name);
        self.python(group, &user, &who);
        if let Some(home) = &group.home {
            self.walk(group, home, Need::Enter, &user, &who, format!("home={}", home.display()));
        }
        let imports = self.global.imports.iter().filter(|import| import.process_group == group.name);
        let imports = imports.map(|import| ("WSGIImportScript", &import.script, &import.origin));
        let aliases = aliases.iter().filter(|alias| alias.fixed_script().is_some());
        let aliases = aliases.map(|alias| ("WSGIScriptAlias", &alias.target, &alias.origin));
        let scripts = scripts.iter().filter(|script| script.fixed_group() == Some(&group.name));
        let scripts = scripts.map(|script| (script.directive, &script.script, &script.origin));
        for (directive, script, origin) in imports.chain(aliases).chain(scripts) {
            if let Some(path) = group.seen_from_inside(Path::new(script)) {
                let what = format!("the script {script} ({directive} at {origin})");
                self.walk(group, &path, Need::Read, &user, &who, what);
            }
        }
    }

    /// The Python in httpd's own processes.
    fn embedded(&mut self) {
        let Some(user) = self.surroundings.httpd_user() else { return };
        let mut own = ProcessGroup::new("", Origin::default());
        own.python_home.clone_from(&self.global.python.home);
        own.python_path.clone_from(&self.global.python.path);
        self.python(&own, &user, &format!("httpd's own user {}", user.name));
    }

    fn python(&mut self, group: &ProcessGroup, user: &User, who: &str) {
        if let Some(python) = (self.surroundings.python)(group) {
            self.walk(group, &python, Need::Execute, user, who, format!("the Python {}", python.display()));
            if let Some(home) = &group.python_home
                && let Some(version) =
                    version::of(&group.seen_from_outside(&python), self.surroundings.files, Some(user))
            {
                let packages =
                    home.join(format!("lib/python{}.{}/site-packages", version.major, version.minor));
                let what = format!("the packages {}", packages.display());
                self.walk(group, &packages, Need::Read, user, who, what);
            }
        }
        for path in group.python_path.iter().filter(|path| path.is_absolute()) {
            self.walk(group, path, Need::Read, user, who, format!("python-path {}", path.display()));
        }
    }

    fn walk(&mut self, group: &ProcessGroup, path: &Path, need: Need, user: &User, who: &str, what: String) {
        let user_home = group.identity.as_ref().map_or(Path::new("/"), |identity| &identity.user_home);
        if let Some(option) = group.walls.hides(path, user_home) {
            let text = format!(
                "WSGIDaemonProcess {} at {}: {option} hides {what} from its processes: put that elsewhere, or correct \
                 {option}",
                group.name, group.origin
            );
            return self.hidden.push(Message::new(Code::BehindWalls, text));
        }
        let root = group.chroot.as_deref().unwrap_or(Path::new("/"));
        if let Some(closed) = walk::closed(path, need, user, root, self.surroundings.files) {
            note(&mut self.found, who, user, closed, what);
        }
    }

    /// httpd looks at a script before it hands a request on, and reads it where it runs it itself.
    fn httpd(&mut self, aliases: &[(Option<String>, &Alias)], scripts: &[&ScriptUse]) {
        let Some(user) = self.surroundings.httpd_user() else { return };
        let who = format!("httpd's own user {}", user.name);
        let mut ours: Vec<&Path> = Vec::new();
        let mut walk = |path: &Path, need: Need, what: String, ours: Option<&[&Path]>| {
            let closed = walk::closed(path, need, &user, Path::new("/"), self.surroundings.files);
            let closed = closed.filter(|closed| {
                ours.is_none_or(|ours| ours.iter().any(|path| path.starts_with(&closed.place)))
            });
            if let Some(closed) = closed {
                note(&mut self.found, &who, &user, closed, what);
            }
        };
        for (group, alias) in aliases {
            let need = match (alias.fixed_script(), group.as_deref()) {
                (None, _) if !alias.is_directory() || alias.target.contains(['$', '&']) => continue,
                (None, _) => Need::Enter,
                (Some(_), Some("")) => Need::Read,
                (Some(_), _) => Need::Reach,
            };
            let target = Path::new(&alias.target);
            ours.push(target);
            walk(target, need, line("WSGIScriptAlias", alias.mount(), &alias.origin), None);
        }
        for script in scripts {
            let need = if script.fixed_group() == Some("") { Need::Read } else { Need::Reach };
            walk(
                Path::new(&script.script),
                need,
                line(script.directive, &script.script, &script.origin),
                None,
            );
        }
        for group in self.global.groups.groups().iter().filter(|group| group.chroot.is_none()) {
            ours.extend([&group.home, &group.python_home].into_iter().flatten().map(|path| path.as_path()));
            ours.extend(group.python_path.iter().map(|path| path.as_path()));
        }
        // Other modules' directories are none of ours, unless a site of ours is in the same place.
        for served in self.surroundings.served {
            let what = format!("{} at {}", served.directive, served.origin);
            let need = if self.surroundings.files.is_dir(&served.path) { Need::Enter } else { Need::Read };
            walk(&served.path, need, what, Some(&ours));
        }
    }

    fn text(&self, found: &Found, what_for: &str) -> String {
        let Found { who, user, closed, .. } = found;
        let (place, entry) = (closed.place.display(), &closed.entry);
        let owner = self.surroundings.owner(entry.uid);
        let bit = if closed.what == "read" { "r" } else { "x" };
        let bits = if closed.what == "read" && entry.kind == Kind::Directory { "rx" } else { bit };
        format!(
            "{who} may not {} {place} (mode {:04o}, owner {owner}), {what_for}: let it (setfacl -m \
             u:{user}:{bits} {place}, or chmod o+{bits} {place}), or put the site elsewhere",
            closed.what,
            entry.mode & 0o7777
        )
    }
}

fn line(directive: &str, url: &str, origin: &Origin) -> String {
    format!("{directive} {url} at {origin}")
}

fn note(found: &mut Vec<Found>, who: &str, user: &User, closed: Closed, what: String) {
    let same = |known: &&mut Found| known.who == who && known.closed == closed;
    match found.iter_mut().find(same) {
        Some(known) if known.behind.contains(&what) => {}
        Some(known) => known.behind.push(what),
        None => {
            let (who, user) = (who.to_string(), user.name.trim_start_matches('#').to_string());
            found.push(Found { who, user, closed, behind: vec![what] });
        }
    }
}
