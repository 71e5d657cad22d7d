//! The outgoing half of a connection: the frames of an answer.
//!
//! Runs in daemons. Frames are queued, sent without waiting, or sent to the end.

use crate::log::{Code, Level, Message, wording};
use crate::os::{self, Link};
use crate::question::Verdict;
use crate::request::{FilePart, Head, Outcome, Pushed, Reply, Span, now};
use crate::wire::frame::{self, Kind, LARGEST_DATA};
use crate::wire::question;
use crate::wire::request as payload;
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A buffer that one large request has blown up is given back.
pub(super) const MOST_KEPT: usize = 128 * 1024;

/// Above this many bytes, the queue is sent before more is queued.
const MOST_QUEUED: usize = 256 * 1024;

/// How much of a file is read at a time.
const READ_AT_ONCE: usize = 2 * LARGEST_DATA;

pub struct Outgoing {
    stream: Arc<Link>,
    /// Frames on their way out; `sent` bytes of it are gone already.
    outbox: Vec<u8>,
    sent: usize,
    /// When the daemon read the request, in microseconds since the epoch.
    begun: u64,
    /// httpd takes descriptors of files for its answer.
    takes_files: bool,
    /// Sending failed half way: no frame boundary can be relied on any more.
    broken: bool,
}

impl Outgoing {
    pub(super) fn new(stream: Arc<Link>) -> Outgoing {
        Outgoing { stream, outbox: Vec::new(), sent: 0, begun: 0, takes_files: false, broken: false }
    }

    /// Another request was read.
    pub fn begin(&mut self, now: u64, takes_files: bool) {
        (self.begun, self.takes_files) = (now, takes_files);
    }

    pub(super) fn is_clean(&self) -> bool {
        !self.broken && self.sent == self.outbox.len()
    }

    pub(super) fn settle(&mut self) {
        if self.outbox.capacity() > MOST_KEPT {
            self.outbox = Vec::new();
        }
    }

