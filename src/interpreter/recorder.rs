//! The functions of the module `mod_wsgi` that are about requests: `request_data()`,
//! `start_recording_metrics()`, `request_metrics()` and `process_metrics()`.
//!
//! Runs where applications run; one instance in each interpreter, whose methods `support.py` puts into the
//! module.

use super::events::{Events, dictionary};
use super::metrics::{Fields, Metrics};
use super::transaction;
use crate::python::class::{Arguments, Class, Native, PyMethodDef, methods};
use crate::python::error::{Exc, raise};
use crate::python::object::Result;
use crate::python::{Attached, Object};
use std::ffi::CStr;
use std::sync::Arc;

pub struct Recorder(Arc<Events>);

impl Native for Recorder {
    const NAME: &'static CStr = c"mod_wsgi.Recorder";

    fn methods() -> Vec<PyMethodDef> {
        methods!(Recorder {
            c"request_data" => request_data,
            c"start_recording_metrics" => start_recording_metrics,
            c"request_metrics" => request_metrics,
            c"process_metrics" => process_metrics,
            c"keep_active_requests" => keep_active_requests,
        })
    }
}

pub fn make(py: Attached<'_>, events: &Arc<Events>) -> Result {
    Class::define(py)?.instance(py, Recorder(Arc::clone(events)))
}

impl Recorder {
    /// The dictionary of the request that the calling thread is at.
    fn request_data(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 0)?;
        let Some(transaction) = transaction::current() else {
            return Err(raise(py, Exc::Runtime, "no active request for thread"));
        };
        transaction.data(py)
    }

    fn start_recording_metrics(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 0)?;
        self.0.metrics.start();
        Ok(Object::none(py))
    }

    fn request_metrics(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 0)?;
        self.show(py, Metrics::of_requests)
    }

    fn process_metrics(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 0)?;
        self.show(py, Metrics::of_process)
    }

    fn show(&self, py: Attached<'_>, look: fn(&Metrics) -> Option<Fields>) -> Result {
        let fields = py.detached(|| look(&self.0.metrics));
        fields.map_or_else(|| Ok(Object::none(py)), |fields| dictionary(py, &fields))
    }

    fn keep_active_requests(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 0)?;
        self.0.keep_active_requests();
        Ok(Object::none(py))
    }
}
