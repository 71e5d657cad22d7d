//! A process group: one `WSGIDaemonProcess` line as a value, with every default filled in.
//!
//! Made in the httpd parent while it reads its configuration (`config::options`), read by the
//! supervisor that starts the group's processes and by the children that send them requests.

use std::path::PathBuf;
use std::time::Duration;

/// The place of a directive, for messages: `/etc/apache2/sites-enabled/blog.conf:12`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    pub file: String,
    pub line: u32,
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

#[derive(Debug, Clone, PartialEq)]
pub struct ProcessGroup {
    pub name: String,
    pub origin: Origin,
    /// `ServerName` of the virtual host it was defined in; None for the main server.
    pub server_name: Option<String>,
    pub processes: u32,
    pub threads: u32,
    /// `user=` and `group=`, or httpd's `User` and `Group`; None when httpd does not run as root.
    pub identity: Option<Identity>,
    pub umask: Option<u32>,
    pub chroot: Option<PathBuf>,
    /// `home=`: working directory, and first on `sys.path`.
    pub home: Option<PathBuf>,
    pub lang: Option<String>,
    pub locale: Option<String>,
    /// `env=NAME=VALUE`, in order.
    pub env: Vec<(String, String)>,
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
}
