//! An answer on its way to the client: head, data and files to httpd's output filters, lines to its log, and
//! the client's body when the application asks for it.
//!
//! Runs in httpd children. `exchange::relay` drives it with a daemon's frames; `exchange::here` drives it
//! with the answer of an application in this very process.

use super::body::ClientBody;
use crate::apache::brigade::{Aborted, OutputFilters};
use crate::apache::log;
use crate::apache::module::Flow;
use crate::apache::request::{RequestRec, Table};
use crate::config::process_group::ResponseOptions;
use crate::config::settings::Settings;
use crate::log::{Code, Level, Message};
use crate::request::{BodyError, Outcome, local_location};
use crate::wire::frame::LARGEST_PIECE;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Small pieces of the answer are gathered up to this size.
pub const GATHERED: usize = 16 * 1024;

/// An answer on its way.
pub struct Answer<'a, 'r> {
    request: &'a RequestRec<'r>,
    output: OutputFilters<'a, 'r>,
    input: ClientBody<'a, 'r>,
    /// `WSGIErrorOverride`.
    error_override: bool,
    /// The status of an answer that httpd's own replaces.
    overridden: Option<u16>,
    /// The page of this server that is the answer in place of what the application says.
    page: Option<Page>,
    /// `WSGIEnableSendfile`.
    sendfile: bool,
    /// Data that waits for more, or for the end.
    gathered: Vec<u8>,
    /// The most of it where the client asks for ranges.
    most_for_ranges: usize,
    /// Of an answer with Content-Length: how many bytes of data have not come yet.
    missing: Option<u64>,
    /// The file that was sent last, and where its part ends.
    sent_file: Option<(File, u64)>,
    /// There was data, so the head cannot be taken back.
    begun: bool,
    /// With the output filters, but not flushed to the client.
    waiting: bool,
    /// When data that is not flushed was first seen.
    waiting_since: Option<Instant>,
    /// The end was passed on: all data had come.
    ended: bool,
    /// An answer that has no body, whatever data comes: not every httpd keeps it back, and the client would
    /// take it for the next answer.
    bodyless: bool,
}

/// Where an application has httpd answer from (`Location` with status 200).
struct Page {
    location: Vec<u8>,
    /// For a page of which httpd does not know it.
    content_type: Option<Vec<u8>>,
}

/// What ends an answer early, on httpd's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Client,
    /// The client did not read for too long.
    Silence,
    /// An output filter failed.
    Filter,
    /// An output filter gave the client an error of this status.
    Answered(u16),
}

impl From<Aborted> for Cut {
    fn from(aborted: Aborted) -> Cut {
        match aborted {
            Aborted::ByClient => Cut::Client,
            Aborted::OutOfTime => Cut::Silence,
            Aborted::ByFilter => Cut::Filter,
            Aborted::Answered(status) => Cut::Answered(status),
        }
    }
}

impl<'a, 'r> Answer<'a, 'r> {
    pub fn new(
        request: &'a RequestRec<'r>,
        input: ClientBody<'a, 'r>,
        settings: &Settings,
        options: &ResponseOptions,
    ) -> Self {
        Answer {
            request,
            output: OutputFilters::new(request, options.socket_timeout),
            input,
            error_override: settings.error_override(),
            overridden: None,
            page: None,
            sendfile: settings.enable_sendfile(),
            gathered: Vec::new(),
            most_for_ranges: options.buffer_size,
            missing: None,
            sent_file: None,
            begun: false,
            waiting: false,
            waiting_since: None,
            ended: false,
            bodyless: false,
        }
    }

    /// The end of the answer, as the application's side sees it.
    pub fn conclude(mut self, outcome: Outcome) -> Flow {
        match (outcome, self.overridden, self.page.take()) {
            (Outcome::Complete, _, Some(page)) => self.answer_with(&page),
            (Outcome::Complete, Some(status), None) => Flow::Status(status),
            (Outcome::Complete, None, None) => {
                self.finish();
                Flow::Done
            }
            (Outcome::Failed(status), ..) => self.give_up(status),
        }
    }

