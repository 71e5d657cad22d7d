//! What can go wrong between a request and its process group, in words for the log and as a status.
//!
//! Part of `daemon::client`, in httpd children. What happened before any process had read a request is no trouble
//! yet: the request goes elsewhere.

use std::io;
use std::time::Instant;

use super::Client;

/// Why a request got no conversation, or lost it. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// 503: nobody could take it.
    Unavailable(String),
    /// 504: no answer in time.
    TimedOut(String),
    /// 504: no thread began to read it in time.
    Queued(String),
    /// 502: the process that had read it is gone.
    Died,
}

/// How an attempt ended that has no conversation.
pub(super) enum Failed {
    /// Nobody has read the request.
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

impl Client {
    pub(super) fn broken(&self, error: &io::Error) -> Failed {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failed::Unread,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Failed::Trouble(self.timed_out("the application did not answer"))
            }
            _ => Failed::Trouble(Trouble::Unavailable(format!(
                "the connection to process group '{}' failed: {error}",
                self.group
            ))),
        }
    }

    /// A connection that breaks when request-timeout has passed was let go because of that.
    pub(super) fn why(&self, trouble: Trouble, begun: Instant) -> Trouble {
        match self.request_timeout {
            Some(timeout) if trouble == Trouble::Died && begun.elapsed() >= timeout => {
                Trouble::TimedOut(format!(
                    "the application did not answer within {} s (process group '{}'; request-timeout of \
                     WSGIDaemonProcess is the limit)",
                    timeout.as_secs_f64(),
                    self.group
                ))
            }
            _ => trouble,
        }
    }

    pub(super) fn queued(&self) -> Trouble {
        let seconds = self.queue_timeout.unwrap_or_default().as_secs_f64();
        Trouble::Queued(format!(
            "no thread of process group '{}' was free for the request within {seconds} s (queue-timeout of \
             WSGIDaemonProcess); the application was not called",
            self.group
        ))
    }

    pub(super) fn timed_out(&self, what: &str) -> Trouble {
        let seconds = self.socket_timeout.as_secs_f64();
        Trouble::TimedOut(format!(
            "{what} within {seconds} s (process group '{}'; socket-timeout of WSGIDaemonProcess, by default \
             httpd's Timeout, is the limit)",
            self.group
        ))
    }

    pub(super) fn cannot_connect(&self, error: &io::Error) -> Trouble {
        let cure = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "; httpd's User must be able to search every directory above it: set WSGISocketPrefix"
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "; its queue is full (listen-backlog of WSGIDaemonProcess) and stayed so for connect-timeout"
            }
            io::ErrorKind::NotFound => "; the file was removed: restart httpd, or mount /proc",
            _ => "",
        };
        Trouble::Unavailable(format!(
            "connecting to process group '{}' at {} failed: {error}{cure}",
            self.group,
            self.path.display()
        ))
    }
}
