//! Frames: an eight-byte header (length and kind) and a payload.
//!
//! Written and read in httpd children (`client`) and daemons (`daemon::connection`). The child begins a new
//! connection with Secret, which shows that it is httpd's. For each request it sends Request and then, when
//! asked by Want, Body, BodyEnd or BodyFailed. The daemon answers Secret by Hello (which process it is), and
//! sends for each request Log and Want at any time, Head before the first Data or File (whose descriptor
//! travels with it), and End as the last: without End an answer is not complete. A question is answered by
//! one Verdict in place of Head, Data and File. In place of all these the daemon may give a request back that
//! no application has seen. Neither side takes a frame that is the other's to receive.

use super::codec::Malformed;
use crate::request::LARGEST_HEAD;

pub const HEADER: usize = 8;

/// Data and lines of a log are cut into pieces of at most this size, so that a reader's buffer has a bound.
pub const LARGEST_DATA: usize = 64 * 1024;

/// The child's pieces of a body are cut to this size.
pub const LARGEST_PIECE: usize = 256 * 1024;

/// A request's head and the first part of its body.
const LARGEST_REQUEST: usize = 64 * 1024 * 1024;

/// Frames that hold some numbers.
const NUMBERS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Request = 1,
    Body = 2,
    BodyEnd = 3,
    BodyFailed = 4,
    Secret = 5,
    Hello = 16,
    Head = 17,
    Data = 18,
    Log = 19,
    Want = 20,
    End = 21,
    File = 22,
    GiveBack = 23,
    Verdict = 24,
}

/// Who sends frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    Child,
    Daemon,
}

/// The first of the kinds that a daemon sends.
const FIRST_OF_DAEMONS: u32 = Kind::Hello as u32;

impl Kind {
    pub fn sender(self) -> Sender {
        if self as u32 >= FIRST_OF_DAEMONS { Sender::Daemon } else { Sender::Child }
    }

    /// The longest payload: a peer that announces more is none of ours, or has been broken into.
    fn largest(self) -> usize {
        match self {
            Kind::Request => LARGEST_REQUEST,
            Kind::Body => LARGEST_PIECE,
            Kind::BodyFailed | Kind::Data => LARGEST_DATA,
            // With its level.
            Kind::Log => LARGEST_DATA + 1,
            // The counts in front of its parts are counted with them, but for the first two.
            Kind::Head => LARGEST_HEAD + NUMBERS,
            Kind::Verdict => LARGEST_HEAD,
            Kind::Secret => NUMBERS,
            Kind::Hello | Kind::Want | Kind::End | Kind::File | Kind::BodyEnd | Kind::GiveBack => NUMBERS,
        }
    }

    fn from_number(number: u32) -> Option<Kind> {
        const KINDS: [Kind; 14] = [
            Kind::Request,
            Kind::Body,
            Kind::BodyEnd,
            Kind::BodyFailed,
            Kind::Secret,
            Kind::Hello,
            Kind::Head,
            Kind::Data,
            Kind::Log,
            Kind::Want,
            Kind::End,
            Kind::File,
            Kind::GiveBack,
            Kind::Verdict,
        ];
        KINDS.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// The header of a frame whose payload is sent from elsewhere.
pub fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length).expect("frames are bounded far below 4 GiB");
    let mut bytes = [0; HEADER];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..].copy_from_slice(&(kind as u32).to_le_bytes());
    bytes
}

/// Appends a frame whose payload `write` appends.
pub fn append(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    write(out);
    let length = out.len() - start - HEADER;
    out[start..start + HEADER].copy_from_slice(&header(kind, length));
}

