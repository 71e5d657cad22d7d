//! What a daemon is told before it serves: the first message on its control socket.
//!
//! Written by the supervisor (`supervisor::spawn`), read by the daemon (`daemon::serve`).

use crate::config::interpreter::{ByApplicationGroup, InterpreterOptions};
use crate::os;
use crate::script::Preload;
use crate::wire::codec::{Decoder, Encoder, Malformed};
use std::io;
use std::time::Duration;

/// Descriptor numbers that an exec'ed daemon finds open beside 0, 1 and 2.
pub const CONTROL_FD: i32 = 3;
pub const LISTENER_FD: i32 = 4;
pub const GROUP_PAGE_FD: i32 = 5;
pub const ACTIVITY_PAGE_FD: i32 = 6;
pub const REPORT_FD: i32 = 7;
/// Only where it may ask for httpd's scoreboard.
pub const SCOREBOARD_PAGE_FD: i32 = 8;
/// Until it has imported the module.
pub const MODULE_FD: i32 = 9;

#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    pub group: String,
    /// Slot of this process in the group page.
    pub slot: u32,
    pub generation: u64,
    pub processes: u32,
    pub threads: u32,
    /// Zero means the system's default.
    pub stack_size: u64,
    /// Only peers with this uid (or root) may send requests.
    pub httpd_uid: u32,
    pub httpd_version: [u32; 3],
    /// Title shown by `ps`.
    pub display_name: String,
    /// First on `sys.path`, without `.pth` processing; empty when not given.
    pub home: String,
    pub interpreters: ByApplicationGroup,
    /// `WSGIDestroyInterpreter`: whether interpreters come to an orderly end.
    pub finish: bool,
    pub shutdown_timeout_ms: u64,
    pub graceful_timeout_ms: u64,
    pub socket_timeout_ms: u64,
    /// How long an interpreter may keep everybody from attaching; 0 is for ever.
    pub deadlock_timeout_ms: u64,
    /// Whether requests can be interrupted, or be too slow.
    pub times_requests: bool,
    /// Whether it may ask for httpd's scoreboard.
    pub server_metrics: bool,
    /// Requests after which the process asks to be replaced; 0 is never.
    pub maximum_requests: u64,
    /// It serves nothing itself, and is there for others to be forked from.
    pub template: bool,
    /// Whether SIGUSR1 has a timeout of its own.
    pub eviction: bool,
    pub preload: Vec<Preload>,
    /// What processes before it have loaded besides.
    pub learned: Vec<Preload>,
}

/// What no shutdown-timeout means for a process that is to end.
pub const LONGEST_SHUTDOWN: Duration = Duration::from_secs(60);

