//! An epoll set whose members are known by a number that the caller chose.
//!
//! All threads of a daemon (`daemon::worker`) wait in one set, each event wakes one of them; the supervisor
//! has the sockets of the groups that sleep in another. Events are taken one at a time so that no thread
//! holds back what another, idle one could serve.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::call::{check, milliseconds};
use super::descriptor::owned;

pub struct Epoll {
    set: OwnedFd,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes an integer, returns a descriptor.
        let set = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Epoll { set })
    }

    /// `events` are epoll's own bits, such as `EPOLLIN | EPOLLONESHOT`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, events: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, events)
    }

    /// Arms a one-shot member again, or changes what it waits for.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, events: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, events)
    }

    pub fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let none = ptr::null_mut();
        // SAFETY: the kernel ignores the event pointer when it deletes.
        check(unsafe { libc::epoll_ctl(self.set.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), none) })?;
        Ok(())
    }

    /// The next event as (token, events); None when the time is over or a signal came.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<(u64, u32)>> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let wait = milliseconds(timeout);
        // SAFETY: there is room for the one event that is asked for.
        let count = unsafe { libc::epoll_wait(self.set.as_raw_fd(), &raw mut event, 1, wait) };
        match check(count) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some((event.u64, event.events))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, token: u64, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the event is read during the call only.
        check(unsafe { libc::epoll_ctl(self.set.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) })?;
        Ok(())
    }
}

impl AsFd for Epoll {
    /// Readable while a member has an event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{event, eventfd};

    #[test]
    fn a_one_shot_member_fires_once_until_armed_again() {
        let (set, counter) = (Epoll::new().unwrap(), eventfd().unwrap());
        let events = (libc::EPOLLIN | libc::EPOLLONESHOT) as u32;
        set.add(counter.as_fd(), 7, events).unwrap();
        assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), None);
        event(counter.as_fd()).unwrap();
        assert_eq!(set.wait(None).unwrap(), Some((7, libc::EPOLLIN as u32)));
        assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), None);
        set.modify(counter.as_fd(), 8, events).unwrap();
        assert_eq!(set.wait(None).unwrap(), Some((8, libc::EPOLLIN as u32)));
        set.delete(counter.as_fd()).unwrap();
        assert!(set.modify(counter.as_fd(), 9, events).is_err());
    }
}
