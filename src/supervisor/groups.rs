//! The process groups of one configuration generation.
//!
//! Runs in the supervisor. What concerns one group is that group's (`supervisor::supervised`). This file has
//! what concerns them all: their descriptors, the pids of processes that have ended, the sockets of groups
//! that sleep.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::group::Event;
use super::plan::GroupPlan;
use super::sleepers::Sleepers;
use super::supervised::{GroupSource, Shared, SupervisedGroup};
use crate::control::listener::Listener;
use crate::os;

/// What a descriptor that can be read is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Of the group with this index.
    Group(usize, GroupSource),
    Sleepers,
}

impl Source {
    /// Whether it is what daemons write, which can wait.
    pub fn is_output(&self) -> bool {
        matches!(self, Source::Group(_, GroupSource::Output(_) | GroupSource::Remains))
    }
}

pub struct Groups<'a> {
    groups: Vec<SupervisedGroup<'a>>,
    sleepers: Sleepers,
}

impl<'a> Groups<'a> {
    pub fn new(plans: Vec<GroupPlan>, shared: &'a Shared<'a>) -> io::Result<Self> {
        let sleepers = Sleepers::new(plans.len())?;
        let groups = plans.into_iter().map(|plan| SupervisedGroup::new(plan, shared)).collect();
        Ok(Groups { groups, sleepers })
    }

    pub fn begin(&mut self) {
        self.groups.iter_mut().for_each(SupervisedGroup::begin);
    }

    /// Whether no process is left.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(SupervisedGroup::is_empty)
    }

    pub fn is_superseded(&self) -> bool {
        self.groups.iter().all(SupervisedGroup::is_superseded)
    }

    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.groups.iter().map(SupervisedGroup::listener)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.groups.iter().filter_map(SupervisedGroup::deadline).min()
    }

    /// What to wait for; descriptors of one source stand together.
    pub fn descriptors(&self) -> Vec<(Source, BorrowedFd<'_>)> {
        let mut all = vec![(Source::Sleepers, self.sleepers.as_fd())];
        for (index, group) in self.groups.iter().enumerate() {
            all.extend(group.descriptors().map(|(source, fd)| (Source::Group(index, source), fd)));
        }
        all
    }

    /// What is to be heard now, though nothing comes.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = Source> {
        let groups = self.groups.iter().enumerate();
        groups.flat_map(move |(index, group)| group.due(now).map(move |source| Source::Group(index, source)))
    }

    pub fn begin_turn(&mut self) {
        self.groups.iter_mut().for_each(SupervisedGroup::begin_turn);
    }

    pub fn stop(&mut self) {
        self.groups.iter_mut().for_each(|group| group.tell(Event::Stop));
    }

    pub fn tick(&mut self, now: Instant) {
        self.groups.iter_mut().for_each(|group| group.tick(now));
    }

    /// Whether newer generations need nothing any more of what is here.
    pub fn is_handed_over(&mut self) -> bool {
        self.groups.iter_mut().for_each(SupervisedGroup::hand_over);
        self.is_superseded() && self.is_empty()
    }

    pub fn look_for_successors(&mut self) {
        self.groups.iter_mut().for_each(SupervisedGroup::look_for_successors);
    }

    /// Reads what was written and reported there.
    pub fn hear(&mut self, source: Source) {
        match source {
            Source::Group(index, source) => {
                // A process is born once, so this ends.
                while let Some(birth) = self.groups[index].hear(source) {
                    let is_known = self.groups.iter().any(|group| group.has(birth.pid));
                    self.groups[index].born(birth, is_known);
                }
            }
            Source::Sleepers => self.wake_sleepers(),
        }
    }

    /// Sees to all processes that have ended.
    pub fn reap(&mut self) {
        while let Some((pid, exit)) = os::reap() {
            match self.groups.iter_mut().find(|group| group.has(pid)) {
                Some(group) => group.ended(pid, exit),
                None => self.groups.iter_mut().for_each(|group| group.reader_ended(pid)),
            }
        }
        let now = Instant::now();
        self.groups.iter_mut().for_each(|group| group.settle_ends(now));
    }

    /// Looks at what no event tells of: limits, demand, deadlines.
    pub fn look(&mut self) {
        let (now, time) = (Instant::now(), os::milliseconds_now());
        for group in &mut self.groups {
            group.look_at_processes(now, time);
            group.look_at_demand(now);
            group.tick(Instant::now());
            group.end_old_templates();
        }
    }

    /// The sockets of the groups that sleep now are watched, and no others. A group whose socket cannot be
    /// watched does not sleep on.
    pub fn watch_sleepers(&mut self) {
        for (index, group) in self.groups.iter_mut().enumerate() {
            let sleeps = group.sleeps();
            let watched = self.sleepers.watch(index, group.listener().socket.as_fd(), sleeps);
            if sleeps && watched.is_err() {
                group.wake();
            }
        }
    }

    /// Wakes the groups that have a caller.
    fn wake_sleepers(&mut self) {
        while let Ok(Some(index)) = self.sleepers.next_caller() {
            let group = &mut self.groups[index];
            group.wake();
            if self.sleepers.watch(index, group.listener().socket.as_fd(), false).is_err() {
                // It would be the next caller again; `watch_sleepers` comes back to it.
                break;
            }
        }
    }
}
