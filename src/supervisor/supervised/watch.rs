//! What the supervisor looks for in its processes: limits that are reached, and things that last too long.
//!
//! Pure: `looks` describes a process, and gets the findings and the moment of the next look. Times are
//! milliseconds of `os::milliseconds_now`; nothing can be late before its time has passed, so there is no need
//! to look more often.

use std::collections::HashMap;

use crate::config::limits::Limits;
use crate::control::activity_page::Running;
use crate::control::message::Work;
use crate::control::reason::Reason;

/// How often the memory of a process is looked at, where it has a limit: while it has requests, and
/// otherwise.
const LOOK_AT_MEMORY: u64 = 1000;
const AT_REST: u64 = 10_000;

/// How long a process may take to carry out an order that must not wait.
const MOMENT: u64 = 5000;

/// A process as it is now.
pub struct Now<'a> {
    pub time: u64,
    pub running: &'a [Running],
    /// When it last began or ended a request; 0 before the first.
    pub last: u64,
    pub attaching_since: u64,
    pub loading_since: u64,
    /// Resident bytes, where they matter.
    pub memory: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Interrupt(Work),
    Expire(Work),
    ShowStacks,
    Renew(Reason),
    /// It has not carried out an order in time.
    Unresponsive,
}

/// What is remembered of one process that is in service.
pub struct Watch {
    since: u64,
    restart_interval: Option<u64>,
    interrupted: HashMap<u32, u32>,
    expired: HashMap<u32, u32>,
    /// When its memory was last asked for.
    memory_asked: u64,
    /// Reasons for which it was reported already.
    found: Vec<Reason>,
    /// When an order was given that is still to be answered.
    asked: Option<u64>,
}

impl Watch {
    /// `pid` spreads the ends of processes that were started together over a tenth of the interval.
    pub fn new(limits: &Limits, pid: i32, now: u64) -> Watch {
        let interval = limits.restart_interval.map(milliseconds);
        let earlier = |interval: u64| u64::from(pid.unsigned_abs()) * 7919 % (interval / 10 + 1);
        Watch {
            since: now,
            restart_interval: interval.map(|interval| interval - earlier(interval)),
            interrupted: HashMap::new(),
            expired: HashMap::new(),
            memory_asked: 0,
            found: Vec::new(),
            asked: None,
        }
    }

    /// Whether its memory matters now. Of a process without requests it hardly changes, and asking costs some
    /// microseconds for each of all that rest.
    pub fn asks_for_memory(&mut self, limits: &Limits, time: u64, last: u64, runs: bool) -> bool {
        let rests = !runs && last < self.memory_asked && time < self.memory_asked + AT_REST;
        let asks = limits.maximum_memory.is_some() && !rests;
        if asks {
            self.memory_asked = time;
        }
        asks
    }

    /// The process has carried out what it was ordered.
    pub fn heard(&mut self) {
        self.asked = None;
    }

    /// What follows from how things are, and when to look again.
    pub fn look(&mut self, limits: &Limits, now: &Now<'_>) -> (Vec<Finding>, Option<u64>) {
        let mut findings = Vec::new();
        let mut next = Next { time: now.time, at: None };
        self.look_at_requests(limits, now, &mut findings, &mut next);
        let idle = now.last > 0 && now.running.iter().all(|running| self.is_expired(running));
        let mut limit = |reason, since: u64, limit: Option<u64>| {
            if let Some(limit) = limit
                && next.is_past(since, limit)
                && !self.found.contains(&reason)
            {
                self.found.push(reason);
                if reason == Reason::DeadlockTimeout {
                    findings.push(Finding::ShowStacks);
                }
                findings.push(Finding::Renew(reason));
            }
        };
        limit(Reason::RestartInterval, self.since, self.restart_interval);
        limit(Reason::DeadlockTimeout, now.attaching_since, limits.deadlock.map(milliseconds));
        limit(Reason::StartupTimeout, now.loading_since, limits.startup.map(milliseconds));
        limit(Reason::Inactivity, if idle { now.last } else { 0 }, limits.inactivity.map(milliseconds));
        let above = |most| now.memory.is_some_and(|memory| memory > most);
        if limits.maximum_memory.is_some_and(above) && !self.found.contains(&Reason::MaximumMemory) {
            self.found.push(Reason::MaximumMemory);
            findings.push(Finding::Renew(Reason::MaximumMemory));
        }
        if limits.maximum_memory.is_some() {
            next.no_later_than(now.time.saturating_add(LOOK_AT_MEMORY));
        }
        if findings.iter().any(|finding| matches!(finding, Finding::Expire(_) | Finding::ShowStacks)) {
            self.asked.get_or_insert(now.time);
        }
        if self.asked.is_some_and(|asked| next.is_past(asked, MOMENT)) {
            self.asked = None;
            findings.push(Finding::Unresponsive);
        }
        // What is not under way can begin right now, and is not late before its own limit.
        for begins in
            [limits.request, limits.deadlock, limits.inactivity, limits.startup].into_iter().flatten()
        {
            next.no_later_than(now.time.saturating_add(milliseconds(begins)));
        }
        (findings, next.at)
    }

