//! A process group as an httpd child knows it, and a connection to one of its processes.
//!
//! Runs in httpd children, which make a `Client` for each group at their start (`hooks::child`).

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::closing::Closing;
use super::log_budget::LogBudget;
use crate::config::process_group::ProcessGroup;
use crate::control::group_page::GroupPage;
use crate::os::{self, Link, Passed};
use crate::wire::frame::{Inbox, Sender};

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
    /// What its processes have sent and no request needs.
    pub closing: Arc<Closing>,
    /// For the lines of its requests.
    pub log_budget: LogBudget,
}

/// A connection that is not carrying a request.
pub struct Channel {
    /// None only while it is dropped.
    link: Option<Link>,
    pub(super) inbox: Inbox,
    /// Descriptors that have arrived for a File frame.
    pub(super) files: Passed,
    pub(super) slot: usize,
    /// Of the process, as it says.
    pub(super) pid: u32,
    /// `GroupPage::times` of the process that has accepted it; None before.
    pub(super) times: Option<u32>,
    closing: Arc<Closing>,
}

/// Descriptors that may come before the frame that they are for: an answer has one file at most.
const MOST_FILES: usize = 1;

impl Channel {
    pub(super) fn new(stream: UnixStream, closing: &Arc<Closing>) -> Channel {
        let (link, closing) = (Some(Link::new(stream)), Arc::clone(closing));
        let (inbox, files) = (Inbox::new(Sender::Daemon), Passed::default());
        Channel { link, inbox, files, slot: 0, pid: 0, times: None, closing }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.link.as_ref().expect("it has its link until it is dropped").as_fd()
    }

    /// Waits as long as the socket allows. 0 bytes at the end of the connection.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        let link = self.link.as_ref().expect("it has its link until it is dropped");
        let count = os::receive_with_fds(link.as_fd(), self.inbox.space(), &mut self.files)?;
        self.inbox.received(count);
        Ok(count)
    }

    /// The same without waiting; None when nothing has arrived.
    pub(super) fn receive_now(&mut self) -> io::Result<Option<usize>> {
        let link = self.link.as_ref().expect("it has its link until it is dropped");
        let count = os::receive_with_fds_now(link.as_fd(), self.inbox.space(), &mut self.files)?;
        self.inbox.received(count.unwrap_or(0));
        Ok(count)
    }

    /// They come from a process that runs the site's code.
    pub(super) fn has_too_many_files(&self) -> bool {
        self.files.fds.len() > MOST_FILES
    }

    /// Whether another request can be sent on it.
    pub(super) fn is_clean(&self) -> bool {
        self.inbox.is_empty() && self.files.fds.is_empty()
    }
}

/// The process hears of it at once. What it has sent may still hold descriptors, which no thread of a request
/// closes.
impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            // Ended by the other side already is as good.
            let _ = link.shutdown(Shutdown::Both);
            self.closing.close(link, std::mem::take(&mut self.files.fds));
        }
    }
}
