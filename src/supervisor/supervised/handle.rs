//! One process as the supervisor holds it: its pid, its slot, its control socket, its output.
//!
//! Runs in the supervisor. `supervisor::group` knows the same process as a member, by its id.

use std::io::ErrorKind;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::watch::{Finding, Now, Watch};
use crate::config::limits::Limits;
use crate::control::activity_page::{ActivityPage, Running};
use crate::control::channel::ControlSupervisor;
use crate::control::group_page::{GroupPage, SlotState};
use crate::control::message::{Order, Report};
use crate::log::{Code, Message};
use crate::os::{self, Exit};
use crate::spawn::{Reader, Spawned};
use crate::supervisor::group::ProcessId;
use crate::supervisor::output::Output;
use crate::supervisor::strays::Images;

/// A process's place on the group page. It is free again when the value is dropped.
pub struct ClaimedSlot {
    page: Arc<GroupPage>,
    number: usize,
}

impl ClaimedSlot {
    /// An error where the group has as many processes as a page has slots.
    pub fn claim(page: &Arc<GroupPage>, generation: u64) -> Result<ClaimedSlot, Message> {
        let number = page.claim_slot(generation).ok_or_else(|| {
            let text = "the group has too many processes, those of older configurations included; wait until their \
                        requests have ended, or lower processes=";
            Message::new(Code::TooManyProcesses, text)
        })?;
        Ok(ClaimedSlot { page: Arc::clone(page), number })
    }

    pub fn number(&self) -> u32 {
        self.number as u32
    }

    pub fn set_pid(&self, pid: i32) {
        self.page.set_pid(self.number, pid);
    }

    fn set_loaded(&self, scripts: u32) {
        self.page.set_loaded(self.number, scripts);
    }

    fn set_state(&self, state: SlotState) {
        self.page.set_state(self.number, state);
    }
}

impl Drop for ClaimedSlot {
    fn drop(&mut self) {
        self.page.release_slot(self.number);
    }
}

/// What a control socket had.
pub enum Heard {
    Report(Report),
    Nothing,
    /// Not a report. The process runs a site's code, so that is no reason to stop.
    Nonsense,
    /// The other end is closed.
    Closed,
}

/// The next report, once. A control socket whose other end is closed is given up.
pub fn hear(control: &mut Option<ControlSupervisor>) -> Heard {
    let Some(open) = control else { return Heard::Nothing };
    match open.receive() {
        Ok(Some(report)) => Heard::Report(report),
        Ok(None) => Heard::Nothing,
        Err(error) if error.kind() == ErrorKind::InvalidData => Heard::Nonsense,
        Err(error) if error.kind() == ErrorKind::Interrupted => Heard::Nothing,
        Err(_) => {
            *control = None;
            Heard::Closed
        }
    }
}

/// How long the last words of a process may be on their way.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The end of a process, and what reads for it.
pub struct End {
    reader: Reader,
    /// How it ended, and until when its reader has time.
    seen: Option<(Exit, Instant)>,
}

/// An end that follows from nothing more.
pub struct Settled {
    pub exit: Exit,
    /// A reader that has not handed over all in time.
    pub late: Option<i32>,
}

impl End {
    pub fn of(reader: Reader) -> End {
        End { reader, seen: None }
    }

    pub fn see(&mut self, exit: Exit, now: Instant) {
        self.reader.hurry();
        self.seen = Some((exit, now + LAST_WORDS));
    }

    /// Its pid may be another's.
    pub fn is_seen(&self) -> bool {
        self.seen.is_some()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.seen.map(|(_, until)| until)
    }

    /// What to wait for once it is seen.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.seen.map(|_| self.reader.line())
    }

    pub fn settled(&self, now: Instant) -> Option<Settled> {
        let (exit, until) = self.seen?;
        let done = self.reader.is_done();
        (done || until <= now).then_some(Settled { exit, late: (!done).then_some(self.reader.pid) })
    }
}

