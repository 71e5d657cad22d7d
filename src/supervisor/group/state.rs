//! What a group is told, what it answers, and all that it knows.
//!
//! Part of `supervisor::group`, in the supervisor. The other files of the folder decide; each part of what is known that has rules
//! of its own is a type of its own.

use std::time::{Duration, Instant};

use super::editions::Editions;
use super::failures::Failures;
use super::member::{Member, ProcessId};
use super::older::{Apart, Older};
use super::pace::Pace;
use super::wishes::Wishes;
use crate::control::reason::Reason;
use crate::log::Message;
use crate::os::Exit;
use crate::script::Holding;

#[derive(Debug, Clone)]
pub struct GroupSettings {
    pub name: String,
    /// `FILE:LINE` of the WSGIDaemonProcess.
    pub place: String,
    /// How many there are until `Event::Want` says otherwise.
    pub processes: usize,
    pub graceful_timeout: Duration,
    /// In place of graceful-timeout after SIGUSR1.
    pub eviction_timeout: Option<Duration>,
    /// Never zero here.
    pub shutdown_timeout: Duration,
    pub startup_timeout: Option<Duration>,
    pub apart: Apart,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Begin,
    /// There is no process: no interpreter, or no resources to fork.
    NotStarted(ProcessId, Message),
    /// `able` says that it has loaded what others that serve have.
    Ready {
        process: ProcessId,
        able: bool,
        /// Its Python, its user and so on, for the log.
        is: String,
    },
    /// A script of it could not be loaded for what another process has.
    Held {
        process: ProcessId,
        script: String,
        holding: Holding,
    },
    /// No others are left that the group asked to go.
    Alone,
    /// It said why it cannot start, and is about to end.
    Failed(ProcessId, Message),
    /// `output` is the end of what it wrote before it was ready.
    Exited {
        process: ProcessId,
        exit: Exit,
        output: String,
    },
    Reload {
        path: String,
        modified: i64,
    },
    /// The process is to be replaced, for this reason.
    Renew(ProcessId, Reason),
    /// It does not carry out what it was ordered.
    Unresponsive(ProcessId),
    /// There shall be so many processes from now on; none for a group without requests.
    Want(usize),
    /// A script of this process wants to be loaded anew.
    ReloadRequired(ProcessId, String),
    /// All processes of a newer generation are ready.
    Superseded,
    Stop,
    /// A deadline has passed.
    Tick,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Start(ProcessId),
    /// It is to accept requests from now on.
    Serve(ProcessId),
    Drain(ProcessId, Reason),
    Stop(ProcessId, Reason),
    /// The same for one that is still starting, and may not listen to orders yet.
    Terminate(ProcessId),
    Kill(ProcessId),
    /// Output that was held back while the process started is to be shown, or forgotten.
    ReleaseOutput {
        process: ProcessId,
        show: bool,
    },
    Record(Message),
    /// For the group's page: no process can be started, for this reason.
    Fail(String),
    Recovered,
    /// For the group's page: older generations need accept no more.
    Supersede,
    /// For the group's page: old and new processes cannot be there together.
    RememberApart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Serving,
    Superseded,
    Stopping,
}

pub struct Group {
    pub(super) settings: GroupSettings,
    pub(super) mode: Mode,
    pub(super) wanted: usize,
    pub(super) members: Vec<Member>,
    pub(super) next_process: ProcessId,
    pub(super) editions: Editions,
    pub(super) wishes: Wishes,
    pub(super) failures: Failures,
    /// No start before this moment.
    pub(super) not_before: Option<Instant>,
    pub(super) all_were_ready: bool,
    pub(super) pace: Pace,
    pub(super) older: Older,
    pub(super) actions: Vec<Action>,
}
