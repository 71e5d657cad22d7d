//! An epoll set whose members are known by a number that the caller chose.
//!
//! All threads of a daemon wait in one set (`daemon::worker`), and each event wakes one of them. The
//! supervisor has the sockets of the groups that sleep in another (`supervisor::sleepers`). Events are taken
//! one at a time, so that no thread holds back what another, idle one could serve.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::call::timespec;
use super::fault::gate;

pub struct Epoll {
    set: OwnedFd,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        gate("epoll_create")?;
        Ok(Epoll { set: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// `events` are epoll's own bits, such as `EPOLLIN | EPOLLONESHOT`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, events: u32) -> io::Result<()> {
        let events = EventFlags::from_bits_retain(events);
        gate("epoll_add")?;
        Ok(epoll::add(&self.set, fd, EventData::new_u64(token), events)?)
    }

    /// Arms a one-shot member again, or changes what it waits for.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, events: u32) -> io::Result<()> {
        let events = EventFlags::from_bits_retain(events);
        gate("epoll_modify")?;
        Ok(epoll::modify(&self.set, fd, EventData::new_u64(token), events)?)
    }

    pub fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        gate("epoll_delete")?;
        Ok(epoll::delete(&self.set, fd)?)
    }

    /// The next event as (token, events); None when the time is over or a signal came.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<(u64, u32)>> {
        let mut event = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        let waited =
            gate("epoll_wait").and_then(|()| epoll::wait(&self.set, &mut event, timespec(timeout).as_ref()));
        match waited {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(_) => {
                // The kernel's structure is packed.
                let [Event { flags, data }] = event;
                Ok(Some((data.u64(), flags.bits())))
            }
            Err(error) => Err(error.into()),
        }
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
