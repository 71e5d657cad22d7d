//! What a supervisor is told: the groups of its generation and how to start their processes.
//!
//! Made by the httpd parent, used up by `supervisor`.

use std::time::Duration;

use super::group::{Apart, GroupSettings};
use crate::config::interpreter::ByApplicationGroup;
use crate::config::process_group::{Overlap, ProcessGroup};
use crate::config::server_facts::ServerFacts;
use crate::control::generation::GenerationWatch;
use crate::control::launch::{LONGEST_SHUTDOWN, Launch};
use crate::control::listener::Listener;
use crate::control::walls;
use crate::scoreboard::Scoreboard;
use crate::script::Preload;
use crate::spawn::Launcher;

/// A daemon keeps its own shutdown-timeout; the supervisor kills only one that does not manage to.
const AFTER_SHUTDOWN: Duration = Duration::from_millis(500);

/// Zero would be no bound.
const AT_ONCE: Duration = Duration::from_millis(1);

pub struct GroupPlan {
    /// Of the group in the configuration, for the journal.
    pub index: usize,
    pub group: ProcessGroup,
    pub listener: Listener,
    pub walls: walls::Built,
    pub preload: Vec<Preload>,
    pub interpreters: ByApplicationGroup,
}

pub struct Plan {
    /// Those that have processes.
    pub groups: Vec<GroupPlan>,
    /// Counts from 1; each configuration that httpd reads has a greater one.
    pub generation: u64,
    pub watch: GenerationWatch,
    pub start: Start,
    /// The httpd parent.
    pub parent: i32,
}

/// What is the same for all daemons.
pub struct Start {
    pub launcher: Launcher,
    pub server: ServerFacts,
    /// httpd's `Timeout`, for groups without a socket-timeout.
    pub socket_timeout: Duration,
    /// For the groups that may see it.
    pub scoreboard: fn() -> Option<Scoreboard>,
}

impl GroupPlan {
    /// Whether its processes are forked from one. Service scripts are executed, not loaded.
    pub fn has_template(&self) -> bool {
        self.group.preload && self.group.threads > 0
    }

    /// Two processes of one configuration would have to do without each other, too.
    fn apart(&self) -> Apart {
        match self.group.overlap {
            Overlap::Off => Apart::Always,
            Overlap::Auto if self.group.maximum_processes > 1 => Apart::Never,
            Overlap::Auto if self.listener.page.is_apart() => Apart::Always,
            Overlap::Auto => Apart::WhereHeld,
            Overlap::On => Apart::Never,
        }
    }

    pub fn settings(&self) -> GroupSettings {
        let group = &self.group;
        GroupSettings {
            name: group.name.clone(),
            place: group.origin.to_string(),
            processes: if group.sleeps() { 0 } else { group.processes as usize },
            // A service script has no requests to finish: the order to stop follows at once.
            graceful_timeout: if group.threads == 0 { AT_ONCE } else { group.graceful_timeout },
            eviction_timeout: group.limits.eviction,
            shutdown_timeout: longest_shutdown(group),
            startup_timeout: group.limits.startup,
            apart: self.apart(),
        }
    }
}

/// How long after an order to stop the supervisor waits before it kills a process of the group.
pub fn longest_shutdown(group: &ProcessGroup) -> Duration {
    match group.shutdown_timeout {
        Duration::ZERO => LONGEST_SHUTDOWN,
        timeout => timeout + AFTER_SHUTDOWN,
    }
}

impl Start {
    /// How long an answer may wait to be taken: at least as long as httpd's child waits for its client.
    fn socket_timeout(&self, group: &ProcessGroup) -> Duration {
        let own = group.socket_timeout.unwrap_or(self.socket_timeout);
        own.max(group.response.socket_timeout.unwrap_or_default())
    }

    /// `learned` is what processes of the group have loaded besides the configured scripts.
    /// Its slot is still to be claimed.
    pub fn launch(&self, plan: &GroupPlan, learned: &[Preload], generation: u64) -> Launch {
        let group = &plan.group;
        Launch {
            group: group.clone(),
            slot: 0,
            generation,
            httpd_uid: group.socket_user.unwrap_or(self.launcher.httpd_uid),
            secret: plan.listener.secret.clone(),
            server: self.server.clone(),
            socket_timeout: self.socket_timeout(group),
            interpreters: plan.interpreters.clone(),
            finish: self.launcher.finish,
            template: false,
            preload: plan.preload.clone(),
            learned: learned.to_vec(),
        }
    }
}
