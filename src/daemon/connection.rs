//! A daemon's end of a connection from an httpd child: frames in, frames out, and the carrier of
//! one request at a time.
//!
//! Runs in daemons. `worker` owns the connections; while a request runs, its transaction does.

use super::os;
use crate::log::Level;
use crate::request::{Body, BodyError, BodyLength, FilePart, Head, Outcome, Reply};
use crate::wire::frame::{self, Inbox, Kind, LARGEST_DATA};
use crate::wire::request as payload;
use crate::wsgi::transaction::Carrier;
use std::any::Any;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

pub struct Connection {
    stream: UnixStream,
    inbox: Inbox,
    /// Frames on their way out; `sent` bytes of it are gone already.
    outbox: Vec<u8>,
    sent: usize,
    /// Sending or receiving failed half way: no frame boundary can be relied on any more.
    broken: bool,
    body: BodyState,
}

/// How far the current request's body has come.
#[derive(Default)]
struct BodyState {
    /// Arrived and not yet read by the application.
    here: Vec<u8>,
    /// Of a body whose length is known: what has not arrived yet.
    missing: Option<u64>,
    ended: bool,
    failed: Option<BodyError>,
}

/// Above this, what is queued is sent before more is queued.
const MOST_QUEUED: usize = 256 * 1024;

/// A buffer that one large answer has blown up is given back.
const MOST_KEPT: usize = 128 * 1024;

impl Connection {
    pub fn new(stream: UnixStream) -> Connection {
        let (inbox, body) = (Inbox::default(), BodyState::default());
        Connection { stream, inbox, outbox: Vec::new(), sent: 0, broken: false, body }
    }

    /// Tells the child that its connection was accepted, and by which process.
    pub fn hello(&mut self, slot: u32) -> io::Result<()> {
        frame::append(&mut self.outbox, Kind::Hello, |out| out.extend_from_slice(&slot.to_le_bytes()));
        self.flush(&[])
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
        self.body.here.clear();
        self.body.here.extend_from_slice(first);
        self.body.missing = match length {
            BodyLength::Known(length) => Some(length.saturating_sub(first.len() as u64)),
            BodyLength::Chunked => None,
        };
        self.body.ended = self.body.missing == Some(0);
        self.body.failed = None;
    }

    /// Whether the connection can take another request: nothing is left over in either direction.
    pub fn is_clean(&self) -> bool {
        !self.broken && self.inbox.is_empty() && self.sent == self.outbox.len()
    }

