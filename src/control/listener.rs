//! The listening sockets of the process groups, which outlive a configuration.
//!
//! Made in the httpd parent when it has read its configuration, and kept by it across restarts: the first
//! daemon that is ready serves the requests that wait in a socket's queue during a reload. The supervisor
//! hands the sockets to the daemons. The children connect to the file itself (`place`), whose name is
//! gone; only without /proc it has one. They drop their copy of the registry, or a socket would seem to
//! listen after its last daemon has gone.
//!
//! What has a name there is removed by the parent when httpd stops (`remove_all`); before that, by the last
//! supervisor that uses a retired socket (`supervisor`).

pub mod directory;
pub mod retained;
mod socket;

use std::fs;

use crate::config::process_group::Origin;
use crate::log::Message;
pub use socket::{Listener, ListenerKey};

#[derive(Default)]
pub struct Registry {
    listeners: Vec<Listener>,
    next_id: u32,
}

impl Registry {
    pub fn get(&self, group: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.key.group == group)
    }

    pub fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Moves a listener out: for the supervisor, whose copy of the registry is its own.
    pub fn take(&mut self, group: &str) -> Option<Listener> {
        let index = self.listeners.iter().position(|listener| listener.key.group == group)?;
        Some(self.listeners.swap_remove(index))
    }

    /// Makes the listeners of a new configuration: keeps what is there, makes what is new, retires the
    /// rest. After an error the registry still holds all that it held, and what was
    /// made before the error.
    pub fn renew(&mut self, wanted: &[(ListenerKey, Origin)]) -> Result<(), Message> {
        for (key, origin) in wanted {
            if !self.listeners.iter().any(|listener| listener.key == *key) {
                self.next_id += 1;
                self.listeners.push(Listener::create(key, origin, self.next_id)?);
            }
        }
        self.listeners.retain(|listener| {
            let kept = wanted.iter().any(|(key, _)| listener.key == *key);
            if !kept {
                listener.page.retire();
            }
            kept
        });
        Ok(())
    }

    /// When httpd stops: no file is left behind.
    pub fn remove_all(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.page.retire();
            // httpd stops: a failure has no consequence any more.
            let _ = fs::remove_file(&listener.path);
        }
    }

    /// The registry as bytes for httpd to keep while it unloads and loads modules. The descriptors stay open
    /// under their numbers until `restore` takes them back.
    pub fn retain(self) -> Vec<u8> {
        retained::encode(self.next_id, self.listeners)
    }

    /// What `retain` kept; empty if it was written by a module of another form. To be called once.
    pub fn restore(retained: &[u8]) -> Registry {
        let (next_id, listeners) = retained::decode(retained).unwrap_or_default();
        Registry { listeners, next_id }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::*;
    use crate::config::process_group::ProcessGroup;
    use crate::os;

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("wsgi-listener-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        directory
    }

    fn origin() -> Origin {
        Origin { file: "/etc/apache2/blog.conf".into(), line: 12 }
    }

    fn wanted(directory: &Path, groups: &[&str]) -> Vec<(ListenerKey, Origin)> {
        let prefix = directory.join("wsgi");
        let group = |name: &&str| ProcessGroup::new(name, origin());
        groups.iter().map(|name| (ListenerKey::new(&group(name), &prefix, None), origin())).collect()
    }

    #[test]
    fn sockets_are_reused_made_and_retired() {
        let directory = scratch("renew");
        let mut registry = Registry::default();
        registry.renew(&wanted(&directory, &["blog", "shop"])).unwrap();
        let (blog, shop) = (registry.get("blog").unwrap(), registry.get("shop").unwrap());
        let (path, old) = (blog.path.clone(), shop.page.clone());
        let mode = fs::metadata(os::descriptor_path(blog.place.as_fd())).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, path.exists()), (0o700, false));
        let secret = blog.secret.clone();

        let mut registry = Registry::restore(&registry.retain());
        registry.renew(&wanted(&directory, &["blog", "wiki"])).unwrap();
        assert_eq!(registry.get("blog").unwrap().path, path);
        let blog = registry.get("blog").unwrap();
        assert!(os::connect(&os::descriptor_path(blog.place.as_fd()), Duration::from_secs(1)).is_ok());
        assert!(os::accept(blog.socket.as_fd()).unwrap().is_some());
        assert!(blog.secret == secret && registry.get("wiki").unwrap().secret != secret);
        assert!(old.is_retired() && registry.get("shop").is_none());
        assert!(registry.get("wiki").is_some());
        registry.remove_all();
        assert!(registry.listeners.is_empty());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn other_settings_make_another_socket() {
        let directory = scratch("settings");
        let mut registry = Registry::default();
        let mut wanted = wanted(&directory, &["blog"]);
        registry.renew(&wanted).unwrap();
        let path = registry.get("blog").unwrap().path.clone();
        wanted[0].0.backlog = 6;
        registry.renew(&wanted).unwrap();
        assert_ne!(registry.get("blog").unwrap().path, path);
        assert_eq!(registry.listeners.len(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn failures_name_the_directive_to_change() {
        let long = Path::new("/tmp").join("x".repeat(100));
        let error = Registry::default().renew(&wanted(&long, &["blog"])).unwrap_err();
        assert_eq!(error.code.number(), 301);
        assert!(error.text.contains("WSGISocketPrefix") && error.text.contains("blog.conf:12"));
        let missing = Path::new("/nonexistent/run");
        let error = Registry::default().renew(&wanted(missing, &["blog"])).unwrap_err();
        assert_eq!(error.code.number(), 302);
        assert!(error.text.contains("WSGISocketPrefix") && error.text.contains("/nonexistent/run"));
    }

    #[test]
    fn nothing_retained_is_an_empty_registry() {
        assert!(Registry::restore(b"").listeners.is_empty());
        assert!(Registry::restore(&7u32.to_le_bytes()).listeners.is_empty());
    }
}