/// Kind and payload length of the frame that begins here; None when the header is not whole yet.
pub fn peek(bytes: &[u8]) -> Result<Option<(Kind, usize)>, Malformed> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let Some((kind, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let kind = Kind::from_number(u32::from_le_bytes(*kind)).ok_or(Malformed)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > kind.largest() { Err(Malformed) } else { Ok(Some((kind, length))) }
}

/// Bytes received and not yet read as frames. The buffer is kept from request to request.
pub struct Inbox {
    from: Sender,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

const ROOM: usize = 64 * 1024;

impl Inbox {
    pub fn new(from: Sender) -> Inbox {
        Inbox { from, bytes: Vec::new(), start: 0, end: 0 }
    }

    /// The frame that begins here. One that only this side sends is none: its limit is that of the other side.
    fn peek(&self) -> Result<Option<(Kind, usize)>, Malformed> {
        let found = peek(&self.bytes[self.start..self.end])?;
        if found.is_some_and(|(kind, _)| kind.sender() != self.from) { Err(Malformed) } else { Ok(found) }
    }

    /// The next whole frame, or None when more must be received first. The frame stays valid until
    /// `space` is called.
    pub fn next(&mut self) -> Result<Option<(Kind, &[u8])>, Malformed> {
        let Some((kind, length)) = self.peek()? else { return Ok(None) };
        if self.end - self.start < HEADER + length {
            return Ok(None);
        }
        let payload = self.start + HEADER..self.start + HEADER + length;
        self.start = payload.end;
        Ok(Some((kind, &self.bytes[payload])))
    }

    pub fn begins_with(&self, wanted: Kind) -> bool {
        matches!(self.peek(), Ok(Some((kind, _))) if kind == wanted)
    }

    /// Whether what is here can be the beginning of this frame only, or nothing is here yet.
    pub fn may_begin_with(&self, wanted: Kind) -> bool {
        matches!(self.peek(), Ok(found) if found.is_none_or(|(kind, _)| kind == wanted))
    }

    /// Whether `next` would give a frame, or an error.
    pub fn has_frame(&self) -> bool {
        match self.peek() {
            Ok(Some((_, length))) => self.end - self.start >= HEADER + length,
            Ok(None) => false,
            Err(Malformed) => true,
        }
    }

    /// Where to receive into: room for the rest of a frame that has begun, as far as what has come warrants
    /// it.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let announced = match self.peek() {
            Ok(Some((_, length))) => HEADER + length,
            _ => 0,
        };
        let wanted = announced.min(self.end * 2).max(self.end + ROOM);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were received into `space`.
    pub fn received(&mut self, count: usize) {
        self.end += count;
    }

    /// Whether nothing is left over: the state between two requests.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Gives a buffer back that one large frame has blown up.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.bytes.len() > 4 * ROOM {
            *self = Inbox::new(self.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(inbox: &mut Inbox, bytes: &[u8]) {
        inbox.space()[..bytes.len()].copy_from_slice(bytes);
        inbox.received(bytes.len());
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut stream = Vec::new();
        append(&mut stream, Kind::Head, |out| out.extend_from_slice(b"200 OK"));
        append(&mut stream, Kind::Data, |out| out.extend_from_slice(&[7; 300]));
        append(&mut stream, Kind::End, |_| ());
        for step in [1, 3, 8, 100, stream.len()] {
            let mut inbox = Inbox::new(Sender::Daemon);
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                receive(&mut inbox, piece);
                while let Some((kind, payload)) = inbox.next().unwrap() {
                    seen.push((kind, payload.len()));
                }
            }
            assert_eq!(seen, [(Kind::Head, 6), (Kind::Data, 300), (Kind::End, 0)], "step {step}");
            assert!(inbox.is_empty());
        }
    }

    #[test]
    fn each_kind_has_a_limit() {
        let announced = |kind: Kind, length: u32| {
            let mut bytes = header(kind, 0);
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            peek(&bytes)
        };
        for (kind, most) in [
            (Kind::Head, (1 << 20) + 64),
            (Kind::Verdict, 1 << 20),
            (Kind::Data, 1 << 16),
            (Kind::Log, (1 << 16) + 1),
            (Kind::Hello, 64),
            (Kind::Want, 64),
            (Kind::End, 64),
            (Kind::File, 64),
            (Kind::GiveBack, 64),
        ] {
            assert_eq!(announced(kind, most), Ok(Some((kind, most as usize))));
            assert_eq!(announced(kind, most + 1), Err(Malformed), "{kind:?}");
        }
    }

    #[test]
    fn an_inbox_takes_no_frame_that_its_own_side_sends() {
        let before = Inbox::new(Sender::Daemon).space().len();
        for (from, other, good) in
            [(Sender::Daemon, Kind::Request, Kind::Hello), (Sender::Child, Kind::Head, Kind::Secret)]
        {
            let mut inbox = Inbox::new(from);
            receive(&mut inbox, &header(other, 10));
            assert!(inbox.has_frame() && !inbox.begins_with(other) && !inbox.may_begin_with(other));
            assert_eq!((inbox.space().len(), inbox.next()), (before, Err(Malformed)));
            let mut inbox = Inbox::new(from);
            receive(&mut inbox, &header(good, 0));
            assert_eq!(inbox.next(), Ok(Some((good, &[][..]))));
        }
    }

    #[test]
    fn an_unknown_kind_or_a_huge_length_is_malformed() {
        assert_eq!(peek(&[0, 0, 0, 0, 99, 0, 0, 0]), Err(Malformed));
        assert_eq!(peek(&[255, 255, 255, 255, 1, 0, 0, 0]), Err(Malformed));
        assert_eq!(peek(&[1, 0, 0]), Ok(None));
    }
}
