//! A process group: one `WSGIDaemonProcess` line as a value, with every default filled in.
//!
//! Made in the httpd parent while it reads its configuration (`config::options`). The supervisor that starts
//! the group's processes reads it, the children that send them requests, and the daemons, which get it in
//! their launch.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::limits::Limits;
use crate::config::walls::Walls;

/// The place of a directive, for messages: `/etc/apache2/sites-enabled/blog.conf:12`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    pub file: String,
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// `overlap=`: whether old and new processes of a group are there together when one replaces the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Overlap {
    /// As long as nothing is found held that the new one needs.
    #[default]
    Auto,
    On,
    Off,
}

/// Who a daemon runs as; the numbers were looked up when the directive was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Name of the user, for `USER`, `LOGNAME` and initgroups; empty if the uid has no entry.
    pub user_name: String,
    /// Home directory of the user, for `HOME` and as the default working directory.
    pub user_home: PathBuf,
    /// `supplementary-groups=`; None means the groups of the user (initgroups).
    pub supplementary_groups: Option<Vec<u32>>,
}

/// The supervisor sends it to the group's daemons, without what is done before Python starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessGroup {
    pub name: String,
    pub origin: Origin,
    /// `ServerName` of the virtual host it was defined in; None for the main server.
    pub server_name: Option<String>,
    /// How many are started; there are never fewer than `minimum_processes`, unless the group sleeps.
    pub processes: u32,
    pub minimum_processes: u32,
    pub maximum_processes: u32,
    /// `start=on-demand`: there are processes only while there are requests.
    pub on_demand: bool,
    /// Scripts are imported once, in a process from which the others are forked.
    pub preload: bool,
    pub overlap: Overlap,
    /// How long a process that is not needed is kept.
    pub idle_timeout: Duration,
    pub threads: u32,
    /// Of one process.
    pub maximum_interpreters: u32,
    /// `user=` and `group=`, or httpd's `User` and `Group`; None when httpd does not run as root.
    #[serde(skip)]
    pub identity: Option<Identity>,
    pub umask: Option<u32>,
    pub chroot: Option<PathBuf>,
    /// `home=`: working directory, and first on `sys.path`.
    pub home: Option<PathBuf>,
    pub lang: Option<String>,
    pub locale: Option<String>,
    /// `env=NAME=VALUE`, in order.
    #[serde(skip)]
    pub env: Vec<(String, String)>,
    /// `env-file=`, in order, as httpd sees them; `env=` wins over what is in them.
    #[serde(skip)]
    pub env_files: Vec<PathBuf>,
    /// `python-home=`: a virtual environment or an installation prefix.
    pub python_home: Option<PathBuf>,
    /// `python=`: the interpreter itself; wins over python-home.
    pub python: Option<PathBuf>,
    pub python_path: Vec<PathBuf>,
    pub python_eggs: Option<PathBuf>,
    pub switch_interval: Option<f64>,
    /// Already expanded; `(wsgi:NAME)` by default.
    pub display_name: String,
    pub stack_size: Option<usize>,
    pub listen_backlog: u32,
    pub connect_timeout: Duration,
    /// None means httpd's `Timeout`.
    pub socket_timeout: Option<Duration>,
    /// None means no bound of its own.
    pub queue_timeout: Option<Duration>,
    /// Zero means no bound.
    pub shutdown_timeout: Duration,
    pub graceful_timeout: Duration,
    pub send_buffer_size: Option<usize>,
    pub receive_buffer_size: Option<usize>,
    /// `socket-user=` as a uid; None means httpd's `User`.
    pub socket_user: Option<u32>,
    pub cpu_priority: Option<i32>,
    pub memory_limit: Option<u64>,
    pub virtual_memory_limit: Option<u64>,
    /// Of processes and threads that its user has.
    pub process_limit: Option<u64>,
    pub response: ResponseOptions,
    /// Owner that a script must have, as a uid or a gid.
    pub script_user: Option<u32>,
    pub script_group: Option<u32>,
    pub limits: Limits,
    /// Whether no program that its processes execute can raise their rights (sudo, sendmail).
    pub no_new_privileges: bool,
    /// What of the file system its processes have for themselves, and what they do not see.
    #[serde(skip)]
    pub walls: Walls,
    /// Whether its processes may see httpd's scoreboard.
    pub server_metrics: bool,
}

/// How answers are passed on to the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResponseOptions {
    /// The longest silence of a client that does not read; None means httpd's `Timeout`.
    pub socket_timeout: Option<Duration>,
    /// The most of an answer that is held back until all of it is there.
    pub buffer_size: usize,
    /// How long data waits for more when a daemon pauses.
    pub flush_delay: Duration,
}

