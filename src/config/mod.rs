//! Everything the directives say, as plain values: no httpd types, no system calls.
//!
//! Filled in the httpd parent while it reads its configuration (`directives`), completed and
//! checked once at the end (`global`, `check`), then read by every process. As everywhere, each
//! module uses those below it.

pub mod env_file;

pub mod complete;
pub mod directives;

pub mod check;
pub mod listing;

pub mod surroundings;

pub mod version;
pub mod walk;

pub mod home;

pub mod plan;

pub mod actions;
pub mod without_effect;
pub mod words;

pub mod context;

pub mod global;

pub mod alias;
pub mod interpreter;
pub mod registry;
pub mod settings;

pub mod script_use;

pub mod network;
pub mod proxy_headers;

pub mod group_name;
pub mod options;

pub mod nearest;
pub mod process_group;

pub mod limits;
pub mod server_facts;
pub mod walls;

pub mod values;
