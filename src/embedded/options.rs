//! The options with which the Python inside an httpd child is started.
//!
//! Made (`hooks::child`) and used in httpd children.

use std::path::PathBuf;

use crate::config::process_group::ProcessGroup;
use crate::interpreter::world::ProcessFacts;
use crate::script::Preload;

/// How Python is started, and what it tells applications.
pub struct Options {
    /// Says which interpreter; never started as a process of its own.
    pub group: ProcessGroup,
    /// Options of the interpreter, such as `-B` or `-O`.
    pub flags: Vec<String>,
    /// This very module's file.
    pub module: PathBuf,
    pub facts: ProcessFacts,
    pub preload: Vec<Preload>,
    /// `WSGIDestroyInterpreter`: whether interpreters come to an orderly end.
    pub finish: bool,
}