    /// The page is a request of its own without a body: the rest of the client's body must not become the
    /// client's next request.
    fn answer_with(mut self, page: &Page) -> Flow {
        if self.request.expects_continue() {
            // It is not asked for any more.
            self.request.close_connection();
        } else if !self.request.is_part_of_another()
            && let Err(error) = self.input.discard()
        {
            self.log_body_error(&error);
            return Flow::Status(if error.status == 0 { 400 } else { error.status });
        }
        self.request.redirect_inside(&page.location, page.content_type.as_deref());
        Flow::Done
    }

    /// The end of an answer that cannot be passed on.
    pub fn conclude_cut(self, cut: Cut) -> Flow {
        match cut {
            // httpd takes a file that ends early for a connection that broke.
            Cut::Client if self.check_file() => {}
            Cut::Client => {
                let text = "the client closed the connection before it had the whole answer";
                self.log_message(&Message::new(Code::ClientGone, text));
            }
            Cut::Silence => {
                let text = "the client did not read for longer than response-socket-timeout of WSGIDaemonProcess, or \
                            httpd's Timeout, allows; the rest of the answer is dropped";
                self.log_message(&Message::new(Code::ClientSilent, text));
            }
            Cut::Filter => self.filter_failed(),
            Cut::Answered(status) => self.filter_answered(status),
        }
        Flow::Done
    }

    pub fn request(&self) -> &'a RequestRec<'r> {
        self.request
    }

    pub fn log(&self, level: Level, line: &[u8]) {
        log::request(self.request, level, line);
    }

    pub fn log_message(&self, message: &Message) {
        log::request_message(self.request, message);
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
        match passed {
            Err(Aborted::ByFilter) => self.filter_failed(),
            Err(Aborted::Answered(status)) => self.filter_answered(status),
            _ => {}
        }
        self.check_file();
    }

    /// Of an answer whose end was passed on nothing can be taken back but the connection.
    fn filter_failed(&self) {
        let text = "an output filter of httpd failed; the answer is cut so that the client can tell";
        self.log_message(&Message::new(Code::FilterFailed, text));
        if self.ended {
            self.request.close_connection();
        } else {
            self.output.cut();
        }
    }

    /// The client has a whole answer, if another than the application's.
    fn filter_answered(&self, status: u16) {
        let text = format!(
            "an output filter of httpd (such as mod_xsendfile's, for a file that is not there or not allowed) has \
             answered with {status} in place of the application, which sent another status; its module's line before \
             says why"
        );
        self.log_message(&Message::new(Code::FilterAnswered, text));
    }

    /// Answers with an error, or cuts the answer that has begun so that the client can tell.
    pub fn give_up(&mut self, status: u16) -> Flow {
        if !self.begun {
            return Flow::Status(status);
        }
        if self.ended {
            return Flow::Done;
        }
        // What a filter still held would be lost with the cut, and with all of it httpd would answer 502.
        if self.output.data(&[&self.gathered], true).is_ok() {
            self.output.cut();
        }
        Flow::Done
    }

