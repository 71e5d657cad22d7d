//! The things that a configuration asks for and that are not there: the check of every start and of
//! configtest.
//!
//! Runs in the httpd parent, after `GlobalConfig::complete`. Everything that it finds may come right while
//! httpd runs, or concerns one site only. So each finding is a warning that names the line and the cure; the
//! request that meets it gets an error answer.

mod namesakes;
mod packages;
mod rights;
mod shadowed;
mod shared_group;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::config::alias::Alias;
use crate::config::global::{ConfiguredServer, GlobalConfig, GroupKind, GroupUse};
use crate::config::group_name::GroupName;
use crate::config::home::{self, Files, Mistake};
use crate::config::plan::{self, GroupPreload};
use crate::config::process_group::{Origin, ProcessGroup};
use crate::config::surroundings::Surroundings;
use crate::log::{Code, Message};

struct Check<'a> {
    global: &'a GlobalConfig,
    surroundings: &'a Surroundings<'a>,
    files: &'a dyn Files,
    notes: Vec<Message>,
}

/// Each finding once, in the order of the configuration.
pub fn check(
    global: &GlobalConfig,
    servers: &[ConfiguredServer<'_>],
    surroundings: &Surroundings<'_>,
) -> Vec<Message> {
    let mut check = Check { global, surroundings, files: surroundings.files, notes: Vec::new() };
    check.socket_prefix();
    let preloads = plan::preloads(global, servers);
    for group in global.groups.groups() {
        check.group(group);
        check.preload(group, &preloads);
    }
    check.unused_groups(servers);
    for server in servers {
        for alias in &server.config.aliases {
            check.alias(alias);
        }
        for script in &server.config.scripts {
            check.script(script.directive, &script.script, &script.origin, 500);
            check.outside(&script.script, script.fixed_group().unwrap_or_default(), &script.origin);
        }
        for group_use in &server.config.uses {
            check.group_use(group_use, server);
        }
    }
    for import in &global.imports {
        check.script("WSGIImportScript", &import.script, &import.origin, 404);
        check.outside(&import.script, &import.process_group, &import.origin);
    }
    check.embedded_python(servers);
    check.notes.extend(rights::check(global, servers, surroundings));
    check.notes.extend(packages::check(global, surroundings));
    check.notes.extend(shadowed::check(servers));
    check.notes.extend(namesakes::check(global, surroundings));
    check.notes.extend(shared_group::check(global, surroundings));
    // Virtual hosts repeat what they inherit.
    let mut seen = HashSet::new();
    check.notes.retain(|message| seen.insert(message.text.clone()));
    check.notes
}

impl Check<'_> {
    fn preload(&mut self, group: &ProcessGroup, preloads: &[GroupPreload]) {
        let of_group = |preload: &&GroupPreload| preload.process_group == group.name;
        let in_main = |preload: &GroupPreload| preload.application_group.is_empty();
        if group.preload && (group.threads == 0 || !preloads.iter().filter(of_group).any(in_main)) {
            let text = format!(
                "WSGIDaemonProcess {} at {}: preload=On has no effect, since no script for the main interpreter of the \
                 group is known in advance: give WSGIScriptAlias a fixed process-group= and \
                 application-group=%{{GLOBAL}}, or remove it",
                group.name, group.origin
            );
            self.warn(Code::PreloadWithoutScript, text);
        }
    }

    fn warn(&mut self, code: Code, text: String) {
        self.notes.push(Message::new(code, text));
    }

    /// Whether it is one, as far as this process may know.
    fn is_dir(&self, path: &Path) -> bool {
        self.files.is_dir(path) || self.files.is_hidden(path)
    }

    fn socket_prefix(&mut self) {
        if let Some((prefix, origin)) = &self.global.socket_prefix
            && let Some(directory) = prefix.parent()
            && !self.is_dir(directory)
        {
            self.warn(
                Code::SocketPrefixMissing,
                format!(
                    "WSGISocketPrefix at {origin}: there is no directory {}, so no daemon can be reached: \
                     create it, or name another",
                    directory.display()
                ),
            );
        }
    }

    fn group(&mut self, group: &ProcessGroup) {
        let label = format!("WSGIDaemonProcess {} at {}", group.name, group.origin);
        self.interpreter(group, &label, "its daemons cannot start");
        self.env_files(group, &label);
        self.walls(group, &label);
        let imports = &self.global.imports;
        if group.threads == 0 && !imports.iter().any(|import| import.process_group == group.name) {
            self.warn(
                Code::ServiceScriptMissing,
                format!(
                    "{label}: with threads=0 and no service script it has no process: add WSGIImportScript script \
                     process-group={} application-group=%{{GLOBAL}}, or give it threads",
                    group.name
                ),
            );
        }
        if let Some(home) = &group.home
            && !self.is_dir(&group.seen_from_outside(home))
        {
            self.warn(
                Code::HomeMissing,
                format!("{label}: home {} is not a directory: create it, or correct home=", home.display()),
            );
        }
        for path in group.python_path.iter().filter(|path| path.is_absolute()) {
            self.python_path(&format!("{label}: python-path"), path, group);
        }
    }

    /// Python imports from directories, and from zip files and directories in them.
    fn python_path(&mut self, label: &str, path: &Path, group: &ProcessGroup) {
        let here = &*group.seen_from_outside(path);
        let there = here.ancestors().find(|path| self.files.exists(path)).unwrap_or(here);
        let is_zip = || self.files.is_zip(there, self.surroundings.reader(group).as_ref());
        if (there == here && self.is_dir(here)) || is_zip() || self.files.is_hidden(there) {
            return;
        }
        let text = format!(
            "{label} {} is neither a directory nor a zip file, so nothing is imported from it: create it, or correct \
             the line",
            path.display()
        );
        self.warn(Code::PythonPathMissing, text);
    }

    fn env_files(&mut self, group: &ProcessGroup, label: &str) {
        for file in &group.env_files {
            if !self.files.exists(file) {
                self.warn(
                    Code::EnvFileMissing,
                    format!(
                        "{label}: there is no file {}, so its daemons cannot start: create it, or correct \
                         env-file=",
                        file.display()
                    ),
                );
            }
        }
    }

    fn walls(&mut self, group: &ProcessGroup, label: &str) {
        if group.walls.any() && group.identity.is_none() {
            let text = format!(
                "{label}: only root can do what {0} asks for, and httpd was not started by root, so its daemons cannot \
                 start: start httpd as root, or remove {0}",
                group.walls.options()
            );
            self.warn(Code::WallsWithoutRoot, text);
        }
    }

    fn interpreter(&mut self, group: &ProcessGroup, label: &str, what_follows: &str) {
        let paths: Vec<PathBuf> =
            group.interpreters().iter().map(|path| group.seen_from_outside(path)).collect();
        if paths.is_empty()
            || paths.iter().any(|path| self.files.is_executable(path) || self.files.is_hidden(path))
        {
            return;
        }
        if let Some(Mistake { code, what, cure }) = home::mistake(group, self.files) {
            return self.warn(code, format!("{label}: {what}, so {what_follows}: {cure}"));
        }
        match (&group.python, &group.python_home) {
            (None, Some(home)) => self.warn(
                Code::PythonHomeEmpty,
                format!(
                    "{label}: python-home {} has no bin/python, so {what_follows}: create the \
                     virtual environment ({}), or correct python-home= or WSGIPythonHome",
                    home.display(),
                    home::creation(home)
                ),
            ),
            _ => self.warn(
                Code::PythonNotExecutable,
                format!(
                    "{label}: python {} is no program that can be executed, so {what_follows}: \
                     correct python=",
                    paths[0].display()
                ),
            ),
        }
    }

    fn unused_groups(&mut self, servers: &[ConfiguredServer<'_>]) {
        let uses =
            || servers.iter().flat_map(|server| &server.config.uses).filter(|u| u.kind == GroupKind::Process);
        let mut scripts = servers.iter().flat_map(|server| &server.config.scripts);
        let dispatched = scripts.any(|script| script.directive == "WSGIDispatchScript");
        if dispatched || uses().any(|group_use| group_use.name.fixed().is_none()) {
            return;
        }
        let global = self.global;
        let named = |name: &str| uses().any(|group_use| group_use.name.fixed() == Some(name));
        // Those are named by the message about the wrong name.
        let mistyped = |group: &ProcessGroup| {
            let mut names = uses().filter_map(|group_use| group_use.name.fixed());
            names.any(|name| global.groups.find(name).is_none() && global.groups.nearest(name) == Some(group))
        };
        for group in global.groups.groups().iter().filter(|group| group.threads > 0) {
            if !named(&group.name) && !mistyped(group) {
                self.warn(
                    Code::GroupUnused,
                    format!(
                        "process group '{0}' at {1} serves no script: add process-group={0} to a \
                         WSGIScriptAlias, or remove the line",
                        group.name, group.origin
                    ),
                );
            }
        }
    }

    fn outside(&mut self, script: &str, group: &str, origin: &Origin) {
        let group = self.global.groups.find(group).map(|(_, group)| group);
        if let Some(group) = group.filter(|group| group.seen_from_inside(Path::new(script)).is_none()) {
            let text = format!(
                "{script} at {origin} is not below the chroot= of process group {} at {}, so it is not loaded, and \
                 requests for it get 403: move it there, and name it as httpd sees it",
                group.name, group.origin
            );
            self.warn(Code::ScriptOutsideChroot, text);
        }
    }

    fn alias(&mut self, alias: &Alias) {
        if alias.fixed_script().is_some() {
            self.script("WSGIScriptAlias", &alias.target, &alias.origin, 404);
            let group = alias.options.process_group.as_ref().and_then(GroupName::fixed);
            self.outside(&alias.target, group.unwrap_or_default(), &alias.origin);
        } else if alias.is_directory()
            && !alias.target.contains(['$', '&'])
            && !self.is_dir(Path::new(&alias.target))
        {
            self.warn(
                Code::ScriptDirectoryMissing,
                format!(
                    "WSGIScriptAlias at {}: {} ends with a slash, but is no directory: create the \
                     directory of scripts, or remove the slash if it is a script",
                    alias.origin, alias.target
                ),
            );
        }
    }

    /// `status` is what requests get for a script that is missing.
    fn script(&mut self, directive: &str, script: &str, origin: &Origin, status: u16) {
        let path = Path::new(script);
        if self.files.is_dir(path) {
            self.warn(
                Code::ScriptIsDirectory,
                format!(
                    "{directive} at {origin}: {script} is a directory: name the script in it, or for a \
                     directory of scripts end both the URL path and the directory with a slash"
                ),
            );
        } else if !self.files.exists(path) {
            self.warn(
                Code::ScriptMissing,
                format!(
                    "{directive} at {origin}: there is no script {script}; requests for it get {status}: create \
                     it, or correct the path"
                ),
            );
        }
    }

    fn group_use(&mut self, group_use: &GroupUse, server: &ConfiguredServer<'_>) {
        let GroupUse { directive, name, origin, .. } = group_use;
        if let Some(cure) = name.unknown_form() {
            self.warn(
                Code::NameFormUnknown,
                format!("{directive} at {origin}: '{name}' is used literally as a name: {cure}"),
            );
            return;
        }
        let Some(fixed) = name.fixed() else { return };
        if group_use.kind == GroupKind::Application || fixed.is_empty() {
            return;
        }
        match self.global.groups.find(fixed) {
            None => {
                let cure = match self.global.groups.nearest(fixed) {
                    Some(near) => format!(
                        "did you mean '{}', which is defined at {}? Correct one of the two names",
                        near.name, near.origin
                    ),
                    None => format!("add WSGIDaemonProcess {fixed}, or correct the name"),
                };
                let text = format!(
                    "{directive} at {origin}: there is no process group '{fixed}'; requests for it get 500: {cure}"
                );
                self.warn(Code::GroupUndefined, text);
            }
            Some((_, group)) if !group.open_to(server.name) => self.warn(
                Code::GroupForeign,
                format!(
                    "{directive} at {origin}: process group '{fixed}' belongs to the virtual host {} ({}); \
                     requests for it in {} get 500: define it outside of <VirtualHost>",
                    group.server_name.as_deref().unwrap_or_default(),
                    group.origin,
                    server.name
                ),
            ),
            Some((_, group)) if group.threads == 0 && *directive != "WSGIImportScript" => self.warn(
                Code::GroupWithoutThreads,
                format!(
                    "{directive} at {origin}: process group '{fixed}' has threads=0 ({}) and serves no requests; \
                     they get 500: choose another group, or give it threads",
                    group.origin
                ),
            ),
            Some(_) => {}
        }
    }

    fn embedded_python(&mut self, servers: &[ConfiguredServer<'_>]) {
        let global = self.global;
        let embedded = |alias: &Alias, server| {
            plan::fixed_name(alias, server, GroupKind::Process).is_some_and(|name| name.is_empty())
        };
        let mut own = ProcessGroup::new("", Origin::default());
        if servers.iter().any(|server| server.config.aliases.iter().any(|alias| embedded(alias, server))) {
            own.python_home.clone_from(&global.python.home);
            self.interpreter(&own, "embedded mode", "no script runs in httpd's own processes");
        }
        for path in global.python.path.iter().filter(|path| path.is_absolute()) {
            self.python_path("WSGIPythonPath:", path, &own);
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
