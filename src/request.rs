//! The vocabulary of a request: what both modes hand to `wsgi::run`.
//!
//! `hooks::handler` makes the `Request` in the httpd child; in daemon mode it crosses to the daemon in one
//! frame. `Body` and `Reply` are how the application's side reads and answers, in both modes.

use crate::log::Level;
use crate::question::{Purpose, Verdict};
use std::fmt;
use std::io;
use std::num::NonZero;
use std::os::fd::RawFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// How the request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// `Content-Length`; zero when there is no body.
    Known(u64),
    /// `Transfer-Encoding: chunked`: read to the end.
    Chunked,
}

/// One request for one application. The slices live as long as the request is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    pub purpose: Purpose<'a>,
    pub script: &'a [u8],
    /// Name of the interpreter; empty for the main one.
    pub application_group: &'a [u8],
    /// Of an application; else the purpose names the functions.
    pub callable: &'a [u8],
    /// When the script's file was modified, in microseconds, as httpd has just seen it; None where a
    /// script that changes is not to be loaded anew.
    pub modified: Option<u64>,
    pub head: bool,
    /// Whether it keeps its process from counting as idle.
    pub active: bool,
    /// Whether httpd takes the descriptor of a file for the answer, and with it trusts the site not to hold
    /// up its child (`os::served`).
    pub takes_files: bool,
    pub body: BodyLength,
    pub environ: Environ<'a>,
    /// Address of httpd's own record of the request, for `WSGIPassApacheRequest`: only where the application
    /// runs in the same process, and only handed through.
    pub record: Option<NonZero<usize>>,
}

/// CGI and server variables, or the headers of an answer, flat: for each two lengths (u16, u32), the name and
/// the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environ<'a>(pub &'a [u8]);

impl<'a> Iterator for Environ<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_length, rest) = self.0.split_first_chunk::<2>()?;
        let (value_length, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*name_length).into())?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// Collects an `Environ`. A later value for a name replaces an earlier one when it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironBuilder {
    bytes: Vec<u8>,
}

impl EnvironBuilder {
    pub fn with_capacity(capacity: usize) -> Self {
        EnvironBuilder { bytes: Vec::with_capacity(capacity) }
    }

    /// Names longer than 64 KiB and values longer than 4 GiB cannot be had from httpd; they are left out.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(name_length), Ok(value_length)) = (u16::try_from(name.len()), u32::try_from(value.len()))
        else {
            return;
        };
        self.bytes.extend_from_slice(&name_length.to_le_bytes());
        self.bytes.extend_from_slice(&value_length.to_le_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
    }

    /// Adds all variables of another environ.
    pub fn append(&mut self, environ: Environ<'_>) {
        self.bytes.extend_from_slice(environ.0);
    }

    pub fn environ(&self) -> Environ<'_> {
        Environ(&self.bytes)
    }
}

/// Why the body could not be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// What httpd would answer: 400 malformed, 408 too slow, 413 too large, or 0 when the client is gone.
    pub status: u16,
    pub reason: String,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The request's body as the application reads it. `Reply::ask` comes before `receive`.
pub trait Body: Send {
    /// Appends between 1 and `most` bytes of what is here, 0 at the end; None when it must be asked for.
    fn read_ready(&mut self, most: usize, into: &mut Vec<u8>) -> Option<usize>;

    /// Waits for what was asked for. Called detached from Python.
    fn receive(&mut self) -> Result<(), BodyError>;
}

/// The most that status and headers of an answer may have together.
pub const LARGEST_HEAD: usize = 1024 * 1024;

/// httpd needs far more memory for a header than for its bytes.
pub const MOST_HEADERS: usize = 10_000;

/// Status line and headers as the application gave them, in Latin-1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub status: Vec<u8>,
    pub headers: EnvironBuilder,
}

impl Head {
    pub fn pairs(&self) -> Environ<'_> {
        self.headers.environ()
    }

    /// Leaves out the headers of this name.
    pub fn remove(&mut self, unwanted: &[u8]) {
        let mut others = EnvironBuilder::default();
        for (name, value) in self.pairs().filter(|(name, _)| !name.eq_ignore_ascii_case(unwanted)) {
            others.push(name, value);
        }
        self.headers = others;
    }
}

