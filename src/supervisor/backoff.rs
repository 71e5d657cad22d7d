//! How long a process group waits before it tries again to start a process.
//!
//! Used by `supervisor::group` in the supervisor. With these pauses a group whose processes cannot start
//! makes five attempts in its first minute, after the up to four that it began with.

use std::time::Duration;

const SECONDS: [u64; 6] = [1, 2, 4, 8, 16, 30];

#[derive(Debug, Default)]
pub struct Backoff {
    failures: usize,
}

impl Backoff {
    /// The pause after one more failure.
    pub fn failed(&mut self) -> Duration {
        let seconds = SECONDS[self.failures.min(SECONDS.len() - 1)];
        self.failures += 1;
        Duration::from_secs(seconds)
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..8).map(|_| backoff.failed().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.succeeded();
        assert_eq!(backoff.failed().as_secs(), 1);
    }
}
