//! What a supervisor and one of its daemons can say to each other.
//!
//! Used on both sides of `control::channel`, which sends each of them as postcard writes it. Both sides are
//! the same build.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::reason::Reason;
use crate::log::{Code, Message};
use crate::script::Holding;

/// What a pipe takes as one piece (PIPE_BUF).
pub const LONGEST_REPORT: usize = 4096;

/// Longest text in a report, which has two at most.
const LONGEST_TEXT: usize = 2000;

/// Supervisor to daemon, after the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Accept requests: the answer to `Report::Ready`. Until then a daemon waits, since in a roll-out it
    /// serves only when all others of its group can.
    Serve,
    /// Accept no more, finish what is running, end with status 0.
    Drain(Reason),
    /// End now: requests that run get the shutdown timeout.
    Stop(Reason),
    /// Raise `mod_wsgi.RequestTimeout` in the thread, if it is still at this work.
    Interrupt(Work),
    /// This work has lasted too long: its client is let go, and the log gets the stacks of all threads. The
    /// answer is `Report::Heard`.
    Expire(Work),
    /// The log gets the stacks of all threads; likewise answered.
    ShowStacks,
}

/// A request that a process runs: the number of the thread, and which of its requests it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub thread: u32,
    pub number: u32,
}

/// What a process could load of what its launch names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loads {
    /// Of the scripts that the configuration names.
    pub loaded: u32,
    pub failed: u32,
    /// Those that processes before it have loaded, and it could not.
    pub forgotten: u32,
}

/// Daemon to supervisor. Texts are cut to what a report holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It can accept requests. `python` is the version of its Python.
    Ready { loads: Loads, python: [u8; 3] },
    /// It has loaded another script, for a request; with how many of the configured ones it has now.
    Loaded {
        #[serde(serialize_with = "cut")]
        script: String,
        #[serde(serialize_with = "cut")]
        application_group: String,
        loaded: u32,
    },
    /// A script needs what another process has, and could not be loaded for that.
    Held {
        #[serde(serialize_with = "cut")]
        script: String,
        #[serde(serialize_with = "cut_holding")]
        holding: Holding,
    },
    /// This script changed on disk and is still served as it was. `modified` is the new modification time
    /// in nanoseconds: the supervisor tries each version once, however often it is told.
    Reload {
        #[serde(serialize_with = "cut")]
        path: String,
        modified: i64,
    },
    /// The script says itself, by its `reload_required`, that it is to be loaded anew; said with every
    /// request for it from then on.
    ReloadRequired {
        #[serde(serialize_with = "cut")]
        path: String,
    },
    /// It could not start and ends, for this reason: a message, of which the number and the text are sent. The
    /// start program (`daemon/bootstrap.py`) and daemons of another build send it, too: it stays the sixth.
    Failed(#[serde(serialize_with = "send_message", deserialize_with = "receive_message")] Message),
    /// It is to be replaced; until its successor is ready it goes on.
    Renew(Reason),
    /// It has carried out an order that asks for this.
    Heard,
    /// It was forked from a template, and has this pid.
    Born(i32),
    /// It asks for httpd's scoreboard, to be shown on the group's page.
    AskScoreboard,
    /// A script that processes before it have loaded for requests is there no more.
    Vanished {
        #[serde(serialize_with = "cut")]
        script: String,
    },
}

/// The text, or as much of its beginning as a report holds.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

fn cut<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(beginning(text))
}

fn cut_holding<S: Serializer>(holding: &Holding, serializer: S) -> Result<S::Ok, S::Error> {
    Holding { what: beginning(&holding.what).to_owned(), by: holding.by }.serialize(serializer)
}

fn send_message<S: Serializer>(message: &Message, serializer: S) -> Result<S::Ok, S::Error> {
    (message.code.number(), beginning(&message.text)).serialize(serializer)
}

fn receive_message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
    let (number, text) = <(u16, String)>::deserialize(deserializer)?;
    let code = Code::from_number(number.into());
    let code = code.ok_or_else(|| serde::de::Error::custom("no message has this number"))?;
    Ok(Message::new(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_build_says_in_the_same_way_why_a_daemon_cannot_start() {
        let report = Report::Failed(Message::new(Code::OtherBuild, "old"));
        assert_eq!(postcard::to_allocvec(&report).unwrap(), b"\x05\xbb\x02\x03old");
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [
            &b""[..],
            b"\xff",
            b"\x05\x01",
            b"\x05\x01\xff\xff\xff\xff\x0f",
            b"\x05\x01\x01a",
            b"\x03\x01\xff\0",
            b"\x06\xff",
        ] {
            assert!(postcard::from_bytes::<Report>(bytes).is_err(), "{bytes:?}");
        }
    }
}
