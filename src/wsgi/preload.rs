//! Scripts that are loaded before the first request asks for them.
//!
//! Runs in daemons and in httpd children with embedded mode, on Python's main thread at its start.

use super::interpreters::{Interpreter, Interpreters, callable};
use super::log_stream::{write_message, write_process_output};
use crate::log::Level;
use crate::python::Attached;
use crate::python::attach::ThreadState;

/// A script to load, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preload {
    pub script: String,
    /// Empty for the main interpreter.
    pub application_group: String,
    /// None for `WSGIImportScript`, which is only executed.
    pub callable: Option<String>,
}

/// Loads all of them. False if one failed: its requests are answered 500, and a roll-out of new code
/// stops here.
pub fn load_all(py: Attached<'_>, interpreters: &Interpreters, scripts: &[Preload]) -> bool {
    let main = interpreters.main();
    let mut loaded = true;
    for preload in scripts {
        if preload.application_group.is_empty() {
            loaded &= load(py, main, preload);
            continue;
        }
        // Another interpreter: through a state of its own, which needs this thread detached.
        loaded &= py.detached(|| {
            let main_state = ThreadState::new(main.state);
            match interpreters.get(&main_state, &preload.application_group) {
                Ok(interpreter) => {
                    ThreadState::new(interpreter.state).attached(|py| load(py, &interpreter, preload))
                }
                Err(message) => {
                    write_message(Level::Error, &message);
                    false
                }
            }
        });
    }
    loaded
}

fn load(py: Attached<'_>, interpreter: &Interpreter, preload: &Preload) -> bool {
    let path = preload.script.as_bytes();
    match interpreter.scripts.get(py, &interpreter.world, path, None) {
        Ok(loaded) => match &preload.callable {
            Some(name) => callable(py, &interpreter.world, &loaded.module, name.as_bytes()).is_some(),
            None => true,
        },
        Err(failure) => {
            let mut text = failure.traceback.unwrap_or_default();
            text.push_str(&format!("{}\n", failure.message));
            py.detached(|| write_process_output(Level::Error, text.as_bytes()));
            false
        }
    }
}
