//! What a daemon is told before it serves: the first message on its control socket.
//!
//! Written by the supervisor (`spawn`), read by the daemon (`daemon::serve`).

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::interpreter::ByApplicationGroup;
use crate::config::process_group::ProcessGroup;
use crate::config::server_facts::ServerFacts;
use crate::control::secret::Secret;
use crate::os;
use crate::script::Preload;
use crate::wire::codec::{Decoder, Encoder, Malformed};

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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// As it is configured.
    pub group: ProcessGroup,
    /// Slot of this process in the group page.
    pub slot: u32,
    pub generation: u64,
    /// Only peers with this uid (or root) may send requests, and only those that know the secret.
    pub httpd_uid: u32,
    pub secret: Secret,
    pub server: ServerFacts,
    /// The group's own, or what follows from httpd's `Timeout`; zero is no bound.
    pub socket_timeout: Duration,
    pub interpreters: ByApplicationGroup,
    /// `WSGIDestroyInterpreter`: whether interpreters come to an orderly end.
    pub finish: bool,
    /// It serves nothing itself, and is there for others to be forked from.
    pub template: bool,
    pub preload: Vec<Preload>,
    /// What processes before it have loaded besides.
    pub learned: Vec<Preload>,
}

/// What no shutdown-timeout means for a process that is to end.
pub const LONGEST_SHUTDOWN: Duration = Duration::from_secs(60);

/// A time of which zero is no bound.
pub fn bound(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
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
    /// First the build, which any other build can read: what follows means something to the same build only.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Encoder::new(&mut out).bytes(os::build().as_bytes());
        postcard::to_extend(self, out).map_err(io::Error::other)
    }

    pub fn decode(bytes: &[u8]) -> Result<Launch, NoLaunch> {
        let mut decoder = Decoder::new(bytes);
        let build = decoder.string()?;
        if build != os::build() {
            return Err(NoLaunch::OtherBuild(build));
        }
        postcard::from_bytes(decoder.rest()).map_err(|_| Malformed.into())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::interpreter::InterpreterOptions;
    use crate::config::process_group::Origin;

    /// One that says something in every field.
    pub fn launch() -> Launch {
        Launch {
            group: ProcessGroup {
                home: Some("/srv/blog".into()),
                ..ProcessGroup::new("blog", Origin::default())
            },
            slot: 1,
            generation: 3,
            httpd_uid: 33,
            secret: Secret::from_bytes(&[7; 32]).unwrap(),
            server: ServerFacts {
                version: [2, 4, 57],
                description: "Apache/2.4.57 (Debian)".into(),
                mpm_name: "event".into(),
                build_date: "2026-11-12T08:58:41".into(),
                processes: 16,
                threads: 25,
            },
            socket_timeout: Duration::from_millis(60_500),
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
        let mut bytes = launch.encode().unwrap();
        assert_eq!(Launch::decode(&bytes).unwrap(), launch);
        let changed = os::build().len() + 3;
        bytes.truncate(changed + 1);
        assert!(matches!(Launch::decode(&bytes), Err(NoLaunch::Lost(_))));
        bytes[changed] ^= 1;
        assert!(matches!(Launch::decode(&bytes), Err(NoLaunch::OtherBuild(_))), "before all else is read");
    }
}
