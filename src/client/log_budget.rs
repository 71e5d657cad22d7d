//! How much the processes of a group may have logged with their requests.
//!
//! Runs in httpd children, one for each group, and a tally for each request. The bounds are far above what an
//! application has to say; a process that floods the log would keep httpd, and the disk, from other sites.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// In bytes, for all requests of the group in this child.
const OF_A_SECOND: usize = 4 * 1024 * 1024;

const OF_A_REQUEST: usize = 16 * 1024 * 1024;

/// What httpd puts in front of a line.
const IN_FRONT: usize = 200;

#[derive(Default)]
pub struct LogBudget(Mutex<Option<(Instant, usize)>>);

/// What one request has spent.
#[derive(Default)]
pub struct LogTally {
    spent: usize,
    /// Lines that were left out.
    pub left_out: u64,
}

impl LogBudget {
    /// Whether a line of this length is to be written; the request remembers those that are not.
    pub fn allows(&self, tally: &mut LogTally, length: usize) -> bool {
        self.allows_at(Instant::now(), tally, length)
    }

    fn allows_at(&self, now: Instant, tally: &mut LogTally, length: usize) -> bool {
        let cost = length + IN_FRONT;
        let mut second = self.0.lock();
        let (begun, spent) = second.get_or_insert((now, 0));
        if now.saturating_duration_since(*begun) >= Duration::from_secs(1) {
            (*begun, *spent) = (now, 0);
        }
        let allowed = *spent + cost <= OF_A_SECOND && tally.spent + cost <= OF_A_REQUEST;
        if allowed {
            *spent += cost;
            tally.spent += cost;
        } else {
            tally.left_out += 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many lines of this length go through.
    fn lines(budget: &LogBudget, now: Instant, tally: &mut LogTally, length: usize) -> usize {
        (0..100_000).take_while(|_| budget.allows_at(now, tally, length)).count()
    }

    #[test]
    fn a_second_has_its_bound_and_so_has_a_request() {
        let (budget, start) = (LogBudget::default(), Instant::now());
        let (mut one, mut other) = (LogTally::default(), LogTally::default());
        assert_eq!(lines(&budget, start, &mut one, 824), 4096);
        assert_eq!((lines(&budget, start, &mut other, 0), other.left_out), (0, 1));
        for second in 1..4 {
            assert_eq!(lines(&budget, start + Duration::from_secs(second), &mut one, 824), 4096);
        }
        let later = start + Duration::from_secs(10);
        assert_eq!(lines(&budget, later, &mut one, 0), 0);
        assert!(lines(&budget, later, &mut other, 0) > 20_000);
    }
}