    /// Remembers a failure, after which nothing more is sent.
    fn keep_in_mind<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.broken |= result.is_err();
        result
    }

    fn check_whole(&self) -> io::Result<()> {
        if self.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// For files of which httpd takes no descriptor. They are this process's to wait for.
    fn read_and_send(&mut self, file: &File, part: &FilePart) -> io::Result<()> {
        let within = |left: u64| READ_AT_ONCE.min(usize::try_from(left).unwrap_or(READ_AT_ONCE));
        let (mut piece, mut offset, mut left) = (vec![0; within(part.length)], part.offset, part.length);
        while left > 0 {
            let wanted = within(left);
            let count = match file.read_at(&mut piece[..wanted], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(count) if count > 0 => count,
                failed => {
                    let reason =
                        failed.err().map_or("it became shorter".to_string(), |error| wording(&error));
                    let text =
                        format!("the file that wsgi.file_wrapper was given could not be read on: {reason}");
                    let message = Message::new(Code::FileUnreadable, text);
                    self.log(message.level, message.to_string().as_bytes());
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
            self.flush(&piece[..count])?;
            (offset, left) = (offset + count as u64, left - count as u64);
        }
        Ok(())
    }

    fn emptied(&mut self) {
        self.outbox.clear();
        self.sent = 0;
    }
}

impl Reply for Outgoing {
    fn head(&mut self, head: Head) {
        frame::append(&mut self.outbox, Kind::Head, |out| payload::encode_head(out, &head));
    }

    fn data(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(LARGEST_DATA) {
            frame::append(&mut self.outbox, Kind::Data, |out| out.extend_from_slice(piece));
        }
    }

    fn file(&mut self, part: &FilePart) -> io::Result<()> {
        let file = os::duplicate(part.descriptor)?;
        if !self.takes_files || !os::is_servable(file.as_fd()) {
            return self.read_and_send(&File::from(file), part);
        }
        self.flush(&[])?;
        let mut frame = Vec::new();
        frame::append(&mut frame, Kind::File, |out| payload::encode_file(out, part.offset, part.length));
        let sent = os::send_with_fd(self.stream.as_fd(), &frame, file.as_fd());
        self.keep_in_mind(sent)
    }

    fn verdict(&mut self, verdict: &Verdict) {
        frame::append(&mut self.outbox, Kind::Verdict, |out| question::encode_verdict(out, verdict));
    }

    fn log(&mut self, level: Level, line: &[u8]) {
        for piece in line.chunks(LARGEST_DATA) {
            frame::append(&mut self.outbox, Kind::Log, |out| payload::encode_log(out, level, piece));
        }
    }

    fn end(&mut self, outcome: Outcome) {
        let span = Span { begun: self.begun, ended: now() };
        frame::append(&mut self.outbox, Kind::End, |out| payload::encode_end(out, outcome, span));
    }

    fn ask(&mut self, most: usize) -> io::Result<()> {
        let wanted = u32::try_from(most).unwrap_or(u32::MAX);
        frame::append(&mut self.outbox, Kind::Want, |out| out.extend_from_slice(&wanted.to_le_bytes()));
        self.flush(&[])
    }

    fn push(&mut self) -> io::Result<Pushed> {
        self.check_whole()?;
        while self.sent < self.outbox.len() {
            match os::send_now(self.stream.as_fd(), &self.outbox[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outbox.drain(..self.sent);
                    self.sent = 0;
                    let waits = self.outbox.len() >= MOST_QUEUED;
                    return Ok(if waits { Pushed::Part } else { Pushed::All });
                }
                Err(error) => return self.keep_in_mind(Err(error)),
            }
        }
        self.emptied();
        Ok(Pushed::All)
    }

    /// What is left leaves with the next push: httpd takes it as fast as its client does.
    fn send_what_waits(&mut self) -> bool {
        true
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
        self.emptied();
        Ok(())
    }

    /// Ends both directions: the connection is not used again. The child notices whether it got the answer.
    fn hang_up(&mut self) {
        let _ = self.flush(&[]);
        // Closed already is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.broken = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Connection;
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    /// The frames that reach a child.
    fn received(file: &FilePart, takes_files: bool) -> (io::Result<()>, Vec<(Kind, Vec<u8>)>) {
        let (mut child, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(daemon);
        connection.outgoing.begin(1, takes_files);
        let sent = connection.outgoing.file(file);
        let _ = connection.flush();
        drop(connection);
        let (mut bytes, mut frames) = (Vec::new(), Vec::new());
        child.read_to_end(&mut bytes).unwrap();
        let mut rest = &bytes[..];
        while let Some((kind, length)) = frame::peek(rest).unwrap() {
            let (payload, after) = rest[frame::HEADER..].split_at(length);
            frames.push((kind, payload.to_vec()));
            rest = after;
        }
        (sent, frames)
    }

    #[test]
    fn a_file_that_is_not_for_httpd_to_read_goes_as_data() {
        let file = File::open("/proc/self/status").unwrap();
        let mut part = FilePart { descriptor: file.as_raw_fd(), offset: 1, length: 4 };
        let (sent, frames) = received(&part, true);
        assert_eq!((sent.is_ok(), frames), (true, vec![(Kind::Data, b"ame:".to_vec())]));
        part.length = 1 << 40;
        let (sent, mut frames) = received(&part, true);
        let (kind, line) = frames.pop().unwrap();
        assert_eq!((sent.is_err(), kind), (true, Kind::Log));
        assert!(String::from_utf8_lossy(&line).ends_with("could not be read on: it became shorter"));
        let memory = os::memfd(c"served", 10).unwrap();
        let part = FilePart { descriptor: memory.as_raw_fd(), offset: 0, length: 10 };
        assert_eq!(received(&part, true).1, [(Kind::File, [0, 10].map(u64::to_le_bytes).concat())]);
    }

    #[test]
    fn httpd_gets_a_files_bytes_where_it_takes_no_descriptor() {
        let memory = File::from(os::memfd(c"served", 1000).unwrap());
        memory.write_all_at(b"0123456789", 0).unwrap();
        let part = FilePart { descriptor: memory.as_raw_fd(), offset: 3, length: 5 };
        assert_eq!(received(&part, false).1, [(Kind::Data, b"34567".to_vec())]);
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
        connection.outgoing.head(Head { status: b"200 OK".to_vec(), ..Head::default() });
        connection.outgoing.flush(&large).unwrap();
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