    /// Status line and headers.
    pub fn head<'h>(&mut self, status: &[u8], headers: impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone) {
        if let Some(location) = local_location(status, headers.clone()).filter(|_| !self.begun) {
            let mut types = headers.filter(|(name, _)| name.eq_ignore_ascii_case(b"Content-Type"));
            let content_type = types.next().map(|(_, value)| value.to_vec());
            self.page = Some(Page { location: location.to_vec(), content_type });
            return;
        }
        let number = status_number(status);
        if self.error_override && number >= 400 {
            self.overridden = Some(number);
            self.headers_for_error(headers);
            return;
        }
        self.bodyless = matches!(number, 204 | 304);
        self.request.set_status(number, status);
        self.request.forget_content_headers();
        for (name, value) in headers {
            self.header(name, value);
        }
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"Content-Type") {
            self.request.set_content_type(value);
            return;
        }
        if name.eq_ignore_ascii_case(b"Content-Length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            if let Some(length) = length {
                self.missing = u64::try_from(length).ok();
                self.request.set_content_length(length);
                return;
            }
        }
        self.request.add(Table::HeadersOut, name, value);
    }

    /// What of an overridden answer's headers is not about the body that httpd replaces.
    fn headers_for_error<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
        for (name, value) in headers {
            if !name.to_ascii_lowercase().starts_with(b"content-") {
                self.request.add(Table::ErrHeadersOut, name, value);
            }
        }
    }

    pub fn data(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        if self.is_replaced() {
            return Ok(());
        }
        self.begun = true;
        self.account(bytes.len() as u64);
        if self.is_of_no_use() {
            return Ok(());
        }
        // httpd gives ranges of an answer only if it sees the whole of it at once.
        let ranged = self.missing.is_some() && self.request.get(Table::HeadersIn, c"Range").is_some();
        let most = if ranged { self.most_for_ranges } else { GATHERED };
        if self.gathered.len() + bytes.len() <= most {
            self.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.waiting = true;
        self.output.data(&[&self.gathered, bytes], false)?;
        self.gathered.clear();
        Ok(())
    }

    /// Whether the client gets another body in place of the application's data.
    fn is_replaced(&self) -> bool {
        self.overridden.is_some() || self.page.is_some()
    }

    /// Data for HEAD: httpd would take the length of what it sees for the one that GET has.
    fn is_of_no_use(&self) -> bool {
        self.bodyless
            || self.missing.is_some() && self.request.is_head() && !self.request.has_content_filter()
    }

    fn account(&mut self, length: u64) {
        self.missing = self.missing.map(|missing| missing.saturating_sub(length));
    }

    /// A file waits in the brigade for what comes next, as a rule the end of the answer.
    pub fn file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<(), Cut> {
        if self.is_replaced() {
            return Ok(());
        }
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
            self.log_message(&Message::new(Code::FileShortened, text));
            self.request.close_connection();
        }
        shortened
    }

    /// How much waits for more, or for the end.
    pub fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// Whether there is something to flush.
    pub fn is_waiting(&self) -> bool {
        (self.waiting || !self.gathered.is_empty()) && !self.ended
    }

    /// When that goes to the client, `delay` after this was first asked. Where all data is there, at once.
    pub fn flush_time(&mut self, delay: Duration) -> Instant {
        let now = Instant::now();
        if self.missing == Some(0) { now } else { *self.waiting_since.get_or_insert(now) + delay }
    }

    /// The application pauses: the data so far goes to the client. An answer that has all its data
    /// ends here: the client need not wait for the application to close it.
    pub fn flush(&mut self) -> Result<(), Cut> {
        if !self.is_waiting() {
            return Ok(());
        }
        self.waiting = false;
        self.waiting_since = None;
        if self.missing == Some(0) {
            self.ended = true;
            self.output.end_at_once(&[&self.gathered])?;
        } else {
            self.output.data(&[&self.gathered], true)?;
        }
        self.gathered.clear();
        Ok(())
    }

    /// The next part of the client's body, `most` bytes at most; empty at its end.
    pub fn body(&mut self, most: usize) -> Result<Result<Vec<u8>, BodyError>, Cut> {
        let (mut piece, most) = (Vec::new(), most.min(LARGEST_PIECE));
        let ready = self.input.read_ready(most, &mut piece);
        if piece.is_empty() {
            // The client may wait for what the application has said so far.
            self.flush()?;
        }
        let read = match ready {
            Ok(()) if piece.is_empty() => self.input.read(most, &mut piece).map(drop),
            other => other,
        };
        Ok(read.inspect_err(|error| self.log_body_error(error)).map(|()| piece))
    }

    /// The client's body, to be taken as it comes while the child waits for a daemon.
    pub fn incoming(&mut self) -> &mut ClientBody<'a, 'r> {
        &mut self.input
    }

    fn log_body_error(&self, error: &BodyError) {
        let message =
            Message::new(Code::BodyBrokenOff, format!("the request's body could not be read on: {error}"));
        self.log_message(&message);
    }
}

/// Of a status line, which `wsgi::response` has checked.
fn status_number(line: &[u8]) -> u16 {
    line.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(500)
}
