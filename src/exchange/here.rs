//! Embedded mode: a request whose application runs in this very process.
//!
//! Runs in httpd children. `LocalBody` and `LocalReply` are the two directions as `wsgi::run` sees them, on
//! top of the same `Answer` that passes a daemon's frames on.

use super::answer::{Answer, Cut, GATHERED};
use super::body::ClientBody;
use super::stock::Stock;
use super::told::tell;
use crate::apache::RequestRec;
use crate::apache::module::Flow;
use crate::apache::turns::Turns;
use crate::config::process_group::ResponseOptions;
use crate::config::settings::Settings;
use crate::embedded::Embedded;
use crate::interpreter::interpreters::status_without;
use crate::log::{Level, Message};
use crate::os;
use crate::question::Verdict;
use crate::request::{Body, BodyError, FilePart, Head, Outcome, Pushed, Reply, Request, Run, Span, now};
use std::io;

/// Runs the application here and gives its answer to the client. `stock` is what was gathered of its body.
pub fn run(
    request: &RequestRec<'_>,
    stock: Stock,
    python: &'static Embedded,
    wsgi: &Request<'_>,
    settings: &Settings,
) -> Flow {
    let (options, length) = (ResponseOptions::default(), wsgi.body);
    let answer = Turns::new(request, |request| {
        Answer::new(request, ClientBody::new(request, length, stock), settings, &options)
    });
    let mut body = LocalBody { answer: &answer, ready: Vec::new(), wanted: 0, ended: false };
    let may_wait =
        python.has_threads() && request.client_descriptor().is_some() && request.only_known_filters();
    let mut reply = LocalReply { answer: &answer, said: Said::default(), cut: None, may_wait };
    let begun = now();
    let ran = python.run(wsgi, &mut body, &mut reply);
    let span = Span { begun, ended: now() };
    let LocalReply { said, cut, .. } = reply;
    let answer = answer.into_inner();
    match ran {
        Ok(()) => {
            let run = Run { pid: std::process::id(), queue: 0, connect: 0, application: span.microseconds() };
            tell(answer.request(), "", wsgi, run);
            said.conclude(answer, cut)
        }
        Err(message) => {
            answer.log_message(&message);
            Flow::Status(status_without(&message))
        }
    }
}

/// Asks a script here. None where it gave no verdict, for a reason that is in the log.
pub fn ask(
    request: &RequestRec<'_>,
    python: &'static Embedded,
    question: &Request<'_>,
) -> Result<Option<Verdict>, Message> {
    let (settings, options, length) = (Settings::default(), ResponseOptions::default(), question.body);
    let answer = Turns::new(request, |request| {
        Answer::new(request, ClientBody::new(request, length, Stock::default()), &settings, &options)
    });
    let mut body = LocalBody { answer: &answer, ready: Vec::new(), wanted: 0, ended: true };
    let mut reply = LocalReply { answer: &answer, said: Said::default(), cut: None, may_wait: false };
    python.run(question, &mut body, &mut reply)?;
    let LocalReply { said, .. } = reply;
    let answer = answer.into_inner();
    for (level, line) in said.lines {
        answer.log(level, &line);
    }
    Ok(said.verdict.filter(|_| said.outcome == Outcome::Complete))
}

/// The client's body.
struct LocalBody<'t, 'a, 'r> {
    answer: &'t Turns<Answer<'a, 'r>>,
    /// Read from httpd, not yet by the application.
    ready: Vec<u8>,
    /// How much the application asked for when there was nothing.
    wanted: usize,
    ended: bool,
}

impl Body for LocalBody<'_, '_, '_> {
    fn read_ready(&mut self, most: usize, into: &mut Vec<u8>) -> Option<usize> {
        if self.ready.is_empty() && !self.ended {
            self.wanted = most;
            return None;
        }
        let count = most.min(self.ready.len());
        into.extend(self.ready.drain(..count));
        Some(count)
    }

    fn receive(&mut self) -> Result<(), BodyError> {
        let wanted = self.wanted;
        let read = self.answer.with(|answer| answer.body(wanted));
        self.ready = read.map_err(|_cut| BodyError {
            status: 0,
            reason: "the client closed the connection".to_string(),
        })??;
        self.ended = self.ready.is_empty();
        Ok(())
    }
}

