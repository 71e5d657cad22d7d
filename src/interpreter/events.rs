//! What an interpreter tells of its requests: to those of its code who have subscribed to events, and to the
//! metrics of the process.
//!
//! Runs where applications run. A request is watched where its interpreter has subscribers, or metrics are
//! recorded, or the application has asked for `mod_wsgi.active_requests`. Of all others nothing is kept:
//! looking whether a request is watched costs the length of a list and two loads. `events.py` tells the
//! subscribers; `wsgi::events` says when.

use super::metrics::{self, Fields, Metrics, Request, Value};
use super::tally::{Tally, seconds};
use crate::os::Usage;
use crate::python::object::Result;
use crate::python::{Attached, Exception, Kept, Object};
use parking_lot::Mutex;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

/// Of one interpreter.
pub struct Events {
    /// `mod_wsgi.event_callbacks`.
    callbacks: Kept,
    pub metrics: Arc<Metrics>,
    /// `mod_wsgi.active_requests` is in use.
    keeps_active: AtomicBool,
    /// The last request was watched; so the next one's wait for Python is measured.
    watches: AtomicBool,
    request_started: Kept,
    response_started: Kept,
    request_exception: Kept,
    request_finished: Kept,
}

/// Of one request that is watched, from its application's call on.
pub struct Record {
    events: Arc<Events>,
    /// What `request_started` of events.py has returned for the later events; None once it is over.
    known: Mutex<Option<Kept>>,
    moments: Moments,
    usage: Usage,
    thread: u32,
    pub tally: Tally,
}

/// When httpd and the daemon had the request, in seconds since 1970; 0 is never.
struct Moments {
    request: f64,
    queue: f64,
    daemon: f64,
    application: f64,
}

impl Events {
    /// Of what events.py defines.
    pub fn new(metrics: &Arc<Metrics>, definition: impl Fn(&CStr) -> Object) -> Arc<Events> {
        let kept = |name: &CStr| definition(name).keep();
        Arc::new(Events {
            callbacks: kept(c"event_callbacks"),
            metrics: Arc::clone(metrics),
            keeps_active: AtomicBool::new(false),
            watches: AtomicBool::new(false),
            request_started: kept(c"request_started"),
            response_started: kept(c"response_started"),
            request_exception: kept(c"request_exception"),
            request_finished: kept(c"request_finished"),
        })
    }

    /// From the next request on.
    pub fn keep_active_requests(&self) {
        self.keeps_active.store(true, Relaxed);
    }

    /// Now that a thread begins to wait for Python, the time, where it is of interest.
    pub fn wait_begins(&self) -> Option<Instant> {
        self.watches.load(Relaxed).then(Instant::now)
    }

    /// Whether a request that is about to call its application is watched.
    pub fn watch(&self, py: Attached<'_>) -> Result<bool> {
        let watched =
            self.callbacks.length(py)? > 0 || self.metrics.is_recording() || self.keeps_active.load(Relaxed);
        if watched != self.watches.load(Relaxed) {
            self.watches.store(watched, Relaxed);
        }
        Ok(watched)
    }

    /// Of a request that is watched: tells the subscribers of it, and returns what is to be called.
    pub fn begin(
        self: &Arc<Self>,
        py: Attached<'_>,
        [environ, application, callable, data]: [Object; 4],
        thread: u32,
    ) -> Result<(Object, Record)> {
        let moment = |name: &CStr| environ.dict_get(py, name).map_or(Ok(0.0), |time| time.to_f64(py));
        let moments = Moments {
            request: moment(c"mod_wsgi.request_start")?,
            queue: moment(c"mod_wsgi.queue_start")?,
            daemon: moment(c"mod_wsgi.daemon_start")?,
            application: moment(c"mod_wsgi.application_start")?,
        };
        let usage = Usage::of_thread();
        let started = self.request_started.call(py, [environ, application, callable, data])?;
        if self.metrics.is_recording() {
            self.metrics.begin(thread);
        }
        let record = Record {
            events: Arc::clone(self),
            known: Mutex::new(Some(started.sequence_item(py, 1)?.keep())),
            moments,
            usage,
            thread,
            tally: Tally::default(),
        };
        Ok((started.sequence_item(py, 0)?, record))
    }
}

impl Record {
    /// None once the request is over.
    fn known(&self, py: Attached<'_>) -> Option<Object> {
        self.known.lock().as_ref().map(|known| known.clone_ref(py))
    }

    pub fn response_started(
        &self,
        py: Attached<'_>,
        status: &Object,
        headers: &Object,
        exc_info: Option<Object>,
    ) -> Result<()> {
        let Some(known) = self.known(py) else { return Ok(()) };
        let exc_info = exc_info.unwrap_or_else(|| Object::none(py));
        let arguments = [known, status.clone_ref(py), headers.clone_ref(py), exc_info];
        self.events.response_started.call(py, arguments).map(drop)
    }

