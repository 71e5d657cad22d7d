//! An answer on its way: the loop that reads a daemon's frames while the application runs.
//!
//! Runs in httpd children, called by `exchange::run`. It sets the head, passes data and files to the
//! output filters, logs lines, and reads the client's body when the application asks for it.

use super::describe;
use crate::apache::brigade::{Aborted, Input, Output};
use crate::apache::log;
use crate::apache::module::Flow;
use crate::apache::request::{Request, Table};
use crate::config::settings::Settings;
use crate::daemon::client::{Conversation, Trouble};
use crate::log::{Level, Message};
use crate::request::{BodyError, Outcome};
use crate::wire::codec::Malformed;
use crate::wire::frame::Kind;
use crate::wire::request as payload;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// The most that is read of the body for one Want.
const LARGEST_PIECE: usize = 256 * 1024;

/// Small pieces of the answer are gathered up to this size.
const GATHERED: usize = 16 * 1024;

/// And up to this one where the client asks for ranges.
const GATHERED_FOR_RANGES: usize = 8 * 1024 * 1024;

/// An answer on its way.
pub struct Answer<'a, 'r> {
    request: &'a Request<'r>,
    output: Output<'a, 'r>,
    input: Input<'a, 'r>,
    error_override: bool,
    /// `WSGIEnableSendfile`.
    sendfile: bool,
    /// Data that waits for more, or for the end.
    gathered: Vec<u8>,
    /// Of an answer with Content-Length: the data that has not come yet.
    missing: Option<u64>,
    /// The file that was sent last, and where its part ends.
    sent_file: Option<(File, u64)>,
    /// There was data, so the head cannot be taken back.
    begun: bool,
    /// With the output filters, but not flushed to the client.
    waiting: bool,
    /// The end was passed on: all data had come.
    ended: bool,
}

/// What ends the loop early.
enum Cut {
    Client,
    /// An output filter failed.
    Filter,
    Daemon(Trouble),
}

impl From<Trouble> for Cut {
    fn from(trouble: Trouble) -> Cut {
        Cut::Daemon(trouble)
    }
}

impl From<Aborted> for Cut {
    fn from(aborted: Aborted) -> Cut {
        match aborted {
            Aborted::ByClient => Cut::Client,
            Aborted::ByFilter => Cut::Filter,
        }
    }
}

impl From<Malformed> for Cut {
    fn from(_: Malformed) -> Cut {
        Cut::Daemon(Trouble::Died)
    }
}

impl<'a, 'r> Answer<'a, 'r> {
    pub fn new(request: &'a Request<'r>, input: Input<'a, 'r>, settings: &Settings) -> Self {
        Answer {
            request,
            output: Output::new(request),
            input,
            error_override: settings.error_override(),
            sendfile: settings.enable_sendfile(),
            gathered: Vec::new(),
            missing: None,
            sent_file: None,
            begun: false,
            waiting: false,
            ended: false,
        }
    }

    /// Passes the whole answer on; the connection to the daemon is kept if it can be used again.
    pub fn relay(mut self, mut conversation: Conversation<'_>) -> Flow {
        let group = conversation.group().to_string();
        match self.frames(&mut conversation) {
            Ok((Outcome::Complete, overridden)) => {
                conversation.finish();
                if let Some(status) = overridden {
                    return Flow::Status(status);
                }
                self.finish();
                Flow::Done
            }
            Ok((Outcome::Failed(status), _)) => {
                conversation.finish();
                self.give_up(status)
            }
            // httpd takes a file that ends early for a connection that broke.
            Err(Cut::Client) if self.check_file() => Flow::Done,
            Err(Cut::Client) => {
                let text = "the client closed the connection before it had the whole answer";
                log::request(self.request, Level::Info, Message::new(221, text).to_string().as_bytes());
                Flow::Done
            }
            Err(Cut::Filter) => {
                self.filter_failed();
                Flow::Done
            }
            Err(Cut::Daemon(trouble)) => {
                let (status, message) = describe(&trouble, &group);
                log::request(self.request, Level::Error, message.to_string().as_bytes());
                self.give_up(status)
            }
        }
    }

