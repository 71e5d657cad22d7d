//! How many processes a group needs: more while all threads are busy, fewer after a while with little to do,
//! and none while no request comes where that is allowed (`start=on-demand`).
//!
//! Pure: the supervisor says how busy the group is, and gets the number. When to look again is kept here,
//! beside the state that it follows from: a group that sleeps has no such moment, its caller wakes it.

use std::time::{Duration, Instant};

use crate::config::process_group::ProcessGroup;

/// How often a group that can grow is looked at, and how long it must have been busy to do so.
const LOOK: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_millis(200);

/// A look that is due so soon is made now: looks at many groups come together, and the supervisor turns once
/// for them.
pub const TOGETHER: Duration = Duration::from_millis(50);

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
    /// At the last look, none was in service yet.
    was_starting: bool,
    /// When to look again; None where the number never changes by itself.
    due: Option<Instant>,
}

/// A group as it is now.
pub struct Load {
    /// Processes that are in service.
    pub ready: usize,
    /// None is in service, and one is on its way there.
    pub starting: bool,
    /// Requests they have.
    pub running: usize,
    /// How long ago the last one began or ended; None if there was none.
    pub last: Option<Duration>,
}

impl Demand {
    pub fn new(group: &ProcessGroup, now: Instant) -> Demand {
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
            was_starting: false,
            due: (!group.sleeps()).then_some(now),
        }
    }

    pub fn is_asleep(&self) -> bool {
        self.wanted == 0
    }

    /// A request has come.
    pub fn wake(&mut self, now: Instant) -> usize {
        self.wanted = self.first;
        self.quiet_since = Some(now);
        self.due = Some(now);
        self.wanted
    }

    /// When to look at the group again; None where nothing changes by itself.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now + TOGETHER)
    }

    /// How many processes are wanted now.
    pub fn look(&mut self, load: &Load, now: Instant) -> usize {
        if self.on_demand && !self.is_asleep() && self.has_been_quiet(load, now) {
            self.wanted = 0;
        }
        if self.minimum < self.maximum && !self.is_asleep() {
            self.grow_or_shrink(load, now);
        }
        self.due = self.next_look(now);
        self.wanted
    }

    fn next_look(&self, now: Instant) -> Option<Instant> {
        if self.is_asleep() {
            return None;
        }
        if self.minimum < self.maximum {
            return Some(now + LOOK);
        }
        let since = self.quiet_since.unwrap_or(now);
        self.on_demand.then(|| (since + self.idle_timeout).max(now + LOOK))
    }

    /// The time of a start is not quiet, since its caller waits; that of the pauses after starts that failed is.
    fn has_been_quiet(&mut self, load: &Load, now: Instant) -> bool {
        if load.starting {
            self.was_starting = true;
            return false;
        }
        if load.ready > 0 && std::mem::take(&mut self.was_starting) {
            self.quiet_since = Some(now);
        }
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
        Load { ready, starting: false, running, last: None }
    }

    #[test]
    fn a_group_of_fixed_size_is_not_looked_at() {
        let mut demand = Demand::new(&group(2, 2, false), Instant::now());
        assert_eq!((demand.look(&load(2, 4), Instant::now()), demand.deadline()), (2, None));
    }

    #[test]
    fn it_grows_while_all_threads_are_busy_and_no_process_is_on_its_way() {
        let begun = Instant::now();
        let mut demand = Demand::new(&group(1, 3, false), begun);
        assert_eq!(demand.look(&load(1, 2), begun), 1);
        assert_eq!(demand.look(&load(1, 1), begun + BUSY / 2), 1);
        assert_eq!(demand.look(&load(1, 2), begun + BUSY), 1, "it was not busy all the time");
        assert_eq!(demand.look(&load(1, 2), begun + 2 * BUSY), 2);
        for later in 3..20 {
            assert_eq!(demand.look(&load(1, 2), begun + later * BUSY), 2);
        }
        demand.look(&load(2, 4), begun + 20 * BUSY);
        assert_eq!(demand.look(&load(2, 4), begun + 21 * BUSY), 3);
        demand.look(&load(3, 6), begun + 22 * BUSY);
        assert_eq!(demand.look(&load(3, 6), begun + 30 * BUSY), 3);
    }

    #[test]
    fn it_shrinks_when_one_less_was_enough_for_long() {
        let begun = Instant::now();
        let mut demand = Demand::new(&group(1, 3, false), begun);
        demand.wanted = 3;
        let minute = Duration::from_secs(60);
        assert_eq!(demand.look(&load(3, 2), begun), 3);
        assert_eq!(demand.look(&load(3, 3), begun + minute / 2), 3);
        assert_eq!(demand.look(&load(3, 2), begun + minute), 3);
        assert_eq!(demand.look(&load(3, 2), begun + 2 * minute), 2);
        demand.look(&load(2, 0), begun + 3 * minute);
        assert_eq!(demand.look(&load(2, 0), begun + 4 * minute), 1);
        demand.look(&load(1, 0), begun + 5 * minute);
        assert_eq!(demand.look(&load(1, 0), begun + 6 * minute), 1);
    }

    #[test]
    fn a_group_on_demand_sleeps_when_nobody_has_asked_for_long() {
        let begun = Instant::now();
        let mut demand = Demand::new(&group(1, 1, true), begun);
        let second = Duration::from_secs(1);
        assert!(demand.is_asleep() && demand.deadline().is_none());
        assert_eq!(demand.look(&load(0, 0), begun), 0);
        assert!(demand.deadline().is_none(), "a look at one that sleeps moves nothing");
        assert_eq!(demand.wake(begun), 1);
        assert_eq!(demand.deadline(), Some(begun));
        assert_eq!((demand.look(&load(0, 0), begun), demand.deadline()), (1, Some(begun + 60 * second)));
        assert_eq!(demand.look(&load(1, 1), begun + 50 * second), 1);
        let rests = Load { last: Some(10 * second), ..load(1, 0) };
        let wanted = demand.look(&rests, begun + 70 * second);
        assert_eq!((wanted, demand.deadline()), (1, Some(begun + 130 * second)));
        assert_eq!(demand.look(&Load { last: Some(69 * second), ..load(1, 0) }, begun + 129 * second), 1);
        assert_eq!(demand.look(&Load { last: Some(70 * second), ..load(1, 0) }, begun + 130 * second), 0);
        assert!(demand.is_asleep() && demand.deadline().is_none());
    }

    #[test]
    fn a_start_of_any_length_is_not_quiet_and_the_pauses_after_failed_ones_are() {
        let begun = Instant::now();
        let (mut demand, second) = (Demand::new(&group(1, 1, true), begun), Duration::from_secs(1));
        let starting = Load { starting: true, ..load(0, 0) };
        demand.wake(begun);
        assert_eq!(demand.look(&starting, begun + 70 * second), 1);
        assert_eq!(demand.look(&load(1, 0), begun + 80 * second), 1, "its caller comes now");
        assert_eq!(demand.look(&load(1, 0), begun + 139 * second), 1);
        assert_eq!(demand.look(&load(1, 0), begun + 140 * second), 0);
        demand.wake(begun + 200 * second);
        assert_eq!(demand.look(&starting, begun + 230 * second), 1);
        assert_eq!(demand.look(&load(0, 0), begun + 260 * second), 0, "all its starts have failed");
    }

    #[test]
    fn looks_come_together_and_each_one_moves_the_next() {
        let begun = Instant::now();
        let mut groups: Vec<Demand> = (0..200).map(|_| Demand::new(&group(1, 2, false), begun)).collect();
        for (number, demand) in (0..).zip(&mut groups) {
            demand.look(&load(1, 0), begun + Duration::from_micros(number * 200));
        }
        let (mut now, mut turns) = (begun, 0);
        while now < begun + Duration::from_secs(10) {
            let next = groups.iter().filter_map(Demand::deadline).min().unwrap();
            assert!(next > now);
            (now, turns) = (next, turns + 1);
            for demand in groups.iter_mut().filter(|demand| demand.is_due(now)) {
                demand.look(&load(1, 0), now);
            }
        }
        assert!(turns <= 101, "{turns} turns in 10 s");
    }
}