    /// Remembers a failure, after which nothing more is sent.
    fn keep_in_mind<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.broken |= result.is_err();
        result
    }

    fn check_whole(&self) -> io::Result<()> {
        if self.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Gives back what a large request needed.
    pub fn settle(&mut self) {
        self.inbox.shrink();
        if self.outbox.capacity() > MOST_KEPT {
            self.outbox = Vec::new();
        }
        if self.body.here.capacity() > MOST_KEPT {
            self.body.here = Vec::new();
        }
    }

    fn take_here(&mut self, most: usize, into: &mut Vec<u8>) -> usize {
        let count = most.min(self.body.here.len());
        into.extend(self.body.here.drain(..count));
        count
    }

    fn receive_body(&mut self) -> Result<(), BodyError> {
        loop {
            let next = self.inbox.next().map_err(|malformed| lost(&malformed.to_string()))?;
            if let Some((kind, bytes)) = next {
                match kind {
                    Kind::Body => {
                        self.body.here.extend_from_slice(bytes);
                        let missing =
                            self.body.missing.map(|missing| missing.saturating_sub(bytes.len() as u64));
                        self.body.missing = missing;
                        self.body.ended = missing == Some(0);
                    }
                    Kind::BodyEnd => self.body.ended = true,
                    Kind::BodyFailed => {
                        return Err(payload::decode_body_error(bytes)
                            .unwrap_or_else(|malformed| lost(&malformed.to_string())));
                    }
                    _ => return Err(lost("an unexpected frame")),
                }
                return Ok(());
            }
            let count = os::receive(self.stream.as_fd(), self.inbox.space())
                .map_err(|error| lost(&error.to_string()))?;
            if count == 0 {
                return Err(lost("the httpd child closed the connection"));
            }
            self.inbox.received(count);
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Body for Connection {
    fn read(&mut self, most: usize, into: &mut Vec<u8>) -> Result<usize, BodyError> {
        loop {
            if let Some(count) = self.read_ready(most, into) {
                return Ok(count);
            }
            if let Some(failed) = &self.body.failed {
                let status = if failed.status == LOST { 0 } else { failed.status };
                return Err(BodyError { status, ..failed.clone() });
            }
            let wanted = u32::try_from(most).unwrap_or(u32::MAX);
            frame::append(&mut self.outbox, Kind::Want, |out| out.extend_from_slice(&wanted.to_le_bytes()));
            let asked = self.flush(&[]).map_err(|error| lost(&error.to_string()));
            if let Err(error) = asked.and_then(|()| self.receive_body()) {
                // The child's own word leaves the frames in order; a lost connection or a time-out not.
                self.broken |= error.status == LOST;
                self.body.failed = Some(error);
            }
        }
    }

    fn read_ready(&mut self, most: usize, into: &mut Vec<u8>) -> Option<usize> {
        if self.body.here.is_empty() {
            return self.body.ended.then_some(0);
        }
        Some(self.take_here(most, into))
    }
}

impl Reply for Connection {
    fn head(&mut self, head: &Head) {
        frame::append(&mut self.outbox, Kind::Head, |out| payload::encode_head(out, head));
    }

    fn data(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(LARGEST_DATA) {
            frame::append(&mut self.outbox, Kind::Data, |out| out.extend_from_slice(piece));
        }
    }

    fn file(&mut self, part: &FilePart) -> io::Result<()> {
        self.flush(&[])?;
        let mut frame = Vec::new();
        frame::append(&mut frame, Kind::File, |out| payload::encode_file(out, part.offset, part.length));
        let file = os::duplicate(part.descriptor)?;
        let sent = os::send_with_fd(self.stream.as_fd(), &frame, file.as_fd());
        self.keep_in_mind(sent)
    }

    fn log(&mut self, level: Level, line: &[u8]) {
        frame::append(&mut self.outbox, Kind::Log, |out| payload::encode_log(out, level, line));
    }

    fn end(&mut self, outcome: Outcome) {
        frame::append(&mut self.outbox, Kind::End, |out| payload::encode_outcome(out, outcome));
    }

    fn push(&mut self) -> io::Result<bool> {
        self.check_whole()?;
        while self.sent < self.outbox.len() {
            match os::send_now(self.stream.as_fd(), &self.outbox[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outbox.drain(..self.sent);
                    self.sent = 0;
                    return Ok(self.outbox.len() < MOST_QUEUED);
                }
                Err(error) => return self.keep_in_mind(Err(error)),
            }
        }
        self.outbox.clear();
        self.sent = 0;
        Ok(true)
    }

    fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check_whole()?;
        let headers: Vec<_> =
            bytes.chunks(LARGEST_DATA).map(|piece| frame::header(Kind::Data, piece.len())).collect();
        let mut parts = Vec::with_capacity(1 + 2 * headers.len());
        parts.push(IoSlice::new(&self.outbox[self.sent..]));
        for (header, piece) in headers.iter().zip(bytes.chunks(LARGEST_DATA)) {
            parts.push(IoSlice::new(header));
            parts.push(IoSlice::new(piece));
        }
        let sent = os::send_all(self.stream.as_fd(), &mut parts);
        drop(parts);
        self.keep_in_mind(sent)?;
        self.outbox.clear();
        self.sent = 0;
        Ok(())
    }
}

impl Carrier for Connection {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Status of a body error that is about the connection to the child.
const LOST: u16 = u16::MAX;

fn lost(reason: &str) -> BodyError {
    BodyError { status: LOST, reason: format!("the connection to httpd failed: {reason}") }
}

fn invalid(what: impl std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected {what:?} from an httpd child"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_body_is_asked_for_piece_by_piece_and_ends() {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        connection.begin(BodyLength::Known(8), b"ab");
        let mut body = Vec::new();
        assert_eq!(connection.read(10, &mut body), Ok(2));

        let mut answer = Vec::new();
        frame::append(&mut answer, Kind::Body, |out| out.extend_from_slice(b"cdefgh"));
        child.write_all(&answer).unwrap();
        assert_eq!(connection.read(3, &mut body), Ok(3));
        assert_eq!(connection.read(30, &mut body), Ok(3));
        assert_eq!(connection.read(30, &mut body), Ok(0));
        assert_eq!(body, b"abcdefgh");

        let mut want = [0; frame::HEADER + 4];
        child.read_exact(&mut want).unwrap();
        assert_eq!(frame::peek(&want), Ok(Some((Kind::Want, 4))));
    }

    #[test]
    fn the_end_of_a_chunked_body_is_told() {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        connection.begin(BodyLength::Chunked, b"");
        let mut answer = Vec::new();
        frame::append(&mut answer, Kind::Body, |out| out.extend_from_slice(b"abc"));
        frame::append(&mut answer, Kind::BodyEnd, |_| ());
        child.write_all(&answer).unwrap();
        let mut body = Vec::new();
        assert_eq!(connection.read(30, &mut body), Ok(3));
        assert_eq!(connection.read(30, &mut body), Ok(0));
        assert!(connection.inbox.is_empty());
    }

    #[test]
    fn a_body_that_broke_stays_broken() {
        let (child, daemon) = UnixStream::pair().unwrap();
        drop(child);
        let mut connection = Connection::new(daemon);
        connection.begin(BodyLength::Known(8), b"");
        let mut body = Vec::new();
        let first = connection.read(10, &mut body);
        assert!(first.is_err());
        assert_eq!(connection.read(10, &mut body), first);
    }

    #[test]
    fn a_large_piece_follows_what_was_queued() {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        let large = vec![b'x'; LARGEST_DATA + 10];
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            child.read_to_end(&mut received).unwrap();
            received
        });
        connection.head(&Head { status: b"200 OK".to_vec(), headers: Vec::new() });
        connection.flush(&large).unwrap();
        assert!(connection.is_clean());
        drop(connection);

        let received = reader.join().unwrap();
        let mut rest = &received[..];
        let mut kinds = Vec::new();
        while let Some((kind, length)) = frame::peek(rest).unwrap() {
            kinds.push((kind, length));
            rest = &rest[frame::HEADER + length..];
        }
        assert_eq!(kinds[1..], [(Kind::Data, LARGEST_DATA), (Kind::Data, 10)]);
    }
}
