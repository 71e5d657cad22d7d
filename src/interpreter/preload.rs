//! Loading scripts before the first request asks for them.
//!
//! Runs in daemons, templates and httpd children with embedded mode, on Python's main thread at its start.

use super::interpreters::{Interpreter, Interpreters, callable};
use super::process_log::{write_message, write_process_output};
use crate::python::Attached;
use crate::python::attach::{self, ThreadState};
use crate::script::Preload;

/// Loads all of them; how many could be. The others are in the log.
pub fn load_all(py: Attached<'_>, interpreters: &Interpreters, scripts: &[Preload]) -> usize {
    let main = interpreters.main();
    let load = |preload: &&Preload| {
        if preload.application_group.is_empty() {
            return load(py, main, preload);
        }
        // Another interpreter: through a state of its own, which needs this thread detached.
        py.detached_with_state(|main_state| match interpreters.get(main_state, &preload.application_group) {
            Ok(interpreter) => {
                ThreadState::new(interpreter.state).attached(|py| load(py, &interpreter, preload))
            }
            Err(message) => {
                write_message(&message);
                false
            }
        })
    };
    scripts.iter().filter(load).count()
}

fn load(py: Attached<'_>, interpreter: &Interpreter, preload: &Preload) -> bool {
    let path = preload.script.as_bytes();
    let loaded = attach::in_this_process(|| interpreter.scripts.get(py, &interpreter.world, path, None));
    match loaded {
        Ok(loaded) => {
            let named = preload.callable.as_ref().map(String::as_bytes);
            let found = named.map(|name| callable(py, &interpreter.world, &loaded.module, path, name));
            let missing = found.and_then(Result::err);
            if let Some(message) = &missing {
                py.detached(|| write_message(message));
            }
            missing.is_none()
        }
        Err(failure) => {
            let mut text = failure.traceback.unwrap_or_default();
            text.push_str(&format!("{}\n", failure.message));
            py.detached(|| write_process_output(failure.message.level, text.as_bytes()));
            false
        }
    }
}
