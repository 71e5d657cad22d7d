//! The supervisor's looks at its processes from outside: limits that are reached, and how busy the groups
//! are.
//!
//! Part of `supervisor::crew`; what follows from how things are is decided by `watch` and `demand`.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::crew::{Crew, Process};
use super::demand::{Load, TOGETHER};
use super::group::{Event, ProcessId};
use super::watch::{Finding, Now, Watch};
use crate::control::activity_page::Running;
use crate::control::message::Order;
use crate::os;

impl Crew<'_> {
    /// Finds what lasts too long in the processes, and limits that they have reached.
    pub fn look_at_processes(&mut self) {
        let (now, time) = (Instant::now(), os::milliseconds_now());
        let is_due = |process: &&Process| process.look().is_some_and(|look| look <= now + TOGETHER);
        // While they are dealt with one by one, others may come and go.
        let due: Vec<_> = self.processes.iter().filter(is_due).map(|p| (p.unit, p.id)).collect();
        for (unit, id) in due {
            let Some(index) = self.find(unit, id) else { continue };
            let process = &mut self.processes[index];
            let limits = &self.units[process.unit].plan.group.limits;
            let Some((watch, due)) = process.watch.as_mut() else { continue };
            let running: Vec<Running> = process.activity.running().collect();
            let last = process.activity.last();
            let asks = watch.asks_for_memory(limits, time, last, !running.is_empty());
            let memory = if asks { os::resident_memory(process.pid) } else { None };
            let state = Now {
                time,
                running: &running,
                last,
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

    /// The sockets of the groups that sleep now are watched, and no others.
    pub fn watch_sleepers(&mut self) -> io::Result<()> {
        for (index, unit) in self.units.iter().enumerate() {
            self.sleepers.watch(index, unit.plan.listener.socket.as_fd(), unit.sleeps())?;
        }
        Ok(())
    }

    /// Wakes the groups that have a caller.
    pub fn wake_sleepers(&mut self) -> io::Result<()> {
        while let Some(index) = self.sleepers.next_caller()? {
            let unit = &mut self.units[index];
            self.sleepers.watch(index, unit.plan.listener.socket.as_fd(), false)?;
            if unit.sleeps() {
                unit.demand.wake(Instant::now());
            }
        }
        Ok(())
    }

    /// Lets groups grow and shrink, and sends them to sleep.
    pub fn look_at_demand(&mut self) {
        let now = Instant::now();
        for index in 0..self.units.len() {
            let unit = &self.units[index];
            if unit.demand.is_due(now) && !unit.group.is_superseded() {
                let load = self.load(index);
                let wanted = self.units[index].demand.look(&load, now);
                self.tell(index, Event::Want(wanted));
            }
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