pub struct Handle {
    pub id: ProcessId,
    /// 0 until a process that is forked from a template has said who it is.
    pid: i32,
    /// None once the process has ended.
    slot: Option<ClaimedSlot>,
    /// None once the daemon's end is closed.
    control: Option<ControlSupervisor>,
    pub output: Output,
    activity: ActivityPage,
    /// Between the orders to serve and to end.
    serves: bool,
    /// Once it has served, with the moment of the next look.
    watch: Option<(Watch, Option<Instant>)>,
    /// Its program is known (`strays`).
    noted: bool,
    pub end: End,
}

impl Handle {
    pub fn new(id: ProcessId, slot: ClaimedSlot, spawned: Spawned) -> Handle {
        let Spawned { pid, control, output, activity, reader } = spawned;
        let (slot, control, output) = (Some(slot), Some(control), Output::new(output));
        let end = End::of(reader);
        Handle { id, pid, slot, control, output, activity, serves: false, watch: None, noted: false, end }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn is_born(&self) -> bool {
        self.pid != 0
    }

    pub fn born(&mut self, pid: i32) {
        self.pid = pid;
        self.slot.iter().for_each(|slot| slot.set_pid(pid));
    }

    /// Its program is noted once: a process may execute itself, and say that it is ready, as often as it likes.
    pub fn note_program(&mut self, images: &mut Images) {
        if !mem::replace(&mut self.noted, true) {
            images.note(self.pid);
        }
    }

    /// What a process that is forked from a template writes before it has said who it is waits in the pipe.
    pub fn is_known(&self) -> bool {
        self.is_born() || self.control.is_none()
    }

    /// What to poll for reports.
    pub fn control(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.control.as_ref().map(AsFd::as_fd).into_iter().chain(self.end.waits_for())
    }

    /// What to poll for output.
    pub fn output(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.output.fds().filter(|_| self.is_known())
    }

    /// Another process may have the slot from now on.
    pub fn leave_slot(&mut self) {
        self.slot = None;
        self.serves = false;
    }

    pub fn set_loaded(&self, scripts: u32) {
        self.slot.iter().for_each(|slot| slot.set_loaded(scripts));
    }

    /// False where the process cannot be told.
    pub fn order(&self, order: Order) -> bool {
        self.control.as_ref().is_some_and(|control| control.send(order).is_ok())
    }

    /// The same for an order that others see the effect of, on the group page.
    pub fn order_into(&mut self, state: SlotState, order: Order) -> bool {
        self.slot.iter().for_each(|slot| slot.set_state(state));
        self.serves = state == SlotState::Ready;
        self.order(order)
    }

    pub fn hear(&mut self) -> Heard {
        hear(&mut self.control)
    }

    /// The process has carried out an order that it answers.
    pub fn heard(&mut self) {
        if let Some((watch, _)) = &mut self.watch {
            watch.heard();
        }
    }

    pub fn begin_watch(&mut self, limits: &Limits) {
        let watch = Watch::new(limits, self.pid, os::milliseconds_now());
        self.watch = Some((watch, Some(Instant::now())));
    }

    /// When to look at it again.
    pub fn next_look(&self) -> Option<Instant> {
        self.watch.as_ref()?.1
    }

    /// Finds what lasts too long in it, and limits that it has reached.
    pub fn look(&mut self, limits: &Limits, now: Instant, time: u64) -> Vec<Finding> {
        let Some((watch, next_look)) = self.watch.as_mut() else { return Vec::new() };
        let running: Vec<Running> = self.activity.running().collect();
        let last = self.activity.last();
        let asks = watch.asks_for_memory(limits, time, last, !running.is_empty());
        let state = Now {
            time,
            running: &running,
            last,
            attaching_since: self.activity.attaching_since(),
            loading_since: self.activity.loading_since(),
            memory: if asks { os::resident_memory(self.pid) } else { None },
        };
        let (findings, next) = watch.look(limits, &state);
        *next_look = next.map(|next| now + Duration::from_millis(next.saturating_sub(time)));
        findings
    }

    /// How many requests it has and when it last began or ended one; None while it is not in service.
    pub fn load(&self) -> Option<(usize, u64)> {
        self.serves.then(|| (self.activity.running().count(), self.activity.last()))
    }
}
