//! The supervisor's looks at a group's processes from outside: limits, and how busy they are.
//!
//! Runs in the supervisor. `watch` and `demand` decide what follows.

use std::time::{Duration, Instant};

use super::demand::{Load, TOGETHER};
use super::handle::Handle;
use super::state::SupervisedGroup;
use super::watch::Finding;
use crate::control::message::Order;
use crate::os;
use crate::supervisor::group::{Event, ProcessId};

impl SupervisedGroup<'_> {
    /// Finds what lasts too long in the processes, and limits that they have reached.
    pub fn look_at_processes(&mut self, now: Instant, time: u64) {
        let is_due = |process: &&Handle| process.next_look().is_some_and(|look| look <= now + TOGETHER);
        // While they are dealt with one by one, others may come and go.
        let due: Vec<ProcessId> = self.processes.iter().filter(is_due).map(|process| process.id).collect();
        for id in due {
            let Some(index) = self.find(id) else { continue };
            let findings = self.processes[index].look(&self.plan.group.limits, now, time);
            for finding in findings {
                self.act_on_finding(id, finding);
            }
        }
    }

    fn act_on_finding(&mut self, id: ProcessId, finding: Finding) {
        let order = match finding {
            Finding::Interrupt(work) => Order::Interrupt(work),
            Finding::Expire(work) => Order::Expire(work),
            Finding::ShowStacks => Order::ShowStacks,
            Finding::Renew(reason) => return self.tell(Event::Renew(id, reason)),
            Finding::Unresponsive => return self.tell(Event::Unresponsive(id)),
        };
        if let Some(index) = self.find(id) {
            // One that reads no orders is found by that.
            self.processes[index].order(order);
        }
    }

    /// A request has come: a group that sleeps is to have processes.
    pub fn wake(&mut self) {
        if self.sleeps() {
            self.demand.wake(Instant::now());
        }
    }

    /// Lets the group grow and shrink, and sends it to sleep.
    pub fn look_at_demand(&mut self, now: Instant) {
        if self.demand.is_due(now) && !self.group.is_superseded() {
            let load = self.load();
            let wanted = self.demand.look(&load, now);
            self.tell(Event::Want(wanted));
        }
    }

    pub(super) fn load(&self) -> Load {
        let time = os::milliseconds_now();
        let loads: Vec<(usize, u64)> = self.processes.iter().filter_map(Handle::load).collect();
        let last = loads.iter().map(|(_, last)| *last).max().filter(|last| *last > 0);
        Load {
            ready: loads.len(),
            starting: loads.is_empty() && !(self.processes.is_empty() && self.templates.is_empty()),
            running: loads.iter().map(|(running, _)| running).sum(),
            last: last.map(|last| Duration::from_millis(time.saturating_sub(last))),
        }
    }

    /// Once it serves.
    pub(super) fn begin_watch(&mut self, id: ProcessId) {
        let group = &self.plan.group;
        // A service script must not run twice, as it would while its successor starts.
        if group.threads > 0
            && let Some(index) = self.find(id)
        {
            self.processes[index].begin_watch(&group.limits);
        }
    }
}
