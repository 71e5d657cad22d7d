//! What `request_metrics()` and `process_metrics()` of the module `mod_wsgi` count, for all interpreters of a
//! process.
//!
//! Runs where applications run. Nothing is counted before an application has asked for it. The threads that
//! serve requests hold the lock for moments, and do nothing else meanwhile; `window` has the arithmetic.

pub mod window;

mod histogram;

use crate::os::{self, Usage};
use crate::python::attach;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;
pub use window::{Fields, Request, Value, named};
use window::{Process, State};

pub struct Metrics {
    recording: AtomicBool,
    /// A process that the application has forked shows nothing: its numbers are the original's.
    forks: AtomicU32,
    state: Mutex<State>,
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Metrics {
    /// For a process of so many threads, which gets its requests from httpd's children or is one.
    pub fn new(threads: u32, in_daemon: bool) -> Metrics {
        Metrics {
            recording: AtomicBool::new(false),
            forks: AtomicU32::new(attach::forks()),
            state: Mutex::new(State::new(threads, in_daemon, process(now()))),
        }
    }

    pub fn is_recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }

    /// From now on; no matter how often.
    pub fn start(&self) {
        if !self.recording.swap(true, Ordering::Relaxed) {
            self.state.lock().begin_window(&process(now()));
        }
    }

    /// In a process that was forked from a template: it begins with nothing.
    pub fn begin_anew(&self) {
        self.forks.store(attach::forks(), Ordering::Relaxed);
        self.state.lock().begin_anew(&process(now()));
    }

    /// The thread (numbers count from 1) takes a request.
    pub fn begin(&self, thread: u32) {
        self.state.lock().begin(thread, now());
    }

    /// It may have begun before recording did.
    pub fn end(&self, request: &Request) {
        self.state.lock().end(request);
    }

    /// Since the last time that this was asked. None where nothing is recorded.
    pub fn of_requests(&self) -> Option<Fields> {
        let process = self.look()?;
        Some(self.state.lock().drain(&process))
    }

    /// Since recording began.
    pub fn of_process(&self) -> Option<Fields> {
        let process = self.look()?;
        Some(self.state.lock().totals(&process))
    }

    fn look(&self) -> Option<Process> {
        let ours = self.forks.load(Ordering::Relaxed) == attach::forks();
        (ours && self.is_recording()).then(|| process(now()))
    }
}

fn process(now: f64) -> Process {
    let (pid, usage) = (std::process::id(), Usage::of_process());
    Process {
        pid,
        now,
        user: usage.user.as_secs_f64(),
        system: usage.system.as_secs_f64(),
        memory: os::resident_memory(pid as i32).unwrap_or(0),
        maximum_memory: usage.maximum_memory,
    }
}

/// Of a request: how long it took from one of httpd's moments to another. 0 is a moment that never was.
pub fn between(start: f64, end: f64) -> Option<f64> {
    (start > 0.0 && end > 0.0).then(|| (end - start).max(0.0))
}
