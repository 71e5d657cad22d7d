//! A process group as an httpd child knows it, and a connection to one of its processes.
//!
//! Runs in httpd children, which make a `Client` for each group at their start (`hooks::child`).

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::process_group::ProcessGroup;
use crate::control::group_page::GroupPage;
use crate::os::Link;
use crate::wire::frame::Inbox;

/// A process group as seen by one httpd child.
pub struct Client {
    /// As it is configured; queue-timeout only where it is no longer than `socket_timeout`.
    pub group: ProcessGroup,
    pub path: PathBuf,
    /// The socket's file, even when its name is gone or another's.
    pub place: Option<OwnedFd>,
    /// The first frame of each connection.
    pub secret: Vec<u8>,
    pub page: Arc<GroupPage>,
    /// The group's own, or httpd's `Timeout`.
    pub socket_timeout: Duration,
    pub pool: Mutex<Vec<Channel>>,
}

/// A connection that is not carrying a request.
pub struct Channel {
    pub(super) stream: Link,
    pub(super) inbox: Inbox,
    /// Descriptors that have arrived for File frames.
    pub(super) files: VecDeque<OwnedFd>,
    pub(super) slot: usize,
    /// Of the process, as it says.
    pub(super) pid: u32,
    /// `GroupPage::times` of the process that has accepted it; None before.
    pub(super) times: Option<u32>,
}

/// Descriptors that may come before their frames.
const MOST_FILES: usize = 4;

impl Channel {
    pub(super) fn take_in(&mut self, count: usize, file: Option<OwnedFd>) {
        self.inbox.received(count);
        self.files.extend(file);
    }

    /// They come from a process that runs the site's code.
    pub(super) fn has_too_many_files(&self) -> bool {
        self.files.len() > MOST_FILES
    }

    /// Whether another request can be sent on it.
    pub(super) fn is_clean(&self) -> bool {
        self.inbox.is_empty() && self.files.is_empty()
    }
}
