//! How many processes a group needs: more while all threads are busy, fewer after a while with little to do, and
//! none while nobody asks where that is allowed (`start=on-demand`).
//!
//! Pure: `supervisor::crew` says how busy the group is, and gets the number and when to look again.

use std::time::{Duration, Instant};

use crate::config::process_group::ProcessGroup;

/// How often a group that can grow is looked at, and how long it must have been busy to do so.
const LOOK: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_millis(200);

pub struct Demand {
    first: usize,
    minimum: usize,
    maximum: usize,
    threads: usize,
    on_demand: bool,
    idle_timeout: Duration,
    wanted: usize,
    busy_since: Option<Instant>,
    spare_since: Option<Instant>,
    /// Since when nothing has run.
    quiet_since: Option<Instant>,
}

/// A group as it is now.
pub struct Load {
    /// Processes that are in service.
    pub ready: usize,
    /// Requests they have.
    pub running: usize,
    /// How long ago the last one began or ended; None if there was none.
    pub last: Option<Duration>,
}

impl Demand {
    pub fn new(group: &ProcessGroup) -> Demand {
        let first = group.processes as usize;
        Demand {
            first,
            minimum: group.minimum_processes as usize,
            // Service scripts are not asked for, and have nothing that could be busy.
            maximum: if group.threads == 0 { first } else { group.maximum_processes as usize },
            threads: group.threads as usize,
            on_demand: group.sleeps(),
            idle_timeout: group.idle_timeout,
            wanted: if group.sleeps() { 0 } else { first },
            busy_since: None,
            spare_since: None,
            quiet_since: None,
        }
    }

    pub fn is_asleep(&self) -> bool {
        self.wanted == 0
    }

    /// Somebody has asked.
    pub fn wake(&mut self, now: Instant) -> usize {
        self.wanted = self.first;
        self.quiet_since = Some(now);
        self.wanted
    }

    /// How many processes are wanted now, and when to look again; None where it never changes by itself.
    pub fn look(&mut self, load: &Load, now: Instant) -> (usize, Option<Instant>) {
        if self.is_asleep() {
            return (0, None);
        }
        if self.on_demand && self.has_been_quiet(load, now) {
            self.wanted = 0;
            return (0, None);
        }
        if self.minimum < self.maximum {
            self.grow_or_shrink(load, now);
        }
        (self.wanted, self.next_look(now))
    }

    fn next_look(&self, now: Instant) -> Option<Instant> {
        if self.minimum < self.maximum {
            return Some(now + LOOK);
        }
        let since = self.quiet_since.unwrap_or(now);
        self.on_demand.then(|| (since + self.idle_timeout).max(now + LOOK))
    }

    fn has_been_quiet(&mut self, load: &Load, now: Instant) -> bool {
        if load.running > 0 {
            self.quiet_since = None;
            return false;
        }
        let last = load.last.and_then(|ago| now.checked_sub(ago));
        let since = *self.quiet_since.get_or_insert(now);
        let since = last.map_or(since, |last| last.max(since));
        self.quiet_since = Some(since);
        now.saturating_duration_since(since) >= self.idle_timeout
    }

    fn grow_or_shrink(&mut self, load: &Load, now: Instant) {
        let busy = load.ready >= self.wanted && load.running >= load.ready * self.threads;
        let busy_since = if busy { *self.busy_since.get_or_insert(now) } else { now };
        self.busy_since = busy.then_some(busy_since);
        if now.saturating_duration_since(busy_since) >= BUSY && self.wanted < self.maximum {
            self.wanted += 1;
            self.busy_since = None;
        }
        // With one less there would still be as many free threads as busy ones.
        let spare = self.wanted > self.minimum && 2 * load.running <= (self.wanted - 1) * self.threads;
        let spare_since = if spare { *self.spare_since.get_or_insert(now) } else { now };
        self.spare_since = spare.then_some(spare_since);
        if spare && now.saturating_duration_since(spare_since) >= self.idle_timeout {
            self.wanted -= 1;
            self.spare_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;

    fn group(minimum: u32, maximum: u32, on_demand: bool) -> ProcessGroup {
        ProcessGroup {
            processes: minimum,
            minimum_processes: minimum,
            maximum_processes: maximum,
            threads: 2,
            on_demand,
            idle_timeout: Duration::from_secs(60),
            ..ProcessGroup::new("blog", Origin::default())
        }
    }

    fn load(ready: usize, running: usize) -> Load {
        Load { ready, running, last: None }
    }

    #[test]
    fn a_group_of_fixed_size_is_not_looked_at() {
        let mut demand = Demand::new(&group(2, 2, false));
        assert_eq!(demand.look(&load(2, 4), Instant::now()), (2, None));
    }

    #[test]
    fn it_grows_while_all_threads_are_busy_and_no_process_is_on_its_way() {
        let mut demand = Demand::new(&group(1, 3, false));
        let begun = Instant::now();
        assert_eq!(demand.look(&load(1, 2), begun).0, 1);
        assert_eq!(demand.look(&load(1, 1), begun + BUSY / 2).0, 1);
        assert_eq!(demand.look(&load(1, 2), begun + BUSY).0, 1, "it was not busy all the time");
        assert_eq!(demand.look(&load(1, 2), begun + 2 * BUSY).0, 2);
        for later in 3..20 {
            assert_eq!(demand.look(&load(1, 2), begun + later * BUSY).0, 2);
        }
        demand.look(&load(2, 4), begun + 20 * BUSY);
        assert_eq!(demand.look(&load(2, 4), begun + 21 * BUSY).0, 3);
        demand.look(&load(3, 6), begun + 22 * BUSY);
        assert_eq!(demand.look(&load(3, 6), begun + 30 * BUSY).0, 3);
    }

    #[test]
    fn it_shrinks_when_one_less_was_enough_for_long() {
        let mut demand = Demand::new(&group(1, 3, false));
        demand.wanted = 3;
        let begun = Instant::now();
        let minute = Duration::from_secs(60);
        assert_eq!(demand.look(&load(3, 2), begun).0, 3);
        assert_eq!(demand.look(&load(3, 3), begun + minute / 2).0, 3);
        assert_eq!(demand.look(&load(3, 2), begun + minute).0, 3);
        assert_eq!(demand.look(&load(3, 2), begun + 2 * minute).0, 2);
        demand.look(&load(2, 0), begun + 3 * minute);
        assert_eq!(demand.look(&load(2, 0), begun + 4 * minute).0, 1);
        demand.look(&load(1, 0), begun + 5 * minute);
        assert_eq!(demand.look(&load(1, 0), begun + 6 * minute).0, 1);
    }

    #[test]
    fn a_group_on_demand_sleeps_when_nobody_has_asked_for_long() {
        let mut demand = Demand::new(&group(1, 1, true));
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        assert!(demand.is_asleep());
        assert_eq!(demand.wake(begun), 1);
        assert_eq!(demand.look(&load(0, 0), begun), (1, Some(begun + 60 * second)));
        assert_eq!(demand.look(&load(1, 1), begun + 50 * second).0, 1);
        let rests = Load { last: Some(10 * second), ..load(1, 0) };
        assert_eq!(demand.look(&rests, begun + 70 * second), (1, Some(begun + 130 * second)));
        assert_eq!(demand.look(&Load { last: Some(69 * second), ..load(1, 0) }, begun + 129 * second).0, 1);
        assert_eq!(demand.look(&Load { last: Some(70 * second), ..load(1, 0) }, begun + 130 * second).0, 0);
        assert!(demand.is_asleep());
    }
}
