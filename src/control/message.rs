//! What a supervisor and one of its daemons can say to each other: values to bytes and back.
//!
//! Part of `control::channel`, used on both sides.

use super::reason::Reason;
use crate::log::{Code, Message};
use crate::script::{Holder, Holding};
use crate::wire::codec::{Decoder, Encoder, Malformed};

/// What a pipe takes as one piece (PIPE_BUF).
pub const LONGEST_REPORT: usize = 4096;

/// Longest text in a report, which has two at most.
const LONGEST_TEXT: usize = 2000;

/// Supervisor to daemon, after the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub thread: u32,
    pub number: u32,
}

/// What a process could load of what its launch names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loads {
    /// Of the scripts that the configuration names.
    pub loaded: u32,
    pub failed: u32,
    /// Those that processes before it have loaded, and it could not.
    pub forgotten: u32,
}

/// Daemon to supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It can accept requests.
    Ready(Loads),
    /// It has loaded another script, for a request; with how many of the configured ones it has now.
    Loaded { script: String, application_group: String, loaded: u32 },
    /// A script needs what another process has, and could not be loaded for that.
    Held { script: String, holding: Holding },
    /// This script changed on disk and is still served as it was. `modified` is the new modification time
    /// in nanoseconds: the supervisor tries each version once, however often it is told.
    Reload { path: String, modified: i64 },
    /// The script says itself, by its `reload_required`, that it is to be loaded anew; said with every
    /// request for it from then on.
    ReloadRequired { path: String },
    /// It could not start and ends, for this reason: a message, of which the number and the text are sent.
    Failed(Message),
    /// It is to be replaced; until its successor is ready it goes on.
    Renew(Reason),
    /// It has carried out an order that asks for this.
    Heard,
    /// It was forked from a template, and has this pid.
    Born(i32),
    /// It asks for httpd's scoreboard, to be shown on the group's page.
    AskScoreboard,
}

impl Order {
    pub fn encode(self) -> Vec<u8> {
        let work = |letter: u8, work: Work| {
            let mut out = vec![letter];
            out.extend(work.thread.to_le_bytes());
            out.extend(work.number.to_le_bytes());
            out
        };
        match self {
            Order::Serve => vec![b'G'],
            Order::Drain(reason) => vec![b'D', reason.to_byte()],
            Order::Stop(reason) => vec![b'S', reason.to_byte()],
            Order::Interrupt(at) => work(b'I', at),
            Order::Expire(at) => work(b'E', at),
            Order::ShowStacks => vec![b'T'],
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Order, Malformed> {
        let mut decoder = Decoder::new(bytes);
        match decoder.u8()? {
            b'G' => Ok(Order::Serve),
            b'D' => Ok(Order::Drain(reason(&mut decoder)?)),
            b'S' => Ok(Order::Stop(reason(&mut decoder)?)),
            b'I' => Ok(Order::Interrupt(work(&mut decoder)?)),
            b'E' => Ok(Order::Expire(work(&mut decoder)?)),
            b'T' => Ok(Order::ShowStacks),
            _ => Err(Malformed),
        }
    }
}

fn work(decoder: &mut Decoder<'_>) -> Result<Work, Malformed> {
    Ok(Work { thread: decoder.u32()?, number: decoder.u32()? })
}

fn reason(decoder: &mut Decoder<'_>) -> Result<Reason, Malformed> {
    Reason::from_byte(decoder.u8()?).ok_or(Malformed)
}

impl Report {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        match self {
            Report::Ready(loads) => {
                encoder.u8(b'R');
                for count in [loads.loaded, loads.failed, loads.forgotten] {
                    encoder.u32(count);
                }
            }
            Report::Loaded { script, application_group, loaded } => {
                encoder.u8(b'L');
                encoder.u32(*loaded);
                encoder.bytes(cut(script).as_bytes());
                encoder.bytes(cut(application_group).as_bytes());
            }
            Report::Held { script, holding } => {
                let (kind, pid) = match holding.by {
                    Holder::Unknown => (0, 0),
                    Holder::Itself => (1, 0),
                    Holder::OfGroup(pid) => (2, pid),
                    Holder::Other(pid) => (3, pid),
                    Holder::Stranger => (4, 0),
                };
                encoder.u8(b'K');
                encoder.u8(kind);
                encoder.i64(pid.into());
                encoder.bytes(cut(script).as_bytes());
                encoder.bytes(cut(&holding.what).as_bytes());
            }
            Report::Reload { path, modified } => {
                encoder.u8(b'C');
                encoder.i64(*modified);
                encoder.bytes(cut(path).as_bytes());
            }
            Report::ReloadRequired { path } => {
                encoder.u8(b'Q');
                encoder.bytes(cut(path).as_bytes());
            }
            Report::Failed(message) => {
                encoder.u8(b'F');
                encoder.u32(message.code.number().into());
                encoder.bytes(cut(&message.text).as_bytes());
            }
            Report::Renew(reason) => {
                encoder.u8(b'N');
                encoder.u8(reason.to_byte());
            }
            Report::Heard => encoder.u8(b'H'),
            Report::Born(pid) => {
                encoder.u8(b'B');
                encoder.i64((*pid).into());
            }
            Report::AskScoreboard => encoder.u8(b'A'),
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Report, Malformed> {
        let mut decoder = Decoder::new(bytes);
        match decoder.u8()? {
            b'R' => {
                let (loaded, failed) = (decoder.u32()?, decoder.u32()?);
                Ok(Report::Ready(Loads { loaded, failed, forgotten: decoder.u32()? }))
            }
            b'L' => {
                let loaded = decoder.u32()?;
                let (script, application_group) = (decoder.string()?, decoder.string()?);
                Ok(Report::Loaded { script, application_group, loaded })
            }
            b'K' => held(&mut decoder),
            b'C' => Ok(Report::Reload { modified: decoder.i64()?, path: decoder.string()? }),
            b'Q' => Ok(Report::ReloadRequired { path: decoder.string()? }),
            b'F' => {
                let code = Code::from_number(decoder.u32()?).ok_or(Malformed)?;
                Ok(Report::Failed(Message::new(code, decoder.string()?)))
            }
            b'N' => Ok(Report::Renew(reason(&mut decoder)?)),
            b'H' => Ok(Report::Heard),
            b'B' => Ok(Report::Born(i32::try_from(decoder.i64()?).map_err(|_| Malformed)?)),
            b'A' => Ok(Report::AskScoreboard),
            _ => Err(Malformed),
        }
    }
}

fn held(decoder: &mut Decoder<'_>) -> Result<Report, Malformed> {
    let (kind, pid) = (decoder.u8()?, i32::try_from(decoder.i64()?).map_err(|_| Malformed)?);
    let by = match kind {
        0 => Holder::Unknown,
        1 => Holder::Itself,
        2 => Holder::OfGroup(pid),
        3 => Holder::Other(pid),
        4 => Holder::Stranger,
        _ => return Err(Malformed),
    };
    Ok(Report::Held { script: decoder.string()?, holding: Holding { what: decoder.string()?, by } })
}

/// The text, or as much of its beginning as a message holds.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [
            &b""[..],
            b"X",
            b"F\x01",
            b"F\xff\xff\xff\xff\0\0\0\0",
            b"C\x01\0\0\0\xff",
            b"N\xff",
            b"F\x01\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Report::decode(bytes), Err(Malformed));
        }
    }
}
