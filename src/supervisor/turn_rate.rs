//! How often the supervisor turns: counted, and bounded, whatever its processes write, report or come to.
//!
//! Each turn deals with all that has happened, so fewer turns lose nothing. At rest there are a few a second
//! at most (docs/architecture.md); a group that floods the supervisor gets a part of one core.

use std::time::{Duration, Instant};

/// TurnRate in a second without a pause between them; and the pause for the rest of that second.
const FREE: u32 = 500;
const PAUSE: Duration = Duration::from_millis(5);

const SECOND: Duration = Duration::from_secs(1);

pub struct TurnRate {
    second_began: Instant,
    in_this_second: u32,
}

impl TurnRate {
    pub fn new(now: Instant) -> TurnRate {
        TurnRate { second_began: now, in_this_second: 0 }
    }

    /// Which turn of this second it is.
    pub fn number(&self) -> u32 {
        self.in_this_second
    }

    /// One more turn; with the pause that is to follow it.
    pub fn count(&mut self, now: Instant) -> Option<Duration> {
        if now.saturating_duration_since(self.second_began) >= SECOND {
            *self = TurnRate::new(now);
        }
        self.in_this_second += 1;
        (self.in_this_second > FREE).then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_beyond_what_is_free_are_slow_until_the_next_second() {
        let begun = Instant::now();
        let (mut turns, mut now, mut all) = (TurnRate::new(begun), begun, 0);
        while now < begun + 10 * SECOND {
            all += 1;
            now += turns.count(now).unwrap_or(Duration::from_micros(1));
        }
        assert!(all <= 10 * (FREE + 200), "{all} turns in 10 s");
        assert!((1..=FREE).all(|_| turns.count(now + SECOND).is_none()));
        assert!(turns.count(now + SECOND).is_some());
    }
}