/// The page of this server that httpd is to answer with in place of the application: as for a CGI script,
/// where a `200` has a `Location` that is a path.
pub fn local_location<'h>(
    status: &[u8],
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) -> Option<&'h [u8]> {
    if !status.starts_with(b"200") {
        return None;
    }
    let last = headers.filter(|(name, _)| name.eq_ignore_ascii_case(b"Location")).last();
    let path = last.map(|(_, value)| value.trim_ascii())?;
    (path.starts_with(b"/") && !path.iter().any(u8::is_ascii_control)).then_some(path)
}

/// How a request that produced no complete answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// Before the head: answered with this status. After it: the connection is cut.
    Failed(u16),
}

/// When something began and ended, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub begun: u64,
    pub ended: u64,
}

impl Span {
    pub fn microseconds(self) -> u64 {
        self.ended.saturating_sub(self.begun)
    }
}

/// Which process ran a request, and its times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub pid: u32,
    /// From when the child looked for a process to when one had read the request.
    pub queue: u64,
    /// For a new connection, of that time.
    pub connect: u64,
    /// From then to the end of the answer.
    pub application: u64,
}

/// Microseconds since the epoch, now.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// A part of a regular file that the application has open.
pub struct FilePart {
    pub descriptor: RawFd,
    pub offset: u64,
    pub length: u64,
}

/// What is left after a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing that would need the thread to wait.
    All,
    /// `flush` has to wait for the rest.
    Part,
    /// A little, which `send_what_waits` is to send soon, if nothing else does.
    Later,
}

/// The answer on its way to the client. All but `file`, `ask`, `flush` and `send_what_waits` only queue and
/// never block, so they may be called attached to Python.
pub trait Reply: Send {
    fn head(&mut self, head: Head);
    fn data(&mut self, bytes: &[u8]);
    /// Sends what is queued, and then a part of a file as data. Called detached.
    fn file(&mut self, file: &FilePart) -> io::Result<()>;

    /// The answer to a question, in place of head and data.
    fn verdict(&mut self, verdict: &Verdict);

    fn log(&mut self, level: Level, line: &[u8]);
    fn end(&mut self, outcome: Outcome);

    /// Sends what is queued, and asks the client for more of the body, at most so much at a time.
    fn ask(&mut self, most: usize) -> io::Result<()>;

    /// Sends what can be sent without waiting.
    fn push(&mut self) -> io::Result<Pushed>;

    /// Some time after `Pushed::Later`: sends what is queued where that does not wait. False if it would.
    fn send_what_waits(&mut self) -> bool;

    /// Sends everything that is queued, and then `bytes` as one more piece of data. Called detached.
    fn flush(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The request is over, and a thread of the application still waits for its body: sends what is queued,
    /// and has that thread wake where the carrier can. Called detached.
    fn hang_up(&mut self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environ_gives_back_what_was_pushed() {
        let mut builder = EnvironBuilder::with_capacity(64);
        builder.push(b"REQUEST_METHOD", b"GET");
        builder.push(b"QUERY_STRING", b"");
        let pairs: Vec<_> = builder.environ().collect();
        assert_eq!(pairs, [(&b"REQUEST_METHOD"[..], &b"GET"[..]), (b"QUERY_STRING", b"")]);
    }

    #[test]
    fn only_a_path_with_200_names_a_page_of_this_server() {
        let location = |status: &str, values: &[&'static str]| {
            let headers = values.iter().map(|value| (&b"location"[..], value.as_bytes()));
            local_location(status.as_bytes(), headers).map(|path| String::from_utf8_lossy(path).into_owned())
        };
        assert_eq!(location("200 OK", &["/a?b"]).as_deref(), Some("/a?b"));
        assert_eq!(location("200", &["x", " /a"]).as_deref(), Some("/a"));
        for (status, values) in [
            ("200 OK", &[][..]),
            ("200 OK", &["/a", "x"]),
            ("200 OK", &["http://localhost/a"]),
            ("200 OK", &["/a\r\nb"]),
            ("201 Created", &["/a"]),
            ("302 Found", &["/a"]),
        ] {
            assert_eq!(location(status, values), None, "{status} {values:?}");
        }
    }

    #[test]
    fn a_cut_environ_ends_early() {
        let mut builder = EnvironBuilder::default();
        builder.push(b"NAME", b"value");
        let bytes = builder.environ().0;
        assert_eq!(Environ(&bytes[..bytes.len() - 1]).next(), None);
    }
}
