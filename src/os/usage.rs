//! Processor time and memory that a process or a thread has used.
//!
//! Used where applications run, while they have asked for events or metrics.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// Of the process: the most memory that it had, in bytes.
    pub maximum_memory: u64,
}

impl Usage {
    pub fn of_thread() -> Usage {
        Usage::of(UsageWho::RUSAGE_THREAD)
    }

    pub fn of_process() -> Usage {
        Usage::of(UsageWho::RUSAGE_SELF)
    }

    /// The call fails for no process or thread that asks about itself.
    fn of(who: UsageWho) -> Usage {
        getrusage(who).map_or(Usage::default(), |usage| Usage {
            user: duration(usage.user_time()),
            system: duration(usage.system_time()),
            maximum_memory: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
        })
    }

    /// User and system time since an earlier look.
    pub fn since(&self, before: &Usage) -> (Duration, Duration) {
        (self.user.saturating_sub(before.user), self.system.saturating_sub(before.system))
    }
}

fn duration(time: TimeVal) -> Duration {
    let number = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(number(time.tv_sec())) + Duration::from_micros(number(time.tv_usec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time() {
        let before = Usage::of_thread();
        let mut sum = 0u64;
        while Usage::of_thread().since(&before).0 < Duration::from_millis(2) {
            sum = (0..10_000).fold(sum, |sum, number| std::hint::black_box(sum.wrapping_add(number)));
        }
        assert!(Usage::of_process().user >= Duration::from_millis(2));
        assert!(Usage::of_process().maximum_memory > 100_000);
    }
}
