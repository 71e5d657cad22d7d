//! So much at once and so much a second: what a site may have read and logged of its output.
//!
//! Used by the supervisor, at the reading ends of the daemons' pipes (`supervisor::output`). One that is used
//! up stays so until it is worth while again, so that a flood is logged in coherent pieces and read without
//! haste.

use std::time::{Duration, Instant};

const KB: u64 = 1024;
const MB: u64 = 1024 * KB;

/// What is logged of one stream of a process, as written to the log. A storm of tracebacks gets through.
pub const OF_PROCESS: (u64, u64) = (64 * KB, MB);

/// Likewise of that stream of all processes of a group: each one that is started begins anew.
const OF_GROUP: (u64, u64) = (4 * OF_PROCESS.0, 4 * OF_PROCESS.1);

/// What is read of a group, to be logged or not; a writer that is faster waits, as with any pipe.
const READ: (u64, u64) = (16 * MB, 4 * MB);

/// What one turn of the supervisor takes of a group at most, so that others have theirs soon.
const BYTES_OF_TURN: usize = 128 * KB as usize;
const LINES_OF_TURN: usize = 512;

/// What a used up budget must have again, as the time in which it comes.
const LOGGED_AGAIN: Duration = Duration::from_secs(1);
const READ_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Budget {
    rate: f64,
    burst: f64,
    again: f64,
    /// Below zero where the last to take took more than there was.
    left: f64,
    counted: Option<Instant>,
    used_up: bool,
}

impl Budget {
    fn new((rate, burst): (u64, u64), again: Duration) -> Budget {
        let (rate, burst) = (rate as f64, burst as f64);
        let again = rate * again.as_secs_f64();
        Budget { rate, burst, again, left: burst, counted: None, used_up: false }
    }

    /// For one stream of one process.
    pub fn of_process() -> Budget {
        Budget::new(OF_PROCESS, LOGGED_AGAIN)
    }

    /// Adds what has come since it was counted last.
    pub fn count(&mut self, now: Instant) {
        let since = self.counted.map_or(Duration::ZERO, |counted| now.saturating_duration_since(counted));
        self.left = (self.left + since.as_secs_f64() * self.rate).min(self.burst);
        self.counted = self.counted.max(Some(now));
        if self.left >= self.again {
            self.used_up = false;
        }
    }

    pub fn take(&mut self, amount: usize) {
        self.left -= amount as f64;
        if self.left <= 0.0 {
            self.used_up = true;
        }
    }

    pub fn is_used_up(&self) -> bool {
        self.used_up
    }

    /// When a budget that is used up is worth while again.
    pub fn again_at(&self, now: Instant) -> Instant {
        let missing = (self.again - self.left).max(0.0) / self.rate;
        self.counted.unwrap_or(now) + Duration::from_secs_f64(missing) + Duration::from_millis(1)
    }
}

/// What the processes of a group share.
#[derive(Debug)]
pub struct Allowance {
    pub read: Budget,
    /// Of their standard output, and of their standard error.
    pub logged: [Budget; 2],
    pub turn: Turn,
}

/// What is left of it in this turn.
#[derive(Debug)]
pub struct Turn {
    pub bytes: usize,
    pub lines: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Turn { bytes: BYTES_OF_TURN, lines: LINES_OF_TURN }
    }
}

impl Default for Allowance {
    fn default() -> Self {
        let of_group = || Budget::new(OF_GROUP, LOGGED_AGAIN);
        Allowance {
            read: Budget::new(READ, READ_AGAIN),
            logged: [of_group(), of_group()],
            turn: Turn::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_worth_while_again_later() {
        let (mut budget, begun) = (Budget::new((100, 1000), Duration::from_secs(2)), Instant::now());
        budget.count(begun);
        budget.take(999);
        assert!(!budget.is_used_up());
        budget.take(101);
        assert!(budget.is_used_up());
        let again = budget.again_at(begun);
        assert_eq!((again - begun).as_millis(), 3_001);
        budget.count(begun + Duration::from_millis(2_900));
        assert!(budget.is_used_up());
        budget.count(again);
        assert!(!budget.is_used_up());
        budget.count(again + Duration::from_secs(3600));
        budget.take(1000);
        assert!(budget.is_used_up(), "no more than its burst gathers");
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let (mut budget, begun) = (Budget::new((100, 1000), Duration::from_secs(1)), Instant::now());
        budget.count(begun + Duration::from_secs(5));
        budget.take(1000);
        budget.count(begun);
        budget.count(begun + Duration::from_secs(5));
        assert!(budget.is_used_up());
    }
}
