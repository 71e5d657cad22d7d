//! Scripts as every process knows them: what is loaded before a request asks for it, and what keeps a script
//! from being loaded. The supervisor, which maps no Python, knows no more of them.
//!
//! Said by the configuration (`hooks::plan`) and by daemons, which report what they have loaded
//! (`control::message`).

use serde::{Deserialize, Serialize};

/// A script to load, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preload {
    pub script: String,
    /// Empty for the main interpreter.
    pub application_group: String,
    /// None for `WSGIImportScript`, which is only executed.
    pub callable: Option<String>,
}

/// What a script needs that could not be loaded, where another process has it: a port, a lock, a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// In words.
    pub what: String,
    pub by: Holder,
}

/// Who has it; a process of the group may be a child of one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    Unknown,
    /// The very process that asks for it.
    Itself,
    OfGroup(i32),
    Other(i32),
    /// A process of another user, which cannot be named.
    Stranger,
}
