//! Data of the application's answer on its way out: from its iterable, or `write()`, to the reply.
//!
//! Runs on the thread that serves the request, called by `run` and by the `write` that `start_response`
//! returns. What can be sent without waiting is; where sending has to wait, it does so detached from Python.

use super::call::Call;
use crate::log::{Code, Message};
use crate::python::error::{Exc, raise};
use crate::python::object::Result;
use crate::python::{Attached, Object, Raised};
use crate::request::Request;
use std::sync::atomic::Ordering;

/// Data from this size on is sent from where it lies, detached, instead of being copied.
const LARGE: usize = 32 * 1024;

/// Why a request has no complete answer.
pub enum Incomplete {
    /// Python raised; not logged yet.
    Raised(Raised),
    /// Logged already; the status is for a client that has not got a head yet.
    Logged(u16),
    /// The client is gone: the answer has no receiver.
    Disconnected,
}

impl From<Raised> for Incomplete {
    fn from(raised: Raised) -> Incomplete {
        Incomplete::Raised(raised)
    }
}

/// For `write()`: the data is on its way when this returns.
pub fn send(py: Attached<'_>, call: &Call, data: &Object) -> Result<()> {
    let sent = queue(py, call, data).and_then(|()| push(py, call));
    sent.map_err(|failed| match failed {
        Incomplete::Raised(raised) => raised,
        Incomplete::Logged(_) | Incomplete::Disconnected => {
            call.disconnected.store(true, Ordering::Relaxed);
            raise(py, Exc::Os, "the client has gone; the response cannot be written")
        }
    })
}

/// Queues a piece of the body, after the head if this is the first; large pieces are sent at once.
pub fn queue(py: Attached<'_>, call: &Call, data: &Object) -> std::result::Result<(), Incomplete> {
    if !data.is_bytes(py) {
        let text = format!("the response must consist of bytes objects, got {}", data.class_name(py));
        return Err(raise(py, Exc::Type, &text).into());
    }
    let bytes = data.as_bytes(py)?;
    let without_chunks = call.response.lock().without_chunks(bytes);
    match without_chunks {
        None => queue_bytes(py, call, bytes),
        Some(Ok(bytes)) => queue_bytes(py, call, &bytes),
        Some(Err(text)) => Err(raise(py, Exc::Value, text).into()),
    }
}

fn queue_bytes(py: Attached<'_>, call: &Call, bytes: &[u8]) -> std::result::Result<(), Incomplete> {
    if bytes.is_empty() {
        return Ok(());
    }
    let piece = call.response.lock().piece(bytes.len());
    let Some(piece) = piece else {
        return Err(raise(py, Exc::Assertion, "data was returned before start_response() was called").into());
    };
    if piece.excess {
        let text = "the application returned more data than its Content-Length says; the rest is left out";
        call.transaction.log_message(py, &Message::new(Code::AnswerTooLong, text));
    }
    let bytes = &bytes[..piece.length];
    let record = call.transaction.record();
    let _writing = record.map(|record| record.tally.writing(1, bytes.len() as u64));
    let queued = call.transaction.with(py, |reply| {
        if let Some(head) = piece.head {
            reply.head(head);
        }
        if bytes.len() < LARGE {
            reply.data(bytes);
        }
    });
    if queued.is_none() {
        return Err(raise(py, Exc::Runtime, "write() was called after its request had ended").into());
    }
    if bytes.len() >= LARGE {
        let flushed = call.transaction.with_detached(py, |reply| reply.flush(bytes));
        return flushed.unwrap_or(Ok(())).map_err(|_| Incomplete::Disconnected);
    }
    Ok(())
}

pub fn push(py: Attached<'_>, call: &Call) -> std::result::Result<(), Incomplete> {
    let _writing = call.transaction.record().map(|record| record.tally.writing(0, 0));
    call.transaction.push(py).map_err(|_| Incomplete::Disconnected)
}

/// After the last item: the head, if no data carried it, and whether the body is as long as announced.
pub fn finish(py: Attached<'_>, call: &Call, request: &Request<'_>) -> std::result::Result<(), Incomplete> {
    let kept_back = call.response.lock().kept_back();
    let kept_back = kept_back.map_err(|text| raise(py, Exc::Value, text))?;
    queue_bytes(py, call, &kept_back)?;
    let (started, head, missing) = {
        let mut response = call.response.lock();
        (response.started(), response.take_head(), response.missing())
    };
    if !started {
        return Err(raise(py, Exc::Assertion, "the application did not call start_response()").into());
    }
    if let Some((missing, announced)) = missing {
        let text = format!(
            "the application '{}' announced Content-Length {announced} and returned {missing} bytes less; \
             the connection is closed so that the client can tell",
            String::from_utf8_lossy(request.script)
        );
        call.transaction.log_message(py, &Message::new(Code::AnswerTooShort, text));
        return Err(Incomplete::Logged(500));
    }
    if let Some(head) = head {
        call.transaction.with(py, |reply| reply.head(head));
    }
    Ok(())
}
