//! The configuration of the whole server, and that of one (virtual) host.
//!
//! `actions` fill it in the httpd parent. At the end of the reading `hooks::parent` calls
//! `GlobalConfig::complete` once; from then on nothing changes in this generation.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::alias::Alias;
use crate::config::group_name::GroupName;
use crate::config::interpreter::Layers;
use crate::config::process_group::Origin;
use crate::config::registry::Registry;
use crate::config::script_use::ScriptUse;
use crate::config::settings::Settings;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashSeed {
    Random,
    Fixed(u32),
}

/// The `WSGIPython…` directives.
#[derive(Debug, Clone, PartialEq)]
pub struct PythonOptions {
    pub home: Option<PathBuf>,
    /// Of embedded interpreters; daemons have `python-path=`.
    pub path: Vec<PathBuf>,
    pub eggs: Option<PathBuf>,
    pub warnings: Vec<String>,
    pub optimize: u8,
    /// None leaves it to `PYTHONHASHSEED` and Python.
    pub hash_seed: Option<HashSeed>,
    pub write_bytecode: bool,
    pub switch_interval: Option<f64>,
    /// Whether interpreters are finalised when a process ends.
    pub destroy_interpreter: bool,
}

impl Default for PythonOptions {
    fn default() -> Self {
        PythonOptions {
            home: None,
            path: Vec::new(),
            eggs: None,
            warnings: Vec::new(),
            optimize: 0,
            hash_seed: None,
            write_bytecode: true,
            switch_interval: None,
            destroy_interpreter: true,
        }
    }
}

/// `WSGIImportScript`.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub script: String,
    /// Empty for embedded mode.
    pub process_group: String,
    /// Empty for the main interpreter.
    pub application_group: String,
    pub origin: Origin,
}

pub struct GlobalConfig {
    pub python: PythonOptions,
    pub interpreters: Layers,
    pub socket_prefix: Option<(PathBuf, Origin)>,
    pub restrict_embedded: bool,
    /// Whether embedded applications may see the scoreboard.
    pub server_metrics: bool,
    pub case_sensitive: bool,
    pub groups: Registry,
    pub imports: Vec<Import>,
    /// The regular expressions of `WSGIScriptAliasMatch`, for the border to compile; an alias
    /// knows its slot here.
    pub patterns: Vec<Arc<str>>,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        GlobalConfig {
            python: PythonOptions::default(),
            interpreters: Layers::default(),
            socket_prefix: None,
            restrict_embedded: false,
            server_metrics: false,
            case_sensitive: true,
            groups: Registry::default(),
            imports: Vec::new(),
            patterns: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    Process,
    Application,
}

/// One place of the configuration that names a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupUse {
    pub kind: GroupKind,
    pub name: GroupName,
    pub directive: &'static str,
    pub origin: Origin,
    /// Path of the `<Directory>`, `<Location>` or `<Files>` section around it; None at server level.
    pub section: Option<String>,
}

/// One server: the main one, or a virtual host.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    pub aliases: Vec<Alias>,
    pub uses: Vec<GroupUse>,
    /// For access control, dispatch and handlers.
    pub scripts: Vec<Arc<ScriptUse>>,
    /// Process groups that were defined in this very server.
    pub defined: Vec<String>,
    /// A panic has come between, and not all of it is here.
    pub broken: bool,
}

impl ServerConfig {
    /// `add` is the virtual host: its aliases are tried before those of the main server.
    pub fn merge(base: &ServerConfig, add: &ServerConfig) -> ServerConfig {
        ServerConfig {
            aliases: add.aliases.iter().chain(&base.aliases).cloned().collect(),
            uses: add.uses.iter().chain(&base.uses).cloned().collect(),
            scripts: add.scripts.iter().chain(&base.scripts).cloned().collect(),
            defined: add.defined.clone(),
            broken: base.broken || add.broken,
        }
    }
}

/// A server at the end of the configuration, everything merged.
#[derive(Clone, Copy)]
pub struct ConfiguredServer<'a> {
    /// Its `ServerName`.
    pub name: &'a str,
    pub virtual_host: bool,
    pub config: &'a ServerConfig,
    /// Its settings outside of any section.
    pub settings: &'a Settings,
}
