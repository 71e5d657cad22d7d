//! The scripts that a process has loaded: those that its launch names, and those that requests have added.
//!
//! Runs in daemons and templates. The process reports each added script to the supervisor. A successor then
//! loads the same scripts before it serves; if it cannot, it does not replace a process that could.

use crate::control::channel::ControlDaemon;
use crate::control::launch::Launch;
use crate::control::message::{Loads, Report};
use crate::interpreter::interpreters::Interpreters;
use crate::interpreter::preload;
use crate::log::Message;
use crate::python::Attached;
use crate::script::Preload;
use crate::site::owner;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;

#[derive(Default)]
pub struct LoadedScripts {
    configured: Mutex<Vec<Preload>>,
    /// Scripts and their application groups.
    done: Mutex<HashSet<(String, String)>>,
}

impl LoadedScripts {
    /// Leaves out of the launch what is there no more, and what may not run: their owners are looked at here,
    /// with the rights of the group.
    pub fn admit(&self, launch: &mut Launch, control: &ControlDaemon) -> Vec<Message> {
        let (group, mut refused) = (&launch.group, Vec::new());
        launch.learned.retain(|learned| {
            let vanished = Path::new(&learned.script)
                .metadata()
                .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory));
            if vanished {
                // Unheard it is found again by the next process.
                let _ = control.send(&Report::Vanished { script: learned.script.clone() });
            }
            !vanished
        });
        let mut may_run = |script: &Preload| {
            let checked = owner::check(Path::new(&script.script), group);
            checked.map_err(|message| refused.push(message)).is_ok()
        };
        launch.preload.retain(&mut may_run);
        launch.learned.retain(&mut may_run);
        refused
    }

    /// Loads what the launch names, as far as it can be.
    pub fn load(
        &self,
        py: Attached<'_>,
        interpreters: &Interpreters,
        configured: &[Preload],
        learned: &[Preload],
    ) -> Loads {
        *self.configured.lock() = configured.to_vec();
        let count = |scripts| preload::load_all(py, interpreters, scripts) as u32;
        let loaded = count(configured);
        let forgotten = learned.len() as u32 - count(learned);
        Loads { loaded, failed: configured.len() as u32 - loaded, forgotten }
    }

    /// What to report of a script that has just been loaded; None if it was before.
    pub fn note(&self, script: &[u8], application_group: &str) -> Option<Report> {
        let script = String::from_utf8(script.to_vec()).ok()?;
        let mut done = self.done.lock();
        if !done.insert((script.clone(), application_group.to_string())) {
            return None;
        }
        let has =
            |preload: &&Preload| done.contains(&(preload.script.clone(), preload.application_group.clone()));
        let loaded = self.configured.lock().iter().filter(has).count() as u32;
        Some(Report::Loaded { script, application_group: application_group.to_string(), loaded })
    }
}
