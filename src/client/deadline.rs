//! The end of `request-timeout`, as a child keeps it for itself.
//!
//! Runs in httpd children. The supervisor ends a request that is late, by what its process writes on the
//! activity page. A process that has been broken into may write what it likes there, and trickle its answer for
//! ever. An honest one has been cut before this deadline: what it sent may still lie in the connection, when the
//! client reads slowly. So nothing more is waited for, and only as much as a connection holds is read on.

use std::time::{Duration, Instant};

/// What the supervisor and the process need, once the time is over: a process that does not obey is killed
/// within five seconds.
const GRACE: Duration = Duration::from_secs(10);

/// More bytes than a connection holds.
const MOST_BEHIND: usize = 4 * 1024 * 1024;

pub(super) struct Deadline {
    at: Instant,
    left: usize,
}

impl Deadline {
    /// From now on; None where the time has no end.
    pub fn after(limit: Duration) -> Option<Deadline> {
        let at = Instant::now().checked_add(limit)?.checked_add(GRACE)?;
        Some(Deadline { at, left: MOST_BEHIND })
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Whether a frame of so many bytes may follow.
    pub fn allows(&mut self, bytes: usize) -> bool {
        if self.is_over() {
            self.left = self.left.saturating_sub(bytes);
        }
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_connection_holds_is_read_after_the_end() {
        let mut deadline = Deadline::after(Duration::from_secs(3600)).unwrap();
        assert!(!deadline.is_over() && deadline.allows(MOST_BEHIND) && deadline.allows(MOST_BEHIND));
        deadline.at = Instant::now();
        assert!(deadline.is_over() && deadline.allows(MOST_BEHIND - 1));
        assert!(!deadline.allows(1));
        assert!(Deadline::after(Duration::MAX).is_none());
    }
}
