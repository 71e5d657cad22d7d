//! When a request's events happen: before its application is called, when that raises, and at the end.
//!
//! Runs where applications run, called by `run`; `start_response` tells of the answer's start. A request that
//! is not watched passes through.

use super::call::Call;
use crate::interpreter::transaction::{Transaction, with_current};
use crate::interpreter::world::World;
use crate::python::object::Result;
use crate::python::{Attached, Exception, Object};
use crate::request::{Outcome, Request};
use std::sync::Arc;

/// What is to be called: the application, or what a subscriber has put in its place.
pub fn begin(
    py: Attached<'_>,
    world: &World,
    transaction: &Transaction,
    application: Object,
    environ: &Object,
    request: &Request<'_>,
    thread_id: u32,
) -> Result {
    if !world.events.watch(py)? {
        return Ok(application);
    }
    let callable = world.name(py, request.callable)?;
    let about = [environ.clone_ref(py), application, callable, transaction.data(py)?];
    let (application, record) = world.events.begin(py, about, thread_id)?;
    transaction.watch(record);
    Ok(application)
}

/// The application has let an exception go.
pub fn exception(py: Attached<'_>, transaction: &Arc<Transaction>, exception: &Exception) -> Result<()> {
    let Some(record) = transaction.record() else { return Ok(()) };
    with_current(transaction, || record.exception(py, exception))
}

/// Before the end goes out: subscribers may take their time, and the data is on its way by then.
pub fn finish(py: Attached<'_>, call: &Call, outcome: Outcome) -> Result<()> {
    let Some(record) = call.transaction.record() else { return Ok(()) };
    let pushed = record.tally.writing(0, 0);
    // A client that is gone is noticed where the end is sent.
    let _ = call.transaction.push(py);
    drop(pushed);
    let failed = match outcome {
        Outcome::Failed(status) if !call.response.lock().head_sent() => Some(status),
        Outcome::Failed(_) | Outcome::Complete => None,
    };
    with_current(&call.transaction, || record.finish(py, failed))
}