    fn look_at_requests(
        &mut self,
        limits: &Limits,
        now: &Now<'_>,
        findings: &mut Vec<Finding>,
        next: &mut Next,
    ) {
        let Some(limit) = limits.request.map(milliseconds) else { return };
        for running in now.running.iter().filter(|running| running.since.saturating_add(limit) > now.time) {
            next.no_later_than(running.since.saturating_add(limit));
        }
        for running in now.running.iter().filter(|running| running.since.saturating_add(limit) <= now.time) {
            let Work { thread, number } = running.work;
            if self.is_expired(running) {
                continue;
            }
            if let Some(interrupt) = limits.interrupt.map(milliseconds) {
                if self.interrupted.insert(thread, number) != Some(number) {
                    findings.push(Finding::Interrupt(running.work));
                }
                if !next.is_past(running.since, limit.saturating_add(interrupt)) {
                    continue;
                }
            }
            self.expired.insert(thread, number);
            findings.push(Finding::Expire(running.work));
            findings.push(Finding::Renew(Reason::RequestTimeout));
        }
    }

    fn is_expired(&self, running: &Running) -> bool {
        self.expired.get(&running.work.thread) == Some(&running.work.number)
    }
}

/// When to look again: collects the earliest moment.
struct Next {
    time: u64,
    at: Option<u64>,
}

impl Next {
    fn no_later_than(&mut self, moment: u64) {
        self.at = Some(self.at.map_or(moment, |at| at.min(moment)));
    }

    /// Whether something that began then has lasted so long; if not, when it will have. 0 is not begun.
    fn is_past(&mut self, since: u64, limit: u64) -> bool {
        let past = since > 0 && since.saturating_add(limit) <= self.time;
        if since > 0 && !past {
            self.no_later_than(since.saturating_add(limit));
        }
        past
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn running(thread: u32, number: u32, since: u64) -> Running {
        Running { work: Work { thread, number }, since }
    }

    fn now(time: u64, running: &[Running]) -> Now<'_> {
        Now { time, running, last: 0, attaching_since: 0, loading_since: 0, memory: None }
    }

    fn none() -> Limits {
        Limits { deadlock: None, ..Limits::default() }
    }

    #[test]
    fn a_request_expires_once_and_is_not_looked_for_before() {
        let limits = Limits { request: Some(Duration::from_secs(2)), ..none() };
        let mut watch = Watch::new(&limits, 1, 1000);
        assert_eq!(watch.look(&limits, &now(1000, &[])), (vec![], Some(3000)));
        let work = [running(1, 5, 1500), running(2, 9, 2500)];
        assert_eq!(watch.look(&limits, &now(3000, &work)), (vec![], Some(3500)));
        let expected = vec![Finding::Expire(work[0].work), Finding::Renew(Reason::RequestTimeout)];
        assert_eq!(watch.look(&limits, &now(3500, &work)).0, expected);
        let (findings, next) = watch.look(&limits, &now(3600, &work));
        assert_eq!((findings, next), (vec![], Some(4500)));
        watch.heard();
        assert_eq!(watch.look(&limits, &now(4499, &work)).0, []);
        assert_eq!(watch.look(&limits, &now(4500, &work)).0.len(), 2);
    }

    #[test]
    fn an_interruption_comes_first_where_there_is_one() {
        let limits = Limits {
            request: Some(Duration::from_secs(2)),
            interrupt: Some(Duration::from_secs(1)),
            ..none()
        };
        let mut watch = Watch::new(&limits, 1, 1000);
        let work = [running(1, 5, 1000)];
        let (findings, next) = watch.look(&limits, &now(3000, &work));
        assert_eq!((findings, next), (vec![Finding::Interrupt(work[0].work)], Some(4000)));
        assert_eq!(watch.look(&limits, &now(3999, &work)).0, []);
        assert_eq!(watch.look(&limits, &now(4000, &work)).0[0], Finding::Expire(work[0].work));
    }

