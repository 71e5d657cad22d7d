//! The incoming half of a connection: request frames, and the body of the request that runs.
//!
//! Runs in daemons. The daemon asks for the body through the other half (`Reply::ask`) and receives it here.

use super::outgoing::MOST_KEPT;
use crate::control::secret::Secret;
use crate::log::wording;
use crate::os::{self, Link};
use crate::request::{Body, BodyError, BodyLength};
use crate::wire::frame::{Inbox, Kind, Sender};
use crate::wire::request as payload;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// A child of httpd.
    Httpd,
    Stranger,
    /// The secret has not come yet.
    Later,
}

pub struct Incoming {
    stream: Arc<Link>,
    inbox: Inbox,
    /// Arrived and not yet read by the application.
    here: Vec<u8>,
    /// Of a body whose length is known: what has not arrived yet.
    missing: Option<u64>,
    ended: bool,
    /// Receiving failed half way: a frame that was asked for may still come.
    broken: bool,
}

impl Incoming {
    pub(super) fn new(stream: Arc<Link>) -> Incoming {
        let (inbox, here) = (Inbox::new(Sender::Child), Vec::new());
        Incoming { stream, inbox, here, missing: None, ended: true, broken: false }
    }

    /// Looks for the secret, with which httpd's child begins the connection. Does not wait.
    pub(super) fn meet(&mut self, secret: &Secret) -> io::Result<Meeting> {
        loop {
            if !self.inbox.may_begin_with(Kind::Secret) {
                return Ok(Meeting::Stranger);
            }
            if let Some((_, bytes)) = self.inbox.next().map_err(invalid)? {
                return Ok(if secret.is(bytes) { Meeting::Httpd } else { Meeting::Stranger });
            }
            match os::receive_now(self.stream.as_fd(), self.inbox.space())? {
                None => return Ok(Meeting::Later),
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(count) => self.inbox.received(count),
            }
        }
    }

    /// Receives a whole Request frame into `payload`. False when the child closed the connection.
    pub fn receive_request(&mut self, payload: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            if let Some((kind, bytes)) = self.inbox.next().map_err(invalid)? {
                if kind != Kind::Request {
                    return Err(invalid(kind));
                }
                payload.clear();
                payload.extend_from_slice(bytes);
                return Ok(true);
            }
            let count = os::receive(self.stream.as_fd(), self.inbox.space())?;
            if count == 0 {
                return Ok(false);
            }
            self.inbox.received(count);
        }
    }

    /// Prepares for the body of a request, of which `first` is here.
    pub fn begin(&mut self, length: BodyLength, first: &[u8]) {
        self.here.clear();
        self.here.extend_from_slice(first);
        self.missing = match length {
            BodyLength::Known(length) => Some(length.saturating_sub(first.len() as u64)),
            BodyLength::Chunked => None,
        };
        self.ended = self.missing == Some(0);
    }

    pub(super) fn is_clean(&self) -> bool {
        !self.broken && self.inbox.is_empty()
    }

    pub(super) fn settle(&mut self) {
        self.inbox.shrink();
        if self.here.capacity() > MOST_KEPT {
            self.here = Vec::new();
        }
    }

    fn receive_frame(&mut self) -> Result<(), BodyError> {
        loop {
            if let Some((kind, bytes)) = self.inbox.next().map_err(|error| lost(&error.to_string()))? {
                match kind {
                    Kind::Body => {
                        self.here.extend_from_slice(bytes);
                        self.missing = self.missing.map(|missing| missing.saturating_sub(bytes.len() as u64));
                        self.ended = self.missing == Some(0);
                    }
                    Kind::BodyEnd => self.ended = true,
                    Kind::BodyFailed => {
                        return Err(payload::decode_body_error(bytes)
                            .unwrap_or_else(|malformed| lost(&malformed.to_string())));
                    }
                    _ => return Err(lost("an unexpected frame")),
                }
                return Ok(());
            }
            let count = os::receive(self.stream.as_fd(), self.inbox.space())
                .map_err(|error| lost(&wording(&error)))?;
            if count == 0 {
                return Err(lost("its child closed the connection"));
            }
            self.inbox.received(count);
        }
    }
}

impl Body for Incoming {
    fn read_ready(&mut self, most: usize, into: &mut Vec<u8>) -> Option<usize> {
        if self.here.is_empty() {
            return self.ended.then_some(0);
        }
        let count = most.min(self.here.len());
        into.extend(self.here.drain(..count));
        Some(count)
    }

    fn receive(&mut self) -> Result<(), BodyError> {
        let received = self.receive_frame();
        // The child's own word leaves the frames in order, a lost connection does not.
        self.broken |= matches!(&received, Err(error) if error.status == 0);
        received
    }
}

fn lost(reason: &str) -> BodyError {
    BodyError { status: 0, reason: format!("the connection to httpd failed: {reason}") }
}

fn invalid(what: impl std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected {what:?} from an httpd child"))
}

#[cfg(test)]
mod tests {
    use super::super::Connection;
    use super::*;
    use crate::request::Reply;
    use crate::wire::frame;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// What `interpreter::transaction` does for each piece.
    fn read(connection: &mut Connection, most: usize, body: &mut Vec<u8>) -> Result<usize, BodyError> {
        loop {
            if let Some(count) = connection.incoming.read_ready(most, body) {
                return Ok(count);
            }
            connection.outgoing.ask(most).unwrap();
            connection.incoming.receive()?;
        }
    }

    #[test]
    fn a_body_is_asked_for_piece_by_piece_and_ends() {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        connection.incoming.begin(BodyLength::Known(8), b"ab");
        let mut body = Vec::new();
        assert_eq!(read(&mut connection, 10, &mut body), Ok(2));

        let mut answer = Vec::new();
        frame::append(&mut answer, Kind::Body, |out| out.extend_from_slice(b"cdefgh"));
        child.write_all(&answer).unwrap();
        assert_eq!(read(&mut connection, 3, &mut body), Ok(3));
        assert_eq!(read(&mut connection, 30, &mut body), Ok(3));
        assert_eq!(read(&mut connection, 30, &mut body), Ok(0));
        assert_eq!(body, b"abcdefgh");

        let mut want = [0; frame::HEADER + 4];
        child.read_exact(&mut want).unwrap();
        assert_eq!(frame::peek(&want), Ok(Some((Kind::Want, 4))));
    }

    #[test]
    fn the_end_of_a_chunked_body_is_told() {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        connection.incoming.begin(BodyLength::Chunked, b"");
        let mut answer = Vec::new();
        frame::append(&mut answer, Kind::Body, |out| out.extend_from_slice(b"abc"));
        frame::append(&mut answer, Kind::BodyEnd, |_| ());
        child.write_all(&answer).unwrap();
        let mut body = Vec::new();
        assert_eq!(read(&mut connection, 30, &mut body), Ok(3));
        assert_eq!(read(&mut connection, 30, &mut body), Ok(0));
        assert!(connection.is_clean());
    }

    #[test]
    fn a_lost_child_breaks_the_connection_and_a_broken_body_does_not() {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        let error = BodyError { status: 400, reason: "malformed".into() };
        let mut answer = Vec::new();
        frame::append(&mut answer, Kind::BodyFailed, |out| payload::encode_body_error(out, &error));
        child.write_all(&answer).unwrap();
        connection.incoming.begin(BodyLength::Chunked, b"");
        assert_eq!(connection.incoming.receive(), Err(error));
        assert!(connection.is_clean());
        drop(child);
        assert!(connection.incoming.receive().is_err());
        assert!(!connection.is_clean());
    }
}
