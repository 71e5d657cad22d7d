//! Why a process is told to end, or is replaced: a limit, a changed script, a signal, the end of its
//! generation.
//!
//! Named by the supervisor's groups (`supervisor::group`) or by a daemon itself, carried by
//! `control::channel`, and told to applications as `shutdown_reason` of the event `process_stopping`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// httpd stops, restarts, or reads a new configuration; or the process was sent SIGTERM.
    Shutdown,
    ScriptReload,
    /// SIGUSR1, without and with an eviction-timeout.
    GracefulSignal,
    EvictionSignal,
    MaximumRequests,
    MaximumMemory,
    RestartInterval,
    Inactivity,
    CpuTimeLimit,
    StartupTimeout,
    RequestTimeout,
    DeadlockTimeout,
    /// The group needs fewer processes than it has.
    Idle,
}

impl Reason {
    /// As applications know it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Shutdown => "shutdown_signal",
            Reason::ScriptReload => "script_reload",
            Reason::GracefulSignal => "graceful_signal",
            Reason::EvictionSignal => "eviction_signal",
            Reason::MaximumRequests => "maximum_requests",
            Reason::MaximumMemory => "maximum_memory",
            Reason::RestartInterval => "restart_interval",
            Reason::Inactivity => "inactivity_timeout",
            Reason::CpuTimeLimit => "cpu_time_limit",
            Reason::StartupTimeout => "startup_timeout",
            Reason::RequestTimeout => "request_timeout",
            Reason::DeadlockTimeout => "deadlock_timeout",
            Reason::Idle => "idle_timeout",
        }
    }

    /// What an administrator finds in the configuration, or did.
    pub fn cause(self) -> &'static str {
        match self {
            Reason::Shutdown => "SIGTERM",
            Reason::ScriptReload => "a changed script",
            Reason::GracefulSignal | Reason::EvictionSignal => "SIGUSR1",
            Reason::MaximumRequests => "maximum-requests",
            Reason::MaximumMemory => "maximum-memory",
            Reason::RestartInterval => "restart-interval",
            Reason::Inactivity => "inactivity-timeout",
            Reason::CpuTimeLimit => "cpu-time-limit",
            Reason::StartupTimeout => "startup-timeout",
            Reason::RequestTimeout => "request-timeout",
            Reason::DeadlockTimeout => "deadlock-timeout",
            Reason::Idle => "idle-timeout",
        }
    }

    /// Something in the process has gone wrong: its replacement does not wait for its turn.
    pub fn is_urgent(self) -> bool {
        matches!(
            self,
            Reason::Shutdown
                | Reason::GracefulSignal
                | Reason::EvictionSignal
                | Reason::CpuTimeLimit
                | Reason::StartupTimeout
                | Reason::RequestTimeout
                | Reason::DeadlockTimeout
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_control_socket_and_has_a_name_of_its_own() {
        let all: Vec<Reason> = (0..).map_while(|number: u8| postcard::from_bytes(&[number]).ok()).collect();
        assert_eq!(all.last(), Some(&Reason::Idle));
        for reason in &all {
            assert_eq!(postcard::from_bytes(&postcard::to_allocvec(reason).unwrap()), Ok(*reason));
            assert_eq!(all.iter().filter(|other| other.name() == reason.name()).count(), 1);
        }
    }
}
