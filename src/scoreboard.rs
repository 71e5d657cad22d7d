//! httpd's scoreboard as values: which children there are, and what their threads do.
//!
//! Read from httpd by `apache::scoreboard`, shown to applications by `interpreter::server_metrics`; to a
//! daemon it goes from the supervisor as bytes (`wire::scoreboard`). Times are microseconds since 1970; 0 is
//! never.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoreboard {
    pub server_limit: i64,
    pub thread_limit: i64,
    pub running_generation: i64,
    pub restart_time: i64,
    pub current_time: i64,
    pub processes: Vec<ProcessScore>,
}

/// A place for a child of httpd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessScore {
    pub pid: i64,
    pub generation: i64,
    pub quiescing: bool,
    pub workers: Vec<WorkerScore>,
}

/// A place for one of its threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerScore {
    pub thread_num: i64,
    pub generation: i64,
    /// The letter that mod_status shows.
    pub status: u8,
    pub access_count: i64,
    pub bytes_served: i64,
    pub start_time: i64,
    pub stop_time: i64,
    pub last_used: i64,
    pub client: Vec<u8>,
    pub request: Vec<u8>,
    pub vhost: Vec<u8>,
}
