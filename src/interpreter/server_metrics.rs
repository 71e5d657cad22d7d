//! What `mod_wsgi.server_metrics()` returns: httpd's scoreboard as a dictionary.
//!
//! Runs where applications run, called by the function in `support.py`. It gets what it shows from a
//! `ScoreboardSource`, which is the scoreboard itself in an httpd child, and the supervisor in a daemon.

use crate::python::class::{Class, Native};
use crate::python::object::Result;
use crate::python::{Attached, Object};
use crate::scoreboard::{ProcessScore, Scoreboard, WorkerScore};
use std::ffi::CStr;
use std::sync::Arc;

/// Where the scoreboard comes from; it may take a moment.
pub type ScoreboardSource = Arc<dyn Fn() -> Option<Scoreboard> + Send + Sync>;

pub struct MetricsReader(ScoreboardSource);

impl Native for MetricsReader {
    const NAME: &'static CStr = c"mod_wsgi.Scoreboard";
    const CALLABLE: bool = true;

    fn call(&self, py: Attached<'_>, _arguments: &Object, _named: Option<&Object>) -> Result {
        let scoreboard = py.detached(|| (self.0)());
        scoreboard.map_or_else(|| Ok(Object::none(py)), |scoreboard| whole(py, &scoreboard))
    }
}

/// What the function calls; None where it is not allowed to see the scoreboard.
pub fn reader(py: Attached<'_>, source: Option<&ScoreboardSource>) -> Result {
    match source {
        None => Ok(Object::none(py)),
        Some(source) => Class::define(py)?.instance(py, MetricsReader(Arc::clone(source))),
    }
}

fn whole(py: Attached<'_>, scoreboard: &Scoreboard) -> Result {
    let processes = scoreboard.processes.iter().enumerate().map(|(number, row)| process(py, number, row));
    let running = (scoreboard.current_time - scoreboard.restart_time) / MICROSECONDS;
    dict(
        py,
        [
            ("server_limit", Object::int(py, scoreboard.server_limit)),
            ("thread_limit", Object::int(py, scoreboard.thread_limit)),
            ("running_generation", Object::int(py, scoreboard.running_generation)),
            ("restart_time", seconds(py, scoreboard.restart_time)),
            ("current_time", seconds(py, scoreboard.current_time)),
            ("running_time", Object::int(py, running)),
            ("processes", Object::list(py, &processes.collect::<Result<Vec<_>>>()?)),
        ],
    )
}

fn process(py: Attached<'_>, number: usize, process: &ProcessScore) -> Result {
    let workers = process.workers.iter().map(|row| worker(py, row)).collect::<Result<Vec<_>>>()?;
    dict(
        py,
        [
            ("process_num", Object::int(py, number as i64)),
            ("pid", Object::int(py, process.pid)),
            ("generation", Object::int(py, process.generation)),
            ("quiescing", Object::bool(py, process.quiescing)),
            ("workers", Object::list(py, &workers)),
        ],
    )
}

fn worker(py: Attached<'_>, worker: &WorkerScore) -> Result {
    dict(
        py,
        [
            ("thread_num", Object::int(py, worker.thread_num)),
            ("generation", Object::int(py, worker.generation)),
            ("status", Object::latin1(py, &[worker.status])),
            ("access_count", Object::int(py, worker.access_count)),
            ("bytes_served", Object::int(py, worker.bytes_served)),
            ("start_time", seconds(py, worker.start_time)),
            ("stop_time", seconds(py, worker.stop_time)),
            ("last_used", seconds(py, worker.last_used)),
            ("client", Object::latin1(py, &worker.client)),
            ("request", Object::latin1(py, &worker.request)),
            ("vhost", Object::latin1(py, &worker.vhost)),
        ],
    )
}

const MICROSECONDS: i64 = 1_000_000;

fn seconds(py: Attached<'_>, microseconds: i64) -> Result {
    Object::float(py, microseconds as f64 / MICROSECONDS as f64)
}

fn dict<const N: usize>(py: Attached<'_>, items: [(&str, Result); N]) -> Result {
    let dict = Object::dict(py)?;
    for (name, value) in items {
        dict.dict_set(py, &Object::interned(py, name.as_bytes())?, &value?)?;
    }
    Ok(dict)
}