    #[test]
    fn a_process_that_does_not_answer_is_found() {
        let limits = Limits { request: Some(Duration::from_secs(2)), ..none() };
        let mut watch = Watch::new(&limits, 1, 1000);
        let work = [running(1, 5, 1000)];
        watch.look(&limits, &now(3000, &work));
        assert_eq!(watch.look(&limits, &now(7999, &work)), (vec![], Some(8000)));
        assert_eq!(watch.look(&limits, &now(8000, &work)).0, [Finding::Unresponsive]);
    }

    #[test]
    fn limits_are_reported_once_each() {
        let limits = Limits {
            maximum_memory: Some(100),
            startup: Some(Duration::from_secs(3)),
            deadlock: Some(Duration::from_secs(5)),
            inactivity: Some(Duration::from_secs(7)),
            restart_interval: Some(Duration::from_secs(100)),
            ..none()
        };
        let mut watch = Watch::new(&limits, 1, 1000);
        let stuck = |time| Now {
            loading_since: 2000,
            attaching_since: 3000,
            last: 4000,
            memory: Some(101),
            ..now(time, &[])
        };
        assert_eq!(watch.look(&limits, &stuck(4999)).0, [Finding::Renew(Reason::MaximumMemory)]);
        assert_eq!(watch.look(&limits, &stuck(5000)).0, [Finding::Renew(Reason::StartupTimeout)]);
        let deadlock = [Finding::ShowStacks, Finding::Renew(Reason::DeadlockTimeout)];
        assert_eq!(watch.look(&limits, &stuck(8000)).0, deadlock);
        watch.heard();
        assert_eq!(watch.look(&limits, &stuck(11_000)).0, [Finding::Renew(Reason::Inactivity)]);
        let ends = 101_000 - 7919;
        assert_eq!(watch.look(&limits, &stuck(ends - 1)).0, []);
        assert_eq!(watch.look(&limits, &stuck(ends)).0, [Finding::Renew(Reason::RestartInterval)]);
        assert_eq!(watch.look(&limits, &stuck(1_000_000)).0, []);
    }

    #[test]
    fn memory_is_asked_for_while_there_are_requests_and_seldom_otherwise() {
        let limits = Limits { maximum_memory: Some(100), ..none() };
        let mut watch = Watch::new(&limits, 1, 1000);
        assert_eq!(watch.look(&limits, &now(20_000, &[])), (vec![], Some(21_000)));
        let mut asks = |time, last, runs| watch.asks_for_memory(&limits, time, last, runs);
        assert!(asks(20_000, 0, false), "the first time");
        assert!(!asks(21_000, 0, false) && !asks(29_999, 0, false) && asks(30_000, 0, false));
        assert!(asks(31_000, 30_500, true) && asks(32_000, 30_500, true));
        assert!(asks(33_000, 32_500, false), "a request has ended since");
        assert!(!asks(34_000, 32_500, false));
        assert!(!Watch::new(&none(), 1, 1000).asks_for_memory(&none(), 20_000, 0, true));
    }

    #[test]
    fn a_process_that_works_or_was_never_used_is_not_idle() {
        let limits = Limits { inactivity: Some(Duration::from_secs(7)), ..none() };
        let mut watch = Watch::new(&limits, 1, 1000);
        assert_eq!(watch.look(&limits, &now(100_000, &[])), (vec![], Some(107_000)));
        let busy = [running(1, 5, 1500)];
        let busy = Now { last: 1500, ..now(100_000, &busy) };
        assert_eq!(watch.look(&limits, &busy), (vec![], Some(107_000)));
    }

    #[test]
    fn whatever_words_a_site_writes_there_is_a_next_look() {
        let limits = Limits {
            request: Some(Duration::from_secs(2)),
            interrupt: Some(Duration::MAX),
            startup: Some(Duration::MAX),
            deadlock: Some(Duration::from_secs(5)),
            inactivity: Some(Duration::from_secs(7)),
            maximum_memory: Some(1),
            ..none()
        };
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            [word, word % 10_000, u64::MAX - word % 3, 0][(word >> 61) as usize % 4]
        };
        let mut watch = Watch::new(&limits, i32::MIN, 1000);
        for time in 1000..30_000 {
            let work: Vec<Running> =
                (1..5).map(|thread| running(thread, next() as u32, next())).filter(|r| r.since > 0).collect();
            let (last, attaching_since, loading_since) = (next(), next(), next());
            let now =
                Now { time, running: &work, last, attaching_since, loading_since, memory: Some(next()) };
            watch.asks_for_memory(&limits, time, last, false);
            let (findings, next_look) = watch.look(&limits, &now);
            assert!(findings.len() < 20 && next_look.is_some());
        }
    }
}
