//! What belongs to the whole server, and what belongs to one (virtual) host.
//!
//! Filled by `actions` in the httpd parent. When everything was read, the border calls
//! `GlobalConfig::complete` once; from then on nothing changes in this generation.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::alias::Alias;
use crate::config::group_name::GroupName;
use crate::config::interpreter::Layers;
use crate::config::options::Accounts;
use crate::config::plan;
use crate::config::process_group::Origin;
use crate::config::registry::Registry;
use crate::config::settings::Settings;
use crate::log::{Level, Message};

/// A message that does not stop httpd from starting.
pub type Note = (Level, Message);

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
    /// Process groups that were defined in this very server.
    pub defined: Vec<String>,
}

impl ServerConfig {
    /// `add` is the virtual host: its aliases are tried before those of the main server.
    pub fn merge(base: &ServerConfig, add: &ServerConfig) -> ServerConfig {
        ServerConfig {
            aliases: add.aliases.iter().chain(&base.aliases).cloned().collect(),
            uses: add.uses.iter().chain(&base.uses).cloned().collect(),
            defined: add.defined.clone(),
        }
    }
}

/// A server at the end of the configuration, everything merged.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    /// Its `ServerName`.
    pub name: &'a str,
    pub virtual_host: bool,
    pub config: &'a ServerConfig,
    /// Its settings outside of any section.
    pub settings: &'a Settings,
}

impl GlobalConfig {
    /// Fills in what depends on directives that may come later in the file than the one that uses
    /// it; that is why the order of directives does not matter.
    pub fn complete(&mut self, servers: &[Server<'_>], accounts: &dyn Accounts) -> Result<(), String> {
        self.groups.set_identities(accounts)?;
        let main = servers.iter().find(|server| !server.virtual_host).map(|server| server.config);
        // httpd gives a virtual host without directives of ours the main server's very configuration.
        let own_config = |server: &Server<'_>| {
            server.virtual_host && !main.is_some_and(|main| std::ptr::eq(main, server.config))
        };
        let python = &self.python;
        self.groups.for_each(|group| {
            let owner = servers.iter().find(|s| own_config(s) && s.config.defined.contains(&group.name));
            group.server_name = owner.map(|server| server.name.to_string());
            if group.python_home.is_none() && group.python.is_none() {
                group.python_home.clone_from(&python.home);
            }
            group.switch_interval = group.switch_interval.or(python.switch_interval);
        });
        let sole_scripts = plan::sole_scripts(&self.groups, servers);
        self.groups.set_sole_scripts(sole_scripts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::tests::{TestAccounts, define};

    #[test]
    fn completion_does_not_depend_on_order() {
        let mut global = GlobalConfig::default();
        for line in ["blog", "shop python-home=/shop switch-interval=1"] {
            global.groups.define(define(line).unwrap()).unwrap();
        }
        global.python.home = Some("/venv".into());
        global.python.switch_interval = Some(0.5);
        let settings = Settings::default();
        let main = ServerConfig { defined: vec!["blog".to_string()], ..ServerConfig::default() };
        let own = ServerConfig { defined: vec!["shop".to_string()], ..ServerConfig::default() };
        let host = ServerConfig::merge(&main, &own);
        let servers = [
            Server { name: "main.example", virtual_host: false, config: &main, settings: &settings },
            Server { name: "shop.example", virtual_host: true, config: &host, settings: &settings },
        ];
        global.complete(&servers, &TestAccounts { root: true }).unwrap();
        let (_, blog) = global.groups.find("blog").unwrap();
        let (_, shop) = global.groups.find("shop").unwrap();
        assert_eq!((blog.python_home.clone(), blog.switch_interval), (Some("/venv".into()), Some(0.5)));
        assert_eq!((shop.python_home.clone(), shop.switch_interval), (Some("/shop".into()), Some(1.0)));
        assert_eq!((blog.server_name.as_deref(), shop.server_name.as_deref()), (None, Some("shop.example")));
        assert_eq!(blog.identity.as_ref().map(|identity| identity.uid), Some(33));
    }
}
