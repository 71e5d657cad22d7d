//! One request and its answer, on a connection to the process that has read the request.
//!
//! Runs in httpd children: `Client::open` begins a conversation, `exchange::relay` reads its frames.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::beside::{Beside, left_until};
use super::deadline::Deadline;
use super::log_budget::LogBudget;
use super::state::{Channel, Client};
use super::trouble::{Failed, Trouble};
use crate::os;
use crate::request::{BodyError, Run, Span};
use crate::wire::frame::{self, HEADER, Kind};
use crate::wire::request as payload;

pub struct Conversation<'a> {
    pub(super) client: &'a Client,
    pub(super) channel: Channel,
    pub(super) begun: Instant,
    /// When the child began to look for a process, in microseconds since the epoch.
    pub(super) asked: u64,
    /// How long a new connection took, of that time.
    pub(super) connecting: Duration,
    /// Where request-timeout is set.
    pub(super) deadline: Option<Deadline>,
}

impl<'a> Conversation<'a> {
    /// Of the process group.
    pub fn log_budget(&self) -> &'a LogBudget {
        &self.client.log_budget
    }

    /// `response-flush-delay` of the process group.
    pub fn flush_delay(&self) -> Duration {
        self.client.group.response.flush_delay
    }

    /// The process and its times, by the span that its last frame tells.
    pub fn run(&self, span: Span) -> Run {
        Run {
            pid: self.channel.pid,
            queue: span.begun.saturating_sub(self.asked),
            connect: u64::try_from(self.connecting.as_micros()).unwrap_or(u64::MAX),
            application: span.microseconds(),
        }
    }

    /// Name of the process group.
    pub fn group(&self) -> &str {
        &self.client.group.name
    }

    /// Whether the next frame is here already, or the end of the connection.
    pub fn is_ready(&mut self) -> bool {
        if self.channel.inbox.has_frame() {
            return true;
        }
        match self.channel.receive_now() {
            Ok(None) => false,
            Ok(Some(count)) => {
                count == 0 || self.channel.inbox.has_frame() || self.channel.has_too_many_files()
            }
            Err(_) => true,
        }
    }

    /// The same until `end`.
    pub fn is_ready_until(&mut self, end: Instant) -> bool {
        while !self.is_ready() {
            let left = left_until(end);
            // What fails here fails again when the frame is read.
            if left.is_zero() || matches!(os::readable(self.channel.fd(), Some(left)), Ok(false)) {
                return false;
            }
        }
        true
    }

    /// The next frame, waiting for it as long as socket-timeout allows; meanwhile `beside` is seen to.
    pub fn frame(&mut self, beside: &mut dyn Beside) -> Result<(Kind, &[u8]), Trouble> {
        self.channel.check_files()?;
        while !self.channel.inbox.has_frame() {
            self.give_up_if_late()?;
            let received = self.client.receive(&mut self.channel, beside);
            let received = received.map_err(Failed::of_a_read_request);
            received.map_err(|trouble| self.client.why(trouble, self.begun))?;
        }
        match self.channel.inbox.next() {
            Ok(Some((kind, bytes))) => {
                let size = HEADER + bytes.len();
                let in_time = self.deadline.as_mut().is_none_or(|deadline| deadline.allows(size));
                if in_time { Ok((kind, bytes)) } else { Err(self.client.late()) }
            }
            Ok(None) | Err(_) => Err(Trouble::Misbehaved("bytes that are no frame".to_string())),
        }
    }

    fn give_up_if_late(&self) -> Result<(), Trouble> {
        if !self.deadline.as_ref().is_some_and(Deadline::is_over) {
            return Ok(());
        }
        let more = os::readable(self.channel.fd(), Some(Duration::ZERO));
        if more.unwrap_or(true) { Ok(()) } else { Err(self.client.late()) }
    }

    /// The descriptor of the File frame that was just read. One that is not for httpd to read stays where it
    /// is, and is closed with the connection.
    pub fn file(&mut self) -> Result<OwnedFd, Trouble> {
        if !self.channel.takes_files() {
            return Err(Trouble::Misbehaved("a file, where WSGIEnableSendfile is Off".to_string()));
        }
        match self.channel.files.fds.pop() {
            Some(file) if os::is_servable(file.as_fd()) => Ok(file),
            Some(other) => {
                self.channel.files.fds.push(other);
                let what =
                    "a descriptor of something else than a file that can be read, on a local file system";
                Err(Trouble::Misbehaved(what.to_string()))
            }
            None if self.channel.files.lost => {
                let text = format!(
                    "this process of httpd has no descriptor left for the file that process group '{}' answers with: raise \
                     the limit of open files (ulimit -n, LimitNOFILE=)",
                    self.client.group.name
                );
                Err(Trouble::Unavailable(text))
            }
            None => Err(Trouble::Misbehaved("a file without its descriptor".to_string())),
        }
    }

    /// After the End frame: whether a descriptor is left that no frame was about.
    pub fn has_file(&self) -> bool {
        !self.channel.files.fds.is_empty()
    }

    /// A piece of the body that Want asked for.
    pub fn send_body(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let header = frame::header(Kind::Body, bytes.len());
        self.send(&mut [IoSlice::new(&header), IoSlice::new(bytes)])
    }

    pub fn send_body_end(&mut self) -> Result<(), Trouble> {
        self.send(&mut [IoSlice::new(&frame::header(Kind::BodyEnd, 0))])
    }

    pub fn send_body_error(&mut self, error: &BodyError) -> Result<(), Trouble> {
        let mut out = Vec::new();
        frame::append(&mut out, Kind::BodyFailed, |out| payload::encode_body_error(out, error));
        self.send(&mut [IoSlice::new(&out)])
    }

    fn send(&mut self, parts: &mut [IoSlice<'_>]) -> Result<(), Trouble> {
        self.client
            .send_all(&self.channel, parts, None)
            .map_err(|error| self.client.broken(&error).of_a_read_request())
    }

    /// After the End frame: the connection can carry another request.
    pub fn finish(mut self) {
        if self.channel.is_clean() {
            self.channel.inbox.shrink();
            self.client.keep(self.channel);
        }
    }
}
