//! Executing a service script (`WSGIImportScript` of a group with `threads=0`) to its end.
//!
//! Runs in daemons without worker threads, on Python's main thread. Unlike other scripts, a service script
//! is not kept as a module for requests: its execution is all that there is.

use super::process_log::write_process_output;
use super::world::World;
use crate::log::Level;
use crate::python::error::Exc;
use crate::python::{Attached, Exception};

/// How a script ended, and the status of a process that ends with it.
pub struct ScriptEnd {
    pub status: i32,
    pub how: String,
    pub level: Level,
}

/// Executes the script; a traceback is logged here.
pub fn execute(py: Attached<'_>, world: &World, script: &str) -> ScriptEnd {
    if world.load_script(py, script.as_bytes()).is_ok() {
        return ScriptEnd { status: 0, how: "has come to its end".to_string(), level: Level::Warning };
    }
    let exception = Exception::fetch(py);
    if exception.is(py, Exc::SystemExit) {
        let status = exit_status(py, &exception);
        return ScriptEnd {
            status,
            how: format!("has raised SystemExit (status {status})"),
            level: Level::Warning,
        };
    }
    let traceback = world.describe(py, &exception);
    py.detached(|| write_process_output(Level::Error, traceback.as_bytes()));
    let reason = traceback.trim_end().lines().last().unwrap_or_default();
    let python = world.hints.about_import(py, &exception);
    let hint = world.hints.missing_module(py, &exception, script.as_bytes());
    let hint = hint.trim_end().trim_end_matches('.');
    let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
    let how = format!("has raised an exception ({reason}{python}{hint})");
    ScriptEnd { status: 1, how, level: Level::Error }
}

/// As Python has it: nothing is 0, a number is itself, and a text is shown and is 1.
fn exit_status(py: Attached<'_>, exception: &Exception) -> i32 {
    let code = exception.value.attribute(py, c"code");
    let Ok(code) = code.map_err(|_raised| drop(Exception::fetch(py))) else { return 1 };
    if code.is_none(py) {
        return 0;
    }
    if let Ok(number) = code.to_i64(py).map_err(|_raised| drop(Exception::fetch(py))) {
        return (number & 0xff) as i32;
    }
    let text = code.shown(py);
    py.detached(|| write_process_output(Level::Error, format!("{text}\n").as_bytes()));
    1
}
