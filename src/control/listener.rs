//! The listening sockets of the process groups, which outlive a configuration.
//!
//! Made in the httpd parent when it has read its configuration, and kept by it across restarts: the first
//! daemon that is ready serves the requests that wait in a socket's queue during a reload. The supervisor
//! hands the sockets to the daemons. The children connect to the file itself (`place`), and to its path only
//! without /proc; they drop their copy of the registry, or a socket would seem to listen after its last
//! daemon has gone.
//!
//! The parent removes the files when httpd stops (`remove_all`); before that, the last supervisor that uses a
//! retired socket removes its file (`supervisor`).

mod retained;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group_page::GroupPage;
use crate::config::process_group::{Origin, ProcessGroup};
use crate::log::{Code, Message};
use crate::os;

/// What sockaddr_un holds beside the NUL at its end.
const LONGEST_PATH: usize = 107;

/// A socket is used again by the next configuration if all of this is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerKey {
    pub group: String,
    /// `WSGISocketPrefix`, absolute.
    pub prefix: PathBuf,
    pub backlog: u32,
    /// Who may connect beside root: `socket-user=` or httpd's `User`; None when httpd is not root.
    pub owner: Option<u32>,
    /// Who serves it. What is left of processes of another user must not get the new one's requests.
    pub runs_as: String,
    /// Of this module: both ends of a connection are always the same build.
    version: String,
}

pub struct Listener {
    pub key: ListenerKey,
    pub path: PathBuf,
    /// The file at that path, open as a place only: the children reach the socket by it when its name has
    /// been removed.
    pub place: OwnedFd,
    pub socket: OwnedFd,
    pub page: Arc<GroupPage>,
}

#[derive(Default)]
pub struct Registry {
    listeners: Vec<Listener>,
    next_id: u32,
}

impl ListenerKey {
    pub fn new(group: &ProcessGroup, prefix: &Path, owner: Option<u32>) -> Self {
        ListenerKey {
            group: group.name.clone(),
            prefix: prefix.to_owned(),
            backlog: group.listen_backlog,
            owner,
            runs_as: group.runs_as(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
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
                let listener = self.create(key, origin)?;
                self.listeners.push(listener);
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

    fn create(&mut self, key: &ListenerKey, origin: &Origin) -> Result<Listener, Message> {
        self.next_id += 1;
        let mut path = key.prefix.clone().into_os_string();
        path.push(format!(".{}.{}.sock", std::process::id(), self.next_id));
        let path = PathBuf::from(path);
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(Message::new(
                Code::SocketPathTooLong,
                format!(
                    "the socket of process group '{}' (WSGIDaemonProcess at {}) cannot be created: its path {} \
                     has {length} bytes and the system allows {LONGEST_PATH}; set WSGISocketPrefix to a shorter path",
                    key.group,
                    origin,
                    path.display(),
                ),
            ));
        }
        let socket = bind(&path, key.backlog).map_err(|error| bind_failure(key, origin, &path, &error))?;
        let page = GroupPage::create().map_err(|error| bind_failure(key, origin, &path, &error))?;
        give_to_owner(key, origin, &path)?;
        let place = os::open_place(&path).map_err(|error| bind_failure(key, origin, &path, &error))?;
        Ok(Listener { key: key.clone(), path, place, socket, page: Arc::new(page) })
    }
}

fn bind(path: &Path, backlog: u32) -> io::Result<OwnedFd> {
    // The name holds our own pid: what has it was left behind by an earlier process of that number.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let umask = os::set_umask(0o077);
    let socket = os::bind_listener(path, backlog);
    os::set_umask(umask);
    socket
}

fn bind_failure(key: &ListenerKey, origin: &Origin, path: &Path, error: &io::Error) -> Message {
    let directory = path.parent().unwrap_or(Path::new("/")).display();
    let (code, cure) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (
            Code::SocketDirectoryMissing,
            format!("create the directory {directory}, or set WSGISocketPrefix to a path in one that exists"),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            Code::SocketDirectoryClosed,
            format!(
                "let the user that starts httpd write to {directory}, or set WSGISocketPrefix to another path"
            ),
        ),
        _ => (
            Code::SocketNotCreated,
            "free what the system lacks, or set WSGISocketPrefix to another path".to_owned(),
        ),
    };
    Message::new(
        code,
        format!(
            "the socket {} of process group '{}' (WSGIDaemonProcess at {}) cannot be created: {error}; {cure}",
            path.display(),
            key.group,
            origin,
        ),
    )
}

fn give_to_owner(key: &ListenerKey, origin: &Origin, path: &Path) -> Result<(), Message> {
    let Some(owner) = key.owner else { return Ok(()) };
    chown(path, Some(owner), None).map_err(|error| {
        let _ = fs::remove_file(path);
        Message::new(
            Code::SocketNotGiven,
            format!(
                "the socket {} of process group '{}' (WSGIDaemonProcess at {}) cannot be given to the user with \
                 number {owner}: {error}; httpd must be started by root for socket-user= and for a User of its own",
                path.display(),
                key.group,
                origin,
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

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
        let (path, old_path, old) = (blog.path.clone(), shop.path.clone(), shop.page.clone());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let mut registry = Registry::restore(&registry.retain());
        registry.renew(&wanted(&directory, &["blog", "wiki"])).unwrap();
        assert_eq!(registry.get("blog").unwrap().path, path);
        assert!(os::connect(&path, Duration::from_secs(1)).is_ok());
        assert!(os::accept(registry.get("blog").unwrap().socket.as_fd()).unwrap().is_some());
        assert!(old.is_retired() && registry.get("shop").is_none());
        assert!(old_path.exists(), "older children may still connect");
        assert!(registry.get("wiki").is_some());
        registry.remove_all();
        assert!(!path.exists() && registry.listeners.is_empty());
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
