//! The values that follow from the configuration once all of it has been read.
//!
//! Runs in the httpd parent at the end of each reading.

use crate::config::global::{ConfiguredServer, GlobalConfig};
use crate::config::options::Accounts;
use crate::config::plan;

impl GlobalConfig {
    /// Fills in what depends on directives that may come later in the file than the one that uses
    /// it; that is why the order of directives does not matter.
    pub fn complete(
        &mut self,
        servers: &[ConfiguredServer<'_>],
        accounts: &dyn Accounts,
    ) -> Result<(), String> {
        self.groups.set_identities(accounts)?;
        let main = servers.iter().find(|server| !server.virtual_host).map(|server| server.config);
        // httpd gives a virtual host without directives of ours the main server's very configuration.
        let own_config = |server: &ConfiguredServer<'_>| {
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
    use crate::config::global::ServerConfig;
    use crate::config::options::tests::{TestAccounts, define};
    use crate::config::settings::Settings;

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
            ConfiguredServer {
                name: "main.example",
                virtual_host: false,
                config: &main,
                settings: &settings,
            },
            ConfiguredServer { name: "shop.example", virtual_host: true, config: &host, settings: &settings },
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
