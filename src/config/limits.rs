//! The limits of a group's process, in time, requests and memory: beyond them the process is replaced.
//!
//! A part of each `ProcessGroup`. Filled in the httpd parent; the supervisor and the daemons themselves
//! enforce them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// None is no limit, and no limit is the default but for `deadlock`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub maximum_requests: Option<u64>,
    /// Resident bytes.
    pub maximum_memory: Option<u64>,
    pub startup: Option<Duration>,
    /// How long an interpreter may keep all threads from attaching to it.
    pub deadlock: Option<Duration>,
    pub inactivity: Option<Duration>,
    pub request: Option<Duration>,
    /// After `request`: how long a request may take to end once it was interrupted.
    pub interrupt: Option<Duration>,
    /// In place of graceful-timeout after SIGUSR1.
    pub eviction: Option<Duration>,
    pub restart_interval: Option<Duration>,
    pub cpu_time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            maximum_requests: None,
            maximum_memory: None,
            startup: None,
            deadlock: Some(Duration::from_secs(300)),
            inactivity: None,
            request: None,
            interrupt: None,
            eviction: None,
            restart_interval: None,
            cpu_time: None,
        }
    }
}
