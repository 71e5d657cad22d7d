//! One end of a connection between an httpd child and a daemon, which ends when its owner drops it.
//!
//! The child and the daemon both use it. Processes that the application has forked may hold copies of it,
//! which keep a closed socket open; so the owner shuts it down first, which works for all copies
//! (shutdown(2)). A process that is killed does not do that: the child sees the end of a daemon on the group
//! page (`client`).

use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use super::copies::{give_free, keep_from_copies};

pub struct Link {
    stream: UnixStream,
    number: u64,
}

impl Link {
    pub fn new(stream: UnixStream) -> Link {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        keep_from_copies(stream.as_fd());
        Link { stream, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// No other link of this process has or had this number. The number of a descriptor comes again, while an
    /// epoll set still knows the closed one that a copy holds (epoll(7)).
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Deref for Link {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.stream
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        give_free(self.stream.as_fd());
        // Ended by the other side already is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