/// One of its times; None stands for no bound.
pub fn time(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

/// Why a process has no launch.
#[derive(Debug)]
pub enum NoLaunch {
    Lost(io::Error),
    /// The supervisor is of this one.
    OtherBuild(String),
}

impl From<io::Error> for NoLaunch {
    fn from(error: io::Error) -> NoLaunch {
        NoLaunch::Lost(error)
    }
}

impl From<Malformed> for NoLaunch {
    fn from(error: Malformed) -> NoLaunch {
        NoLaunch::Lost(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Launch {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        // First, in whatever build: what follows means something to the same build only.
        e.bytes(os::build().as_bytes());
        e.bytes(self.group.as_bytes());
        e.u32(self.slot);
        e.u64(self.generation);
        e.u32(self.processes);
        e.u32(self.threads);
        e.u64(self.stack_size);
        e.u32(self.httpd_uid);
        for part in self.httpd_version {
            e.u32(part);
        }
        e.bytes(self.display_name.as_bytes());
        e.bytes(self.home.as_bytes());
        e.u32(self.interpreters.len() as u32);
        for (name, options) in &self.interpreters {
            e.option_bytes(name.as_deref().map(str::as_bytes));
            encode_options(&mut e, options);
        }
        e.bool(self.finish);
        e.u64(self.shutdown_timeout_ms);
        e.u64(self.graceful_timeout_ms);
        e.u64(self.socket_timeout_ms);
        e.u64(self.deadlock_timeout_ms);
        e.bool(self.times_requests);
        e.bool(self.server_metrics);
        e.u64(self.maximum_requests);
        e.bool(self.eviction);
        e.bool(self.template);
        for scripts in [&self.preload, &self.learned] {
            e.u32(scripts.len() as u32);
            for preload in scripts {
                e.bytes(preload.script.as_bytes());
                e.bytes(preload.application_group.as_bytes());
                e.option_bytes(preload.callable.as_deref().map(str::as_bytes));
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Launch, NoLaunch> {
        let mut d = Decoder::new(bytes);
        let build = d.string()?;
        if build != os::build() {
            return Err(NoLaunch::OtherBuild(build));
        }
        Ok(Launch {
            group: d.string()?,
            slot: d.u32()?,
            generation: d.u64()?,
            processes: d.u32()?,
            threads: d.u32()?,
            stack_size: d.u64()?,
            httpd_uid: d.u32()?,
            httpd_version: [d.u32()?, d.u32()?, d.u32()?],
            display_name: d.string()?,
            home: d.string()?,
            interpreters: d.list(|d| Ok((option_string(d)?, decode_options(d)?)))?,
            finish: d.bool()?,
            shutdown_timeout_ms: d.u64()?,
            graceful_timeout_ms: d.u64()?,
            socket_timeout_ms: d.u64()?,
            deadlock_timeout_ms: d.u64()?,
            times_requests: d.bool()?,
            server_metrics: d.bool()?,
            maximum_requests: d.u64()?,
            eviction: d.bool()?,
            template: d.bool()?,
            preload: d.list(decode_preload)?,
            learned: d.list(decode_preload)?,
        })
    }
}

fn encode_options(e: &mut Encoder<'_>, options: &InterpreterOptions) {
    e.u32(options.python_path.len() as u32);
    for directory in &options.python_path {
        e.bytes(directory.as_bytes());
    }
    e.u64(options.switch_interval.to_bits());
    e.bool(options.own_gil);
    e.bool(options.free_threading);
    e.bool(options.restrict_stdin);
    e.bool(options.restrict_stdout);
    e.bool(options.restrict_signal);
}

fn decode_options(d: &mut Decoder<'_>) -> Result<InterpreterOptions, Malformed> {
    Ok(InterpreterOptions {
        python_path: d.list(Decoder::string)?,
        switch_interval: f64::from_bits(d.u64()?),
        own_gil: d.bool()?,
        free_threading: d.bool()?,
        restrict_stdin: d.bool()?,
        restrict_stdout: d.bool()?,
        restrict_signal: d.bool()?,
    })
}

fn decode_preload(d: &mut Decoder<'_>) -> Result<Preload, Malformed> {
    Ok(Preload { script: d.string()?, application_group: d.string()?, callable: option_string(d)? })
}

fn option_string(d: &mut Decoder<'_>) -> Result<Option<String>, Malformed> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed);
    d.option_bytes()?.map(text).transpose()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// One that says something in every field.
    pub fn launch() -> Launch {
        Launch {
            group: "blog".into(),
            slot: 1,
            generation: 3,
            processes: 2,
            threads: 4,
            stack_size: 0,
            httpd_uid: 33,
            httpd_version: [2, 4, 57],
            display_name: "(wsgi:blog)".into(),
            home: String::new(),
            interpreters: vec![
                (
                    None,
                    InterpreterOptions {
                        python_path: vec!["/srv/blog".into(), "/srv/lib".into()],
                        switch_interval: 0.01,
                        ..InterpreterOptions::default()
                    },
                ),
                (Some("own".into()), InterpreterOptions { own_gil: true, ..InterpreterOptions::default() }),
            ],
            finish: true,
            shutdown_timeout_ms: 5_000,
            graceful_timeout_ms: 15_000,
            socket_timeout_ms: 60_000,
            deadlock_timeout_ms: 300_000,
            times_requests: true,
            server_metrics: true,
            maximum_requests: 7,
            eviction: true,
            template: true,
            preload: vec![Preload {
                script: "/srv/blog/wsgi.py".into(),
                application_group: String::new(),
                callable: Some("application".into()),
            }],
            learned: vec![Preload {
                script: "/srv/blog/other.py".into(),
                application_group: "www.example.org|/other".into(),
                callable: None,
            }],
        }
    }

    #[test]
    fn a_launch_survives_the_wire() {
        let launch = launch();
        let mut bytes = launch.encode();
        assert_eq!(Launch::decode(&bytes).unwrap(), launch);
        let changed = os::build().len() + 3;
        bytes.truncate(changed + 1);
        assert!(matches!(Launch::decode(&bytes), Err(NoLaunch::Lost(_))));
        bytes[changed] ^= 1;
        assert!(matches!(Launch::decode(&bytes), Err(NoLaunch::OtherBuild(_))), "before all else is read");
    }
}
