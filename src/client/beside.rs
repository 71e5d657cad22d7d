//! What an httpd child does while it waits for a daemon: it takes what its own client sends.
//!
//! Runs in httpd children; `exchange::body` implements `Beside`. httpd (mod_reqtimeout) times a client that
//! has announced a body, even where the daemon is the slow side. So the child takes the body as it comes,
//! while the request waits in a queue and while its application computes.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::os::{self, PollFd};

/// How often a child that waits to be accepted looks whether the group has given up.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Input that may come while the child waits for a daemon.
pub trait Beside {
    /// Where it comes; None when nothing is to be waited for, now or at all.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Takes what has come, without waiting; false when that was nothing.
    fn take(&mut self) -> bool;
}

/// How long a descriptor is left alone that was readable and had nothing: a part of a TLS record, say.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until there is something to read from a daemon, and takes what comes beside it. False after
/// `timeout`.
pub(super) fn readable(fd: BorrowedFd<'_>, timeout: Duration, beside: &mut dyn Beside) -> io::Result<bool> {
    let end = Instant::now() + timeout;
    loop {
        let left = left_until(end);
        let Some(other) = beside.descriptor() else { return os::readable(fd, Some(left)) };
        let mut both = [PollFd::reading(fd), PollFd::reading(other)];
        os::poll(&mut both, Some(left))?;
        let [ours, others] = both.map(|one| one.is_ready());
        let fruitless = others && !beside.take();
        if ours || (fruitless && os::readable(fd, Some(left.min(PAUSE)))?) {
            return Ok(true);
        }
        if left.is_zero() {
            return Ok(false);
        }
    }
}

/// An attempt that waits up to the time that it is given, in parts between which something else can be taken.
pub(super) fn in_parts<T>(
    timeout: Duration,
    beside: &mut dyn Beside,
    mut attempt: impl FnMut(Duration) -> io::Result<T>,
) -> io::Result<T> {
    let end = Instant::now() + timeout;
    while beside.descriptor().is_some() && left_until(end) > TICK {
        match attempt(TICK) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => beside.take(),
            done => return done,
        };
    }
    attempt(left_until(end))
}

pub(super) fn left_until(instant: Instant) -> Duration {
    instant.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Takes a byte at a time.
    struct Bytes {
        from: UnixStream,
        taken: usize,
        most: usize,
    }

    impl Beside for Bytes {
        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            (self.taken < self.most).then(|| self.from.as_fd())
        }

        fn take(&mut self) -> bool {
            let count = self.from.read(&mut [0]).unwrap_or(0);
            self.taken += count;
            count > 0
        }
    }

    #[test]
    fn what_comes_beside_is_taken_and_does_not_lengthen_the_wait() {
        let ((ours, mut daemon), (from, mut client)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        from.set_nonblocking(true).unwrap();
        let mut beside = Bytes { from, taken: 0, most: 4 };
        client.write_all(b"abc").unwrap();
        let wait = |beside: &mut Bytes| readable(ours.as_fd(), Duration::from_millis(30), beside).unwrap();
        assert!(!wait(&mut beside));
        assert_eq!(beside.taken, 3);
        client.write_all(b"defg").unwrap();
        daemon.write_all(b"x").unwrap();
        assert!(wait(&mut beside));
        assert!(wait(&mut beside));
        assert_eq!(beside.taken, 4, "no more than it wants");
    }

    #[test]
    fn what_is_readable_and_has_nothing_costs_no_processor() {
        struct Stubborn(UnixStream, usize);
        impl Beside for Stubborn {
            fn descriptor(&self) -> Option<BorrowedFd<'_>> {
                Some(self.0.as_fd())
            }
            fn take(&mut self) -> bool {
                self.1 += 1;
                false
            }
        }
        let ((ours, _daemon), (from, _)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let mut beside = Stubborn(from, 0);
        assert!(!readable(ours.as_fd(), Duration::from_millis(50), &mut beside).unwrap());
        assert!(beside.1 < 20, "asked {} times in 50 ms", beside.1);
    }
}
