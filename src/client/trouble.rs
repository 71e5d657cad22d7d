//! What can go wrong between a request and its process group, in words for the log and as a status.
//!
//! Runs in httpd children. A failure before any process has read the request is not yet trouble: the child
//! sends the request elsewhere.

use crate::log::wording;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::state::{Channel, Client};
use crate::os;

/// Why a request got no conversation, or lost it. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// 503: no process could take it.
    Unavailable(String),
    /// 504: no answer in time.
    TimedOut(String),
    /// 504: no thread began to read it in time.
    Queued(String),
    /// 502: the process that had read it is gone.
    Died,
    /// 502: the process said what no answer may have.
    Misbehaved(String),
}

/// How an attempt ended that has no conversation.
pub(super) enum Failed {
    /// No process has read the request.
    Unread,
    /// Likewise, on a new connection that no process greeted.
    Refused,
    Trouble(Trouble),
}

impl Failed {
    /// Once the request was read, a connection that breaks has lost it.
    pub(super) fn of_a_read_request(self) -> Trouble {
        match self {
            Failed::Trouble(trouble) => trouble,
            Failed::Unread | Failed::Refused => Trouble::Died,
        }
    }
}

impl Channel {
    pub(super) fn check_files(&self) -> Result<(), Trouble> {
        if self.has_too_many_files() {
            return Err(Trouble::Misbehaved("more than one descriptor".to_string()));
        }
        Ok(())
    }
}

/// What the request has waited for.
fn still_loading(loading: Option<Duration>) -> String {
    loading.map_or(String::new(), |time| {
        format!(": the script is still being loaded, for {} s by now", time.as_secs())
    })
}

impl Client {
    /// While a frame of this process was waited for.
    pub(super) fn silent(&self, slot: usize, error: &io::Error) -> Failed {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let why = still_loading(self.page.loading_for(slot));
                Failed::Trouble(self.timed_out("the application did not answer", &why))
            }
            _ => self.broken(error),
        }
    }

    pub(super) fn broken(&self, error: &io::Error) -> Failed {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failed::Unread,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Failed::Trouble(self.timed_out("the application did not answer", ""))
            }
            _ => Failed::Trouble(Trouble::Unavailable(format!(
                "the connection to process group '{}' failed: {}",
                self.group.name,
                wording(error)
            ))),
        }
    }

    /// A connection that breaks when request-timeout has passed was let go because of that.
    pub(super) fn why(&self, trouble: Trouble, begun: Instant) -> Trouble {
        match self.group.limits.request {
            Some(timeout) if trouble == Trouble::Died && begun.elapsed() >= timeout => self.late(),
            _ => trouble,
        }
    }

    pub(super) fn late(&self) -> Trouble {
        Trouble::TimedOut(format!(
            "the application did not answer within {} s (process group '{}'; request-timeout of WSGIDaemonProcess is \
             the limit)",
            self.group.limits.request.unwrap_or_default().as_secs_f64(),
            self.group.name
        ))
    }

    pub(super) fn queued(&self) -> Trouble {
        let seconds = self.group.queue_timeout.unwrap_or_default().as_secs_f64();
        Trouble::Queued(format!(
            "no thread of process group '{}' was free for the request within {seconds} s (queue-timeout of \
             WSGIDaemonProcess); the application was not called",
            self.group.name
        ))
    }

    /// On a new connection.
    pub(super) fn not_accepted(&self) -> Trouble {
        let why = match self.page.longest_loading() {
            None if self.page.ready_processes() == 0 => ": its processes are still starting".to_string(),
            loading => still_loading(loading),
        };
        self.timed_out("no process accepted the request", &why)
    }

    fn timed_out(&self, what: &str, why: &str) -> Trouble {
        let seconds = self.socket_timeout.as_secs_f64();
        Trouble::TimedOut(format!(
            "{what} within {seconds} s{why} (process group '{}'; socket-timeout of WSGIDaemonProcess, by default \
             httpd's Timeout, is the limit)",
            self.group.name
        ))
    }

    /// The socket is its owner's alone.
    fn permission_denied(&self) -> String {
        let place = self.place.as_ref().and_then(|place| Some(File::from(place.try_clone().ok()?)));
        let owner = place.and_then(|place| Some(place.metadata().ok()?.uid()));
        match (owner, os::Ids::current().ok().map(|own| own.users[1])) {
            (Some(owner), Some(own)) if own != owner => format!(
                "; the socket is for user {owner}, and this process of httpd runs as user {own}: where an MPM changes \
                 the user for each request (AssignUserID of mpm_itk), add that user to WSGIDaemonProcess {} as \
                 socket-user=#{own}, and have a process group for each such user",
                self.group.name
            ),
            _ => {
                "; httpd's User must be able to search every directory above it: set WSGISocketPrefix".into()
            }
        }
    }

    pub(super) fn cannot_connect(&self, error: &io::Error) -> Trouble {
        let cure = match error.kind() {
            io::ErrorKind::PermissionDenied => self.permission_denied(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "; its queue is full (listen-backlog of WSGIDaemonProcess) and stayed so for connect-timeout"
                    .into()
            }
            io::ErrorKind::NotFound => "; the file was removed: restart httpd, or mount /proc".into(),
            _ => String::new(),
        };
        Trouble::Unavailable(format!(
            "connecting to process group '{}' at {} failed: {}{cure}",
            self.group.name,
            self.path.display(),
            wording(error)
        ))
    }
}