/// The answer.
struct LocalReply<'t, 'a, 'r> {
    answer: &'t Turns<Answer<'a, 'r>>,
    said: Said,
    /// Nothing more can be passed on.
    cut: Option<Cut>,
    /// Little data waits for more (`interpreter::sent_later`). Not in a stream of HTTP/2, of which nothing
    /// tells whether it takes data, not where a filter may wait or run Python itself, and not in a child of
    /// one thread, which a signal ends in the middle of a request.
    may_wait: bool,
}

/// What an application has said while it was attached to Python; it waits here until the thread is detached.
struct Said {
    head: Option<Head>,
    verdict: Option<Verdict>,
    data: Vec<u8>,
    lines: Vec<(Level, Vec<u8>)>,
    outcome: Outcome,
}

impl Default for Said {
    fn default() -> Said {
        Said { head: None, verdict: None, data: Vec::new(), lines: Vec::new(), outcome: Outcome::Failed(500) }
    }
}

impl Said {
    /// The end: everything that was said, and how it ended.
    fn conclude(mut self, mut answer: Answer<'_, '_>, cut: Option<Cut>) -> Flow {
        let passed = self.pass(&mut answer);
        match cut.or(passed.err()) {
            Some(cut) => answer.conclude_cut(cut),
            None => answer.conclude(self.outcome),
        }
    }

    /// Hands over what waits here.
    fn pass(&mut self, answer: &mut Answer<'_, '_>) -> Result<(), Cut> {
        for (level, line) in self.lines.drain(..) {
            answer.log(level, &line);
        }
        if let Some(head) = self.head.take() {
            answer.head(&head.status, head.pairs());
        }
        if !self.data.is_empty() {
            let passed = answer.data(&self.data);
            self.data.clear();
            passed?;
        }
        Ok(())
    }
}

impl<'a, 'r> LocalReply<'_, 'a, 'r> {
    /// Hands over what waits and then does more; after a failure it tries nothing any more.
    fn passing(
        &mut self,
        more: impl FnOnce(&mut Answer<'a, 'r>) -> Result<(), Cut> + Send,
    ) -> io::Result<()> {
        if self.cut.is_none() {
            let said = &mut self.said;
            let passed = self.answer.with(|answer| said.pass(answer).and_then(|()| more(answer)));
            self.cut = passed.err();
        }
        if self.cut.is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl Reply for LocalReply<'_, '_, '_> {
    fn head(&mut self, head: Head) {
        self.said.head = Some(head);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.said.data.extend_from_slice(bytes);
    }

    fn file(&mut self, part: &FilePart) -> io::Result<()> {
        let file = os::duplicate(part.descriptor)?;
        self.passing(|answer| answer.file(file, part.offset, part.length))
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.said.verdict = Some(verdict.clone());
    }

    fn log(&mut self, level: Level, line: &[u8]) {
        if self.answer.try_with(|answer| answer.log(level, line)).is_none() {
            self.said.lines.push((level, line.to_vec()));
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.said.outcome = outcome;
    }

    fn ask(&mut self, _most: usize) -> io::Result<()> {
        self.passing(|_| Ok(()))
    }

    fn push(&mut self) -> io::Result<Pushed> {
        Ok(match (self.said.head.is_none() && self.said.data.is_empty(), self.cut) {
            (true, _) => Pushed::All,
            (false, None) if self.may_wait && self.said.data.len() < GATHERED => Pushed::Later,
            (false, _) => Pushed::Part,
        })
    }

    fn send_what_waits(&mut self) -> bool {
        if self.cut.is_some() {
            return true;
        }
        let said = &mut self.said;
        let sent = self.answer.try_with(|answer| {
            let takes = answer.request().client_takes(said.data.len() + answer.gathered());
            takes.then(|| said.pass(answer).and_then(|()| answer.flush()))
        });
        match sent.flatten() {
            Some(passed) => self.cut = self.cut.or(passed.err()),
            None => return false,
        }
        true
    }

    fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.passing(|answer| {
            if !bytes.is_empty() {
                answer.data(bytes)?;
            }
            answer.flush()
        })
    }

    /// A thread that waits for the client ends with httpd's `Timeout` at the latest.
    fn hang_up(&mut self) {}
}
