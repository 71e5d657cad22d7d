//! What the supervisor and the Python in a child need of the configuration: groups, scripts, interpreters.
//!
//! Runs in the httpd parent, in the supervisor just after its fork, and in each child.

use crate::apache::accounts::{SystemAccounts, effective_ids};
use crate::apache::scoreboard;
use crate::apache::server::{self, main_server};
use crate::config::global::{HashSeed, PythonOptions};
use crate::config::interpreter::{ByApplicationGroup, InterpreterOptions};
use crate::config::options::Accounts;
use crate::config::plan::GroupPreload;
use crate::config::process_group::ProcessGroup;
use crate::control::generation::GenerationWatch;
use crate::control::module_file::ModuleFile;
use crate::process::{Configuration, Parent};
use crate::script::Preload;
use crate::spawn::Launcher;
use crate::supervisor::{GroupPlan, Plan, Start};
use std::path::{Path, PathBuf};

/// The groups that have processes, with their numbers: to serve requests, or to execute service scripts.
pub fn supervised(configuration: &Configuration) -> impl Iterator<Item = (usize, &ProcessGroup)> {
    let groups = configuration.global.groups.groups().iter().enumerate();
    groups.filter(|(_, group)| group.threads > 0 || !preload(configuration, group).is_empty())
}

/// What the supervisor needs to know, in its own process: it takes the listeners out of its copy.
pub fn supervision(
    parent: &mut Parent,
    configuration: &Configuration,
    module: &'static ModuleFile,
    watch: GenerationWatch,
    parent_pid: i32,
) -> Plan {
    let groups = supervised(configuration).filter_map(|(index, group)| {
        let listener = parent.listeners.take(&group.name)?;
        let (preload, interpreters) = (preload(configuration, group), interpreters(configuration, group));
        let walls = parent.walls.take(&group.name);
        Some(GroupPlan { index, group: group.clone(), listener, walls, preload, interpreters })
    });
    Plan {
        groups: groups.collect(),
        generation: configuration.generation,
        watch,
        start: Start {
            launcher: launcher(configuration, module, parent.soft_limit),
            server: server::facts(),
            socket_timeout: main_server().timeout(),
            scoreboard: scoreboard::read,
        },
        parent: parent_pid,
    }
}

/// How the interpreters of a group's processes are made; of the group without a name, those in httpd's
/// children.
pub fn interpreters(configuration: &Configuration, group: &ProcessGroup) -> ByApplicationGroup {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let base = InterpreterOptions {
        python_path: group.python_path.iter().map(text).collect(),
        switch_interval: group.switch_interval.unwrap_or(0.0),
        ..InterpreterOptions::default()
    };
    configuration.global.interpreters.resolve(&group.name, &base)
}

pub fn preload(configuration: &Configuration, group: &ProcessGroup) -> Vec<Preload> {
    let executed = |preload: &&GroupPreload| group.threads > 0 || preload.callable.is_none();
    let preloads = configuration.preloads.iter().filter(|preload| preload.process_group == group.name);
    let preloads = preloads.filter(executed);
    preloads
        .filter_map(|preload| {
            Some(Preload {
                script: group.seen_from_inside(Path::new(&preload.script))?.to_string_lossy().into_owned(),
                application_group: preload.application_group.clone(),
                callable: preload.callable.clone(),
            })
        })
        .collect()
}

/// The `WSGIPython…` directives as options and environment of the interpreter.
fn launcher(
    configuration: &Configuration,
    module: &'static ModuleFile,
    descriptors: Option<u64>,
) -> Launcher {
    let python = &configuration.global.python;
    Launcher {
        flags: python_flags(python),
        module,
        environment: python_environment(python),
        httpd_uid: httpd_uid(),
        descriptors,
        finish: python.destroy_interpreter,
        #[cfg(test)]
        program: None,
    }
}

pub fn python_flags(python: &PythonOptions) -> Vec<String> {
    let mut flags = Vec::new();
    if !python.write_bytecode {
        flags.push("-B".to_string());
    }
    if python.optimize > 0 {
        flags.push(format!("-{}", "O".repeat(python.optimize.into())));
    }
    for filter in &python.warnings {
        flags.push(format!("-W{filter}"));
    }
    flags
}

pub fn python_environment(python: &PythonOptions) -> Vec<(String, String)> {
    let seed = python.hash_seed.map(|seed| match seed {
        HashSeed::Random => "random".to_string(),
        HashSeed::Fixed(number) => number.to_string(),
    });
    seed.map(|seed| ("PYTHONHASHSEED".to_string(), seed)).into_iter().collect()
}

fn httpd_uid() -> u32 {
    let accounts = SystemAccounts;
    if accounts.running_as_root() { accounts.httpd_user().uid } else { effective_ids().0 }
}