    /// The end of a complete answer. One whose length the application did not say goes out chunked
    /// however its pieces arrived: httpd would say Content-Length if it saw the data with its end.
    fn finish(&mut self) {
        if self.ended {
            self.check_file();
            return;
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.ended = true;
        let passed = if self.missing.is_some() || gathered.is_empty() {
            self.output.end(&[&gathered])
        } else {
            self.output.data(&[&gathered], false).and_then(|()| self.output.end(&[]))
        };
        // Whether the client still took the end is its own affair.
        if passed == Err(Aborted::ByFilter) {
            self.filter_failed();
        }
        self.check_file();
    }

    /// Of an answer whose end was passed on nothing can be taken back but the connection.
    fn filter_failed(&self) {
        let text = "an output filter of httpd failed; the answer is cut so that the client can tell";
        log::request(self.request, Level::Error, Message::new(223, text).to_string().as_bytes());
        if self.ended {
            self.request.close_connection();
        } else {
            self.output.cut();
        }
    }

    /// Answers with an error, or cuts the answer that has begun so that the client can tell.
    fn give_up(&mut self, status: u16) -> Flow {
        if !self.begun {
            return Flow::Status(status);
        }
        if self.ended {
            return Flow::Done;
        }
        if self.output.data(&[&self.gathered], false).is_ok() {
            self.output.cut();
        }
        Flow::Done
    }

    /// Reads frames to the last one. The second value is the status of an answer that
    /// `WSGIErrorOverride` replaces by httpd's own.
    fn frames(&mut self, conversation: &mut Conversation<'_>) -> Result<(Outcome, Option<u16>), Cut> {
        let mut overridden = None;
        loop {
            if !conversation.is_ready() {
                self.flush()?;
            }
            let (kind, bytes) = conversation.frame()?;
            match kind {
                Kind::Log => {
                    let (level, line) = payload::decode_log(bytes)?;
                    log::request(self.request, level, line);
                }
                Kind::Head => {
                    let (status_line, headers) = payload::decode_head(bytes)?;
                    let status = status_number(status_line).ok_or(Malformed)?;
                    if self.error_override && status >= 400 {
                        overridden = Some(status);
                        self.headers_for_error(&headers);
                    } else {
                        self.head(status, status_line, &headers);
                    }
                }
                Kind::File => {
                    let (offset, length) = payload::decode_file(bytes)?;
                    let file = conversation.file()?;
                    if overridden.is_none() {
                        self.file(file, offset, length)?;
                    }
                }
                Kind::Data if overridden.is_some() => {}
                Kind::Data => self.data(bytes)?,
                Kind::Want => {
                    let most = bytes.try_into().map(u32::from_le_bytes).map_err(|_| Malformed)?;
                    self.body(conversation, most as usize)?;
                }
                Kind::End => return Ok((payload::decode_outcome(bytes)?, overridden)),
                _ => return Err(Malformed.into()),
            }
        }
    }

    fn head(&mut self, status: u16, line: &[u8], headers: &[(&[u8], &[u8])]) {
        self.request.set_status(status, line);
        self.request.forget_content_headers();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(b"Content-Type") {
                self.request.set_content_type(value);
                continue;
            }
            if name.eq_ignore_ascii_case(b"Content-Length") {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                if let Some(length) = length {
                    self.missing = u64::try_from(length).ok();
                    self.request.set_content_length(length);
                    continue;
                }
            }
            self.request.add(Table::HeadersOut, name, value);
        }
    }

    /// What of an overridden answer's headers is not about the body that httpd replaces.
    fn headers_for_error(&self, headers: &[(&[u8], &[u8])]) {
        for (name, value) in headers {
            if !name.to_ascii_lowercase().starts_with(b"content-") {
                self.request.add(Table::ErrHeadersOut, name, value);
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.begun = true;
        self.account(bytes.len() as u64);
        if self.is_of_no_use() {
            return Ok(());
        }
        // httpd gives ranges of an answer only if it sees the whole of it at once.
        let ranged = self.missing.is_some() && self.request.get(Table::HeadersIn, c"Range").is_some();
        let most = if ranged { GATHERED_FOR_RANGES } else { GATHERED };
        if self.gathered.len() + bytes.len() <= most {
            self.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.waiting = true;
        self.output.data(&[&self.gathered, bytes], false)?;
        self.gathered.clear();
        Ok(())
    }

    /// Data for HEAD: httpd would take the length of what it sees for the one that GET has.
    fn is_of_no_use(&self) -> bool {
        self.missing.is_some() && self.request.is_head() && !self.request.has_content_filter()
    }

    fn account(&mut self, length: u64) {
        self.missing = self.missing.map(|missing| missing.saturating_sub(length));
    }

    /// A file waits in the brigade for what comes next, as a rule the end of the answer.
    fn file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<(), Cut> {
        self.account(length);
        if self.is_of_no_use() {
            return Ok(());
        }
        if !self.gathered.is_empty() {
            self.output.data(&[&self.gathered], false)?;
            self.gathered.clear();
        }
        self.begun = true;
        self.waiting = true;
        self.output.file(file.as_fd(), offset, length, self.sendfile)?;
        self.sent_file = Some((file.into(), offset + length));
        Ok(())
    }

    /// Not every filter minds that a file ends early: mod_ssl's takes it for the end of the data.
    /// True if it did.
    fn check_file(&self) -> bool {
        let Some((file, end)) = &self.sent_file else { return false };
        let shortened = file.metadata().is_ok_and(|metadata| metadata.len() < *end);
        if shortened {
            let text = "a file was shortened while it was sent; the connection is closed so that the client can tell";
            log::request(self.request, Level::Error, Message::new(224, text).to_string().as_bytes());
            self.request.close_connection();
        }
        shortened
    }

    /// The application pauses: what is there goes to the client. An answer that has all its data
    /// ends here: the client need not wait for the application to close it.
    fn flush(&mut self) -> Result<(), Cut> {
        if (self.gathered.is_empty() && !self.waiting) || self.ended {
            return Ok(());
        }
        self.waiting = false;
        if self.missing == Some(0) {
            self.ended = true;
            self.output.end_at_once(&[&self.gathered])?;
        } else {
            self.output.data(&[&self.gathered], true)?;
        }
        self.gathered.clear();
        Ok(())
    }

    fn body(&mut self, conversation: &mut Conversation<'_>, most: usize) -> Result<(), Cut> {
        let (mut piece, most) = (Vec::new(), most.min(LARGEST_PIECE));
        let ready = self.input.read_ready(most, &mut piece);
        if piece.is_empty() {
            // The client may wait for what the application has said so far.
            self.flush()?;
        }
        let read = match ready {
            Ok(()) if piece.is_empty() => self.input.read(most, &mut piece),
            Ok(()) => Ok(piece.len()),
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => conversation.send_body_end()?,
            Ok(_) => conversation.send_body(&piece)?,
            Err(error) => {
                self.log_body_error(&error);
                conversation.send_body_error(&error)?;
            }
        }
        Ok(())
    }

    fn log_body_error(&self, error: &BodyError) {
        let message = Message::new(222, format!("the request's body could not be read on: {error}"));
        log::request(self.request, Level::Info, message.to_string().as_bytes());
    }
}

fn status_number(line: &[u8]) -> Option<u16> {
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}