    pub fn exception(&self, py: Attached<'_>, exception: &Exception) -> Result<()> {
        let Some(known) = self.known(py) else { return Ok(()) };
        let Exception { class, value, traceback } = exception;
        let arguments = [known, class.clone_ref(py), value.clone_ref(py), traceback.clone_ref(py)];
        self.events.request_exception.call(py, arguments).map(drop)
    }

    /// The request is over, but for its end that the client waits for. `failed` is the status where the
    /// client gets another than the application's.
    pub fn finish(&self, py: Attached<'_>, failed: Option<u16>) -> Result<()> {
        let Some(known) = self.known.lock().take() else { return Ok(()) };
        let status = failed.unwrap_or_else(|| self.tally.status.load(Relaxed));
        let (finish, usage) = (metrics::now(), Usage::of_thread().since(&self.usage));
        if self.events.metrics.is_recording() {
            self.events.metrics.end(&self.request(finish, usage.0 + usage.1, status));
        }
        let told = dictionary(py, &self.measured(finish, usage, status))
            .and_then(|measured| self.events.request_finished.call(py, [known.clone_ref(py), measured]));
        known.release(py);
        told.map(drop)
    }

    fn request(&self, finish: f64, cpu: Duration, status: u16) -> Request {
        let (tally, moments) = (&self.tally, &self.moments);
        let server_end = if moments.queue > 0.0 { moments.queue } else { moments.application };
        Request {
            thread: self.thread,
            start: moments.application,
            finish,
            phases: [
                metrics::between(moments.request, server_end),
                metrics::between(moments.queue, moments.daemon),
                metrics::between(moments.daemon, moments.application),
                metrics::between(moments.application, finish),
                metrics::between(moments.request, finish),
                Some(seconds(&tally.input_time)),
                Some(seconds(&tally.output_time)),
                Some(seconds(&tally.gil_time)),
            ],
            cpu: cpu.as_secs_f64(),
            input_bytes: tally.input_length.load(Relaxed),
            input_reads: tally.input_reads.load(Relaxed),
            output_bytes: tally.output_length.load(Relaxed),
            output_writes: tally.output_writes.load(Relaxed),
            gil_waits: tally.gil_waits.load(Relaxed),
            status,
        }
    }

    /// What `request_finished` says besides.
    fn measured(&self, finish: f64, (user, system): (Duration, Duration), status: u16) -> Fields {
        let tally = &self.tally;
        let count = |number: &AtomicU64| Value::Int(number.load(Relaxed));
        let time = |number: &AtomicU64| Value::Float(seconds(number));
        metrics::named([
            ("application_finish", Value::Float(finish)),
            ("application_time", Value::Float(finish - self.moments.application)),
            ("input_reads", count(&tally.input_reads)),
            ("input_length", count(&tally.input_length)),
            ("input_time", time(&tally.input_time)),
            ("output_writes", count(&tally.output_writes)),
            ("output_length", count(&tally.output_length)),
            ("output_time", time(&tally.output_time)),
            ("status", Value::Int(status.into())),
            ("cpu_user_time", Value::Float(user.as_secs_f64())),
            ("cpu_system_time", Value::Float(system.as_secs_f64())),
            ("cpu_time", Value::Float((user + system).as_secs_f64())),
            ("gil_wait_time", time(&tally.gil_time)),
            ("gil_wait_count", count(&tally.gil_waits)),
        ])
    }
}

/// Fields as applications get them.
pub fn dictionary(py: Attached<'_>, fields: &Fields) -> Result {
    let dict = Object::dict(py)?;
    for (name, value) in fields {
        dict.dict_set(py, &Object::interned(py, name.as_bytes())?, &object(py, value)?)?;
    }
    Ok(dict)
}

fn object(py: Attached<'_>, value: &Value) -> Result {
    let int = |number: &u64| Object::int(py, i64::try_from(*number).unwrap_or(i64::MAX));
    match value {
        Value::Nothing => Ok(Object::none(py)),
        Value::Int(number) => int(number),
        Value::Float(number) => Object::float(py, *number),
        Value::Ints(numbers) => Object::list(py, &numbers.iter().map(int).collect::<Result<Vec<_>>>()?),
        Value::Floats(numbers) => {
            let numbers = numbers.iter().map(|number| Object::float(py, *number));
            Object::list(py, &numbers.collect::<Result<Vec<_>>>()?)
        }
        Value::Rows(rows) => {
            let rows = rows.iter().map(|row| dictionary(py, row));
            Object::list(py, &rows.collect::<Result<Vec<_>>>()?)
        }
    }
}
