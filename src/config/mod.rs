//! Everything the directives say, as plain values: no httpd types, no system calls.
//!
//! Filled in the httpd parent while it reads its configuration (`directives`), completed and
//! checked once at the end (`global`, `check`), then read by every process. The order below is the
//! order of use: each module uses those above it.

pub mod nearest;
pub mod process_group;
pub mod values;
pub mod words;

pub mod group_name;
pub mod settings;

pub mod alias;
pub mod options;
pub mod registry;

pub mod global;
pub mod plan;

pub mod actions;
pub mod check;
pub mod directives;
