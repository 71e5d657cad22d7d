//! The state of httpd's parent and children: what is set when, and by which code.
//!
//! `MODULE_FILE` is set in the httpd parent at its start, for the parent and all processes forked from it.
//! `BUILDING` fills in the httpd parent while it reads the configuration, and holds nothing that a
//! `.htaccess` file may change. `PARENT` is the parent's alone, from one configuration to the next.
//! `child_init` sets `CHILD` once in each httpd child, and requests only read it. A daemon's state is not
//! here: it is a value that `daemon::serve` owns. The borders have statics of their own: function tables, and what
//! signal and fork handlers read.

use crate::apache::Server;
use crate::apache::process::module_path;
use crate::apache::regex::Regex;
use crate::client::Client;
use crate::config::global::GlobalConfig;
use crate::config::plan::GroupPreload;
use crate::control::generation::{GenerationHolder, GenerationWatch};
use crate::control::listener::Registry;
use crate::control::module_file::ModuleFile;
use crate::control::walls;
use crate::embedded::Embedded;
use crate::log::Message;
use once_cell::sync::{Lazy, OnceCell};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// What the directives have said so far.
#[derive(Default)]
pub struct Building {
    pub global: GlobalConfig,
    /// In the order of `GlobalConfig::patterns`.
    pub regexes: Vec<Regex>,
    /// Messages that do not stop httpd from starting.
    pub notes: Vec<Message>,
}

pub static BUILDING: Lazy<Mutex<Building>> = Lazy::new(Mutex::default);

/// What httpd has loaded, opened when the first configuration was complete. The library is never unloaded, so
/// that this is the file of every generation.
static MODULE_FILE: OnceCell<ModuleFile> = OnceCell::new();

pub fn module_file() -> &'static ModuleFile {
    MODULE_FILE.get_or_init(|| ModuleFile::open(&module_path()))
}

/// A configuration that was read to its end; nothing in it changes any more.
pub struct Configuration {
    pub global: GlobalConfig,
    pub regexes: Vec<Regex>,
    pub preloads: Vec<GroupPreload>,
    /// The server whose error log a group writes to, in the order of the groups.
    pub group_servers: Vec<Server>,
    /// Whether mod_authn_socache is to remember what `WSGIAuthUserScript` says (`AuthnCacheProvideFor wsgi`).
    pub remembers_users: bool,
    /// Whether root has started httpd, so that its children run as another user.
    pub of_root: bool,
    pub generation: u64,
}

/// The httpd parent's own.
#[derive(Default)]
pub struct Parent {
    pub listeners: Registry,
    pub walls: walls::Registry,
    pub generation: u64,
    /// Supervisors of older generations; some may have ended.
    pub older: Vec<i32>,
    /// Of descriptors, as it was before it was raised for the groups.
    pub soft_limit: Option<u64>,
    /// Its process id: what it owns must not be tidied up by a process that was forked from it.
    pub pid: i32,
    pub current: Option<Current>,
}

/// The running generation.
pub struct Current {
    pub configuration: Arc<Configuration>,
    /// None where there is no process group, and so no supervisor.
    pub supervisor: Option<Supervisor>,
}

pub struct Supervisor {
    /// 0 before it is forked.
    pub pid: i32,
    pub started: Instant,
    /// For the next supervisor, should this one be lost.
    pub watch: GenerationWatch,
    /// While this is open here or in a child, the supervisor knows that requests may come.
    pub holder: Option<GenerationHolder>,
}

pub static PARENT: Lazy<Mutex<Parent>> = Lazy::new(Mutex::default);

/// An httpd child's own.
pub struct Child {
    pub configuration: Arc<Configuration>,
    /// In the order of the groups; None for a group without threads.
    pub clients: Vec<Option<Client>>,
    /// Python in this very process, started when a request needs it.
    pub embedded: Embedded,
    pub pid: u32,
}

pub static CHILD: OnceCell<Child> = OnceCell::new();
