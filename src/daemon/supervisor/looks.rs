//! The supervisor's looks at its processes from outside: limits that are reached, and how busy the groups are.
//!
//! Part of `supervisor::crew`; what follows from how things are is decided by `watch` and `demand`.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::crew::{Crew, Process};
use super::demand::Load;
use super::watch::{Finding, Now, Watch};
use crate::daemon::activity::Running;
use crate::daemon::control::Order;
use crate::daemon::group::{Event, ProcessId};
use crate::daemon::os;

impl Crew<'_> {
    /// Finds what lasts too long in the processes, and limits that they have reached.
    pub fn look_at_processes(&mut self) {
        let (now, time) = (Instant::now(), os::milliseconds_now());
        for (unit, id) in self.keys() {
            let Some(index) = self.find(unit, id) else { continue };
            let process = &mut self.processes[index];
            let limits = &self.units[process.unit].plan.group.limits;
            let Some((watch, due)) = process.watch.as_mut() else { continue };
            if due.is_none_or(|due| due > now) {
                continue;
            }
            let running: Vec<Running> = process.activity.running().collect();
            let memory = limits.maximum_memory.and_then(|_| os::resident_memory(process.pid));
            let state = Now {
                time,
                running: &running,
                last: process.activity.last(),
                attaching_since: process.activity.attaching_since(),
                loading_since: process.activity.loading_since(),
                memory,
            };
            let (findings, next) = watch.look(limits, &state);
            *due = next.map(|next| now + Duration::from_millis(next.saturating_sub(time)));
            for finding in findings {
                self.act_on(unit, id, finding);
            }
        }
    }

    fn act_on(&mut self, unit: usize, id: ProcessId, finding: Finding) {
        let order = match finding {
            Finding::Interrupt(work) => Order::Interrupt(work),
            Finding::Expire(work) => Order::Expire(work),
            Finding::ShowStacks => Order::ShowStacks,
            Finding::Renew(reason) => return self.tell(unit, Event::Renew(id, reason)),
            Finding::Unresponsive => return self.tell(unit, Event::Unresponsive(id)),
        };
        let process = self.find(unit, id).and_then(|index| self.processes[index].control.as_ref());
        // One that reads no orders is found by that.
        let _ = process.map(|control| control.send(order));
    }

    /// Lets groups grow and shrink, sleep and wake.
    pub fn look_at_demand(&mut self) {
        let now = Instant::now();
        for index in 0..self.units.len() {
            let load = self.load(index);
            let unit = &mut self.units[index];
            if unit.sleeps() {
                let caller = os::readable(unit.plan.listener.socket.as_fd(), Some(Duration::ZERO));
                if !matches!(caller, Ok(true)) {
                    continue;
                }
                unit.demand.wake(now);
            } else if unit.group.is_superseded() || unit.look.is_none_or(|look| look > now) {
                continue;
            }
            let (wanted, next) = unit.demand.look(&load, now);
            unit.look = next;
            self.tell(index, Event::Want(wanted));
        }
    }

    pub(super) fn load(&self, unit: usize) -> Load {
        let time = os::milliseconds_now();
        let serving = |process: &&Process| process.unit == unit && process.serves;
        let processes: Vec<&Process> = self.processes.iter().filter(serving).collect();
        let last = processes.iter().map(|process| process.activity.last()).max().filter(|last| *last > 0);
        Load {
            ready: processes.len(),
            running: processes.iter().map(|process| process.activity.running().count()).sum(),
            last: last.map(|last| Duration::from_millis(time.saturating_sub(last))),
        }
    }

    /// Once it serves.
    pub(super) fn begin_watch(&mut self, unit: usize, id: ProcessId) {
        let Some(index) = self.find(unit, id) else { return };
        let group = &self.units[unit].plan.group;
        // A service script must not run twice, as it would while its successor starts.
        if group.threads == 0 {
            return;
        }
        let limits = &group.limits;
        let watch = Watch::new(limits, self.processes[index].pid, os::milliseconds_now());
        self.processes[index].watch = Some((watch, Some(Instant::now())));
    }
}