impl Default for ResponseOptions {
    fn default() -> Self {
        ResponseOptions {
            socket_timeout: None,
            buffer_size: 8 * 1024 * 1024,
            flush_delay: Duration::from_millis(5),
        }
    }
}

impl ProcessGroup {
    /// A group with every option at its default.
    pub fn new(name: &str, origin: Origin) -> Self {
        ProcessGroup {
            name: name.to_string(),
            origin,
            server_name: None,
            processes: 1,
            minimum_processes: 1,
            maximum_processes: 1,
            on_demand: false,
            preload: false,
            overlap: Overlap::Auto,
            idle_timeout: Duration::from_secs(60),
            threads: 15,
            maximum_interpreters: 100,
            identity: None,
            umask: None,
            chroot: None,
            home: None,
            lang: None,
            locale: None,
            env: Vec::new(),
            env_files: Vec::new(),
            python_home: None,
            python: None,
            python_path: Vec::new(),
            python_eggs: None,
            switch_interval: None,
            display_name: format!("(wsgi:{name})"),
            stack_size: None,
            listen_backlog: 100,
            connect_timeout: Duration::from_secs(15),
            socket_timeout: None,
            queue_timeout: None,
            shutdown_timeout: Duration::from_secs(5),
            graceful_timeout: Duration::from_secs(15),
            send_buffer_size: None,
            receive_buffer_size: None,
            socket_user: None,
            cpu_priority: None,
            memory_limit: None,
            virtual_memory_limit: None,
            process_limit: None,
            response: ResponseOptions::default(),
            script_user: None,
            script_group: None,
            limits: Limits::default(),
            no_new_privileges: false,
            walls: Walls::default(),
            server_metrics: false,
        }
    }

    /// Whether the group has no processes until a request comes. Service scripts get no requests.
    pub fn sleeps(&self) -> bool {
        self.on_demand && self.threads > 0
    }

    /// Whether each process serves one request and ends (`wsgi.run_once`).
    pub fn runs_once(&self) -> bool {
        self.threads == 1 && self.limits.maximum_requests == Some(1)
    }

    /// The interpreters to try, in order, as the daemon sees them (inside `chroot=`); empty when
    /// neither `python=` nor a python-home was given.
    pub fn interpreters(&self) -> Vec<PathBuf> {
        match (&self.python, &self.python_home) {
            (Some(python), _) => vec![python.clone()],
            (None, Some(home)) => vec![home.join("bin/python"), home.join("bin/python3")],
            (None, None) => Vec::new(),
        }
    }

    /// Where a path of the daemon is for httpd, which is outside of `chroot=`.
    pub fn seen_from_outside(&self, path: &Path) -> PathBuf {
        match &self.chroot {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_path_buf(),
        }
    }

    /// Where a script of httpd's is for the daemon; None if that is outside of `chroot=`.
    pub fn seen_from_inside<'a>(&self, path: &'a Path) -> Option<Cow<'a, Path>> {
        match &self.chroot {
            Some(root) => path.strip_prefix(root).ok().map(|below| Path::new("/").join(below).into()),
            None => Some(path.into()),
        }
    }

    /// Whose processes these are, in words.
    pub fn runs_as(&self) -> String {
        let root = self.chroot.as_deref().unwrap_or(Path::new("/")).display();
        match &self.identity {
            Some(identity) => format!("{}:{}@{root}", identity.uid, identity.gid),
            None => format!("httpd@{root}"),
        }
    }

    /// Whether requests of the virtual host `server_name` may be served by this group: a group
    /// that was defined in a virtual host belongs to the hosts of the same name.
    pub fn open_to(&self, server_name: &str) -> bool {
        match &self.server_name {
            Some(owner) => owner.eq_ignore_ascii_case(server_name),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_hosts_of_a_group() {
        let mut group = ProcessGroup::new("blog", Origin::default());
        assert!(group.interpreters().is_empty());
        group.python_home = Some("/venv".into());
        assert_eq!(group.interpreters()[0], PathBuf::from("/venv/bin/python"));
        group.python = Some("/usr/bin/python3.13".into());
        assert_eq!(group.interpreters(), vec![PathBuf::from("/usr/bin/python3.13")]);
        group.chroot = Some("/jail".into());
        assert_eq!(group.seen_from_outside(Path::new("/venv")), PathBuf::from("/jail/venv"));
        let inside = group.seen_from_inside(Path::new("/jail/srv/a.py"));
        assert_eq!(inside.as_deref(), Some(Path::new("/srv/a.py")));
        assert_eq!(group.seen_from_inside(Path::new("/jailed/a.py")), None);
        assert!(group.open_to("any.example"));
        group.server_name = Some("Blog.example".to_string());
        assert!(group.open_to("blog.example") && !group.open_to("shop.example"));
    }
}
