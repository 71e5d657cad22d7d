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
    /// The answer may bring one. Else none gets into this process: closing it can take as long as the site
    /// likes, and past SIGKILL (FUSE).
    takes_files: bool,
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
    pub(super) fn new(stream: UnixStream, takes_files: bool, closing: &Arc<Closing>) -> Channel {
        if !takes_files {
            os::let_descriptors_in(stream.as_fd(), false);
        }
        let (link, closing) = (Some(Link::new(stream)), Arc::clone(closing));
        let (inbox, files) = (Inbox::new(Sender::Daemon), Passed::default());
        Channel { link, inbox, files, takes_files, slot: 0, pid: 0, times: None, closing }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.link.as_ref().expect("it has its link until it is dropped").as_fd()
    }

    /// Another request is sent on it.
    pub(super) fn begin(&mut self, takes_files: bool) {
        if self.takes_files != takes_files {
            os::let_descriptors_in(self.fd(), takes_files);
        }
        self.takes_files = takes_files;
    }

    pub(super) fn takes_files(&self) -> bool {
        self.takes_files
    }

    /// Waits as long as the socket allows. 0 bytes at the end of the connection.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        let link = self.link.as_ref().expect("it has its link until it is dropped").as_fd();
        let (space, files) = (self.inbox.space(), self.takes_files.then_some(&mut self.files));
        let count = match files {
            Some(files) => os::receive_with_fds(link, space, files)?,
            None => os::receive(link, space)?,
        };
        self.inbox.received(count);
        Ok(count)
    }

    /// The same without waiting; None when nothing has arrived.
    pub(super) fn receive_now(&mut self) -> io::Result<Option<usize>> {
        let link = self.link.as_ref().expect("it has its link until it is dropped").as_fd();
        let (space, files) = (self.inbox.space(), self.takes_files.then_some(&mut self.files));
        let count = match files {
            Some(files) => os::receive_with_fds_now(link, space, files)?,
            None => os::receive_now(link, space)?,
        };
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
            let files = self.takes_files.then(|| std::mem::take(&mut self.files.fds));
            self.closing.close(link, files);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn is_open(name: &str) -> bool {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        links.filter(|link| fs::read_link(link.path()).is_ok_and(|to| to == Path::new(name))).count() > 1
    }

    #[test]
    fn a_descriptor_gets_in_only_where_the_request_takes_one() {
        let name = "/memfd:wsgi-passed (deleted)";
        let passed = os::memfd(c"wsgi-passed", 1).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(ours, true, &Arc::default());
        for taken in [true, false] {
            os::send_with_fd(theirs.as_fd(), b"12345678", passed.as_fd()).unwrap();
            // What lies in the connection by now was let in.
            channel.begin(taken);
            assert_eq!(channel.receive().unwrap(), 8);
            assert_eq!((channel.files.fds.len(), is_open(name)), (usize::from(taken), taken));
            channel.files.fds.clear();
        }
        // Linux 6.16 tells the sender.
        let sent = os::send_with_fd(theirs.as_fd(), b"1", passed.as_fd());
        assert!(sent.is_ok() || sent.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied));
        channel.begin(true);
        os::send_with_fd(theirs.as_fd(), b"2", passed.as_fd()).unwrap();
    }
}
