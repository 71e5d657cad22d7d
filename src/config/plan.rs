//! Facts about scripts that are known before the first request: which groups serve exactly one script, and
//! which scripts a daemon loads before it reports ready.
//!
//! Runs in the httpd parent at the end of the configuration, and when it plans its processes. Where a
//! section might send a URL elsewhere, nothing is assumed.

use std::collections::HashSet;

use crate::config::alias::{Alias, Pattern};
use crate::config::global::{ConfiguredServer, GlobalConfig, GroupKind};
use crate::config::group_name::GroupName;
use crate::config::registry::Registry;
use crate::config::script_use::ScriptUse;

/// A script to load when a process of a group starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPreload {
    /// Empty for embedded mode.
    pub process_group: String,
    pub script: String,
    /// Empty for the main interpreter.
    pub application_group: String,
    /// None for `WSGIImportScript`, which is only executed.
    pub callable: Option<String>,
}

/// For each process group the one script it serves, if it is known to serve exactly one: the same
/// file under one URL of one server name (the same host with and without TLS counts once).
pub fn sole_scripts(groups: &Registry, servers: &[ConfiguredServer<'_>]) -> Vec<Option<String>> {
    let mut served: Vec<HashSet<(String, &str, &str)>> = vec![HashSet::new(); groups.groups().len()];
    let mut many = vec![false; served.len()];
    for server in servers {
        for alias in &server.config.aliases {
            let name = fixed_name(alias, server, GroupKind::Process);
            let Some((index, group)) = name.as_deref().and_then(|name| groups.find(name)) else { continue };
            match alias.fixed_script() {
                _ if !group.open_to(server.name) => {}
                Some(script) => {
                    served[index].insert((server.name.to_lowercase(), alias.mount(), script));
                }
                None => many[index] = true,
            }
        }
    }
    let only = |(served, many): (HashSet<(String, &str, &str)>, bool)| match served.len() {
        1 if !many => served.into_iter().next().map(|(_, _, script)| script.to_string()),
        _ => None,
    };
    served.into_iter().zip(many).map(only).collect()
}

/// Everything to load in advance: the imports, then the scripts of aliases whose process group,
/// application group and callable are all fixed, then those for access control, dispatch and handlers that have
/// a process group. Needs a completed configuration.
pub fn preloads(global: &GlobalConfig, servers: &[ConfiguredServer<'_>]) -> Vec<GroupPreload> {
    let imports = global.imports.iter().map(|import| GroupPreload {
        process_group: import.process_group.clone(),
        script: import.script.clone(),
        application_group: import.application_group.clone(),
        callable: None,
    });
    let aliases = servers.iter().flat_map(|server| {
        server.config.aliases.iter().filter_map(|alias| alias_preload(alias, server, &global.groups))
    });
    let scripts = servers.iter().flat_map(|server| server.config.scripts.iter());
    let scripts = scripts.filter_map(|script| script_preload(script));
    let mut preloads: Vec<GroupPreload> = Vec::new();
    for preload in imports.chain(aliases).chain(scripts) {
        let known = preload.process_group.is_empty() || global.groups.find(&preload.process_group).is_some();
        if known && !preloads.contains(&preload) {
            preloads.push(preload);
        }
    }
    preloads
}

fn alias_preload(alias: &Alias, server: &ConfiguredServer<'_>, groups: &Registry) -> Option<GroupPreload> {
    let script = alias.fixed_script()?;
    let process_group = fixed_name(alias, server, GroupKind::Process)?;
    if process_group.is_empty() && alias.options.process_group.is_none() {
        // Not every child of httpd is to hold Python because one location might run there.
        return None;
    }
    let group = groups.find(&process_group);
    if group.is_some_and(|(_, group)| !group.open_to(server.name)) {
        return None;
    }
    let sole = group.and_then(|(index, _)| groups.sole_script(index)) == Some(script);
    let application_group = match fixed_name(alias, server, GroupKind::Application) {
        Some(name) => name,
        None if sole && !chooses_interpreter(alias, server) => String::new(),
        None => return None,
    };
    let callable = alias.options.callable_object.as_ref().or(server.settings.callable_object.as_ref());
    let callable = callable.map_or(Some("application"), GroupName::fixed)?.to_string();
    Some(GroupPreload {
        process_group,
        script: script.to_string(),
        application_group,
        callable: Some(callable),
    })
}

/// Only for daemons: the children of httpd start Python when a script of theirs is first needed.
fn script_preload(script: &ScriptUse) -> Option<GroupPreload> {
    let process_group = script.fixed_group().filter(|name| !name.is_empty())?.to_string();
    let application_group = script.application_group.as_ref()?.fixed()?.to_string();
    Some(GroupPreload { process_group, script: script.script.clone(), application_group, callable: None })
}

/// The name of the alias's group, unless it depends on the request. None also stands for the
/// default application group.
pub fn fixed_name(alias: &Alias, server: &ConfiguredServer<'_>, kind: GroupKind) -> Option<String> {
    let (own, outer) = layers(alias, server, kind);
    if let Some(name) = own {
        return name.fixed().map(str::to_string);
    }
    let mut inner: Option<&GroupName> = None;
    for (section, name) in sections(server, kind) {
        match concerns(section, alias) {
            Some(false) => {}
            Some(true) if inner.is_none_or(|other| other == name) => inner = Some(name),
            Some(true) | None => return None,
        }
    }
    match (inner.or(outer), kind) {
        (Some(name), _) => name.fixed().map(str::to_string),
        (None, GroupKind::Process) => Some(String::new()),
        (None, GroupKind::Application) => None,
    }
}

/// Whether any layer that may concern the alias says which interpreter to use.
fn chooses_interpreter(alias: &Alias, server: &ConfiguredServer<'_>) -> bool {
    let (own, outer) = layers(alias, server, GroupKind::Application);
    let mut sections = sections(server, GroupKind::Application);
    own.or(outer).is_some() || sections.any(|(section, _)| concerns(section, alias) != Some(false))
}

fn layers<'a>(
    alias: &'a Alias,
    server: &ConfiguredServer<'a>,
    kind: GroupKind,
) -> (Option<&'a GroupName>, Option<&'a GroupName>) {
    let (own, outer) = (&alias.options, server.settings);
    match kind {
        GroupKind::Process => (own.process_group.as_ref(), outer.process_group.as_ref()),
        GroupKind::Application => (own.application_group.as_ref(), outer.application_group.as_ref()),
    }
}

fn sections<'a>(
    server: &ConfiguredServer<'a>,
    kind: GroupKind,
) -> impl Iterator<Item = (&'a str, &'a GroupName)> {
    let uses = server.config.uses.iter().filter(move |group_use| group_use.kind == kind);
    uses.filter_map(|group_use| Some((group_use.section.as_deref()?, &group_use.name)))
}

/// Whether a section applies to every URL of the alias (or to none); None when it is not certain.
/// A section is a file path, a URL path, a pattern of either, or a file name, and only its text
/// is known here.
fn concerns(section: &str, alias: &Alias) -> Option<bool> {
    let covers = |path: &str| {
        let rest = path.strip_prefix(section.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if section.contains(['*', '?', '[', '(', '^', '$', '|', '\\', '~']) {
        return None;
    }
    if !section.starts_with('/') {
        let same_file = alias.target.rsplit('/').next() == Some(section);
        return if same_file { None } else { Some(false) };
    }
    match &alias.pattern {
        _ if covers(&alias.target) => Some(true),
        Pattern::Prefix(prefix) => Some(covers(prefix)),
        Pattern::Regex { .. } => None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
