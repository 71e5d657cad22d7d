//! What one request has read, written and waited for.
//!
//! Runs where applications run, while the request is watched (`events`): counted by the threads that read and
//! write for it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU16, AtomicU64};
use std::time::{Duration, Instant};

/// Times are microseconds.
#[derive(Default)]
pub struct Tally {
    pub status: AtomicU16,
    pub input_reads: AtomicU64,
    pub input_length: AtomicU64,
    pub input_time: AtomicU64,
    pub output_writes: AtomicU64,
    pub output_length: AtomicU64,
    pub output_time: AtomicU64,
    pub gil_waits: AtomicU64,
    pub gil_time: AtomicU64,
}

impl Tally {
    /// A thread has waited so long for Python.
    pub fn waited(&self, time: Duration) {
        self.gil_waits.fetch_add(1, Relaxed);
        add(&self.gil_time, time);
    }

    /// The answer has this status line.
    pub fn answers(&self, status: &[u8]) {
        let code = status.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        self.status.store(code.unwrap_or(0), Relaxed);
    }

    /// A call of one of the methods of `wsgi.input`.
    pub fn reads(&self) {
        self.input_reads.fetch_add(1, Relaxed);
    }

    pub fn has_read(&self, bytes: usize) {
        self.input_length.fetch_add(bytes as u64, Relaxed);
    }

    pub fn reading(&self) -> Stopwatch<'_> {
        Stopwatch(Instant::now(), &self.input_time)
    }

    /// So many pieces of data, with so many bytes together.
    pub fn writing(&self, pieces: u64, bytes: u64) -> Stopwatch<'_> {
        self.output_writes.fetch_add(pieces, Relaxed);
        self.output_length.fetch_add(bytes, Relaxed);
        Stopwatch(Instant::now(), &self.output_time)
    }
}

/// Adds the time until it is dropped.
pub struct Stopwatch<'a>(Instant, &'a AtomicU64);

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        add(self.1, self.0.elapsed());
    }
}

fn add(to: &AtomicU64, time: Duration) {
    to.fetch_add(u64::try_from(time.as_micros()).unwrap_or(0), Relaxed);
}

pub fn seconds(microseconds: &AtomicU64) -> f64 {
    microseconds.load(Relaxed) as f64 / 1e6
}
