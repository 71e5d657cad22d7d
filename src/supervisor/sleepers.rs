//! The sockets of the groups that sleep, in one epoll set: who has a caller.
//!
//! Runs in the supervisor. However many groups sleep, the supervisor waits for one descriptor, and does
//! nothing until the kernel says that a request has come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::os::Epoll;

pub struct Sleepers {
    set: Epoll,
    /// Whether the socket of each group is in the set.
    watched: Vec<bool>,
}

impl Sleepers {
    pub fn new(groups: usize) -> io::Result<Sleepers> {
        Ok(Sleepers { set: Epoll::new()?, watched: vec![false; groups] })
    }

    /// Has the socket of this group in the set, or not.
    pub fn watch(&mut self, group: usize, socket: BorrowedFd<'_>, wanted: bool) -> io::Result<()> {
        if self.watched[group] == wanted {
            return Ok(());
        }
        if wanted {
            self.set.add(socket, group as u64, libc::EPOLLIN as u32)?;
        } else {
            self.set.delete(socket)?;
        }
        self.watched[group] = wanted;
        Ok(())
    }

    /// A group with a caller; it is to be taken out of the set before the next one is asked for.
    pub fn next_caller(&self) -> io::Result<Option<usize>> {
        Ok(self.set.wait(Some(Duration::ZERO))?.map(|(group, _)| group as usize))
    }
}

impl AsFd for Sleepers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::os;

    #[test]
    fn a_caller_is_seen_once_and_only_while_its_group_sleeps() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut sleepers = Sleepers::new(3).unwrap();
        os::send_now(theirs.as_fd(), b"x").unwrap();
        assert_eq!(sleepers.next_caller().unwrap(), None);
        for wanted in [true, true] {
            sleepers.watch(2, ours.as_fd(), wanted).unwrap();
        }
        assert!(os::readable(sleepers.as_fd(), Some(Duration::ZERO)).unwrap());
        assert_eq!(sleepers.next_caller().unwrap(), Some(2));
        for wanted in [false, false] {
            sleepers.watch(2, ours.as_fd(), wanted).unwrap();
        }
        assert_eq!(sleepers.next_caller().unwrap(), None);
        assert!(!os::readable(sleepers.as_fd(), Some(Duration::ZERO)).unwrap());
    }
}
