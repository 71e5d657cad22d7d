//! Embedded mode: a request whose application runs in this very process.
//!
//! Runs in httpd children. `Incoming` and `Outgoing` are the two directions as `wsgi::run` sees them, on top
//! of the same `Answer` that passes a daemon's frames on.

use super::answer::{Answer, Cut};
use super::body::ClientBody;
use super::stock::Stock;
use crate::apache::Request;
use crate::apache::lend::{Lent, lend};
use crate::apache::module::Flow;
use crate::config::process_group::ResponseOptions;
use crate::config::settings::Settings;
use crate::embedded::Embedded;
use crate::log::Level;
use crate::os;
use crate::request::{Body, BodyError, FilePart, Head, Outcome, Reply, Request as WsgiRequest};
use std::any::Any;
use std::io;

type Carrier = Lent<Answer<'static, 'static>>;

/// Runs the application here and gives its answer to the client. `stock` is what was gathered of its body.
pub fn run(
    request: &Request<'_>,
    stock: Stock,
    python: &'static Embedded,
    wsgi: &WsgiRequest<'_>,
    settings: &Settings,
) -> Flow {
    let options = ResponseOptions::default();
    let make = |request| {
        let body = ClientBody::new(request, wsgi.body, stock);
        Answer::new(request, body, settings, &options)
    };
    let work = |carrier: Carrier| {
        let body = Incoming { carrier: carrier.clone(), ready: Vec::new(), wanted: 0, ended: false };
        let reply = Outgoing::new(carrier);
        let reply: Box<dyn Reply> = python.run(wsgi, Box::new(body), Box::new(reply))?;
        Ok(reply.into_any().downcast::<Outgoing>().expect("the reply that was handed over comes back"))
    };
    lend(request, make, work, |answer, reply| match reply {
        Ok(reply) => reply.conclude(answer),
        Err(message) => {
            answer.log_message(&message);
            Flow::Status(500)
        }
    })
}

/// The client's body.
struct Incoming {
    carrier: Carrier,
    /// Read from httpd, not yet by the application.
    ready: Vec<u8>,
    /// How much the application asked for when there was nothing.
    wanted: usize,
    ended: bool,
}

impl Body for Incoming {
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
        let gone = |reason: &str| BodyError { status: 0, reason: reason.to_string() };
        let read =
            self.carrier.with(|answer| answer.body(wanted)).ok_or_else(|| gone("its request has ended"))?;
        self.ready = read.map_err(|_cut| gone("the client closed the connection"))??;
        self.ended = self.ready.is_empty();
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The answer. What an application says while it is attached to Python waits here until it is detached.
struct Outgoing {
    carrier: Carrier,
    head: Option<Head>,
    data: Vec<u8>,
    lines: Vec<(Level, Vec<u8>)>,
    outcome: Outcome,
    /// Nothing more can be passed on.
    cut: Option<Cut>,
}

impl Outgoing {
    fn new(carrier: Carrier) -> Outgoing {
        let (head, data, lines) = (None, Vec::new(), Vec::new());
        Outgoing { carrier, head, data, lines, outcome: Outcome::Failed(500), cut: None }
    }

    /// The end: everything that was said, and how it ended.
    fn conclude(mut self, mut answer: Answer<'static, 'static>) -> Flow {
        let passed = self.pass(&mut answer);
        match self.cut.or(passed.err()) {
            Some(cut) => answer.conclude_cut(cut),
            None => answer.conclude(self.outcome),
        }
    }

    /// Hands over what waits here.
    fn pass(&mut self, answer: &mut Answer<'static, 'static>) -> Result<(), Cut> {
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

    /// Hands over what waits here and then does more; after a failure it tries nothing any more.
    fn passing(
        &mut self,
        more: impl FnOnce(&mut Answer<'static, 'static>) -> Result<(), Cut>,
    ) -> io::Result<()> {
        if self.cut.is_none() {
            let carrier = self.carrier.clone();
            let passed = carrier.with(|answer| self.pass(answer).and_then(|()| more(answer)));
            self.cut = passed.unwrap_or(Err(Cut::Client)).err();
        }
        if self.cut.is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl Reply for Outgoing {
    fn head(&mut self, head: &Head) {
        self.head = Some(head.clone());
    }

    fn data(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    fn file(&mut self, part: &FilePart) -> io::Result<()> {
        let file = os::duplicate(part.descriptor)?;
        self.passing(|answer| answer.file(file, part.offset, part.length))
    }

    fn log(&mut self, level: Level, line: &[u8]) {
        if self.carrier.try_with(|answer| answer.log(level, line)).is_none() {
            self.lines.push((level, line.to_vec()));
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    fn ask(&mut self, _most: usize) -> io::Result<()> {
        self.passing(|_| Ok(()))
    }

    fn push(&mut self) -> io::Result<bool> {
        Ok(self.head.is_none() && self.data.is_empty())
    }

    fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.passing(|answer| {
            if !bytes.is_empty() {
                answer.data(bytes)?;
            }
            answer.flush()
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
