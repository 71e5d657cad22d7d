//! httpd's scoreboard, which mod_status shows too: what its children and their threads are doing.
//!
//! Read in an httpd child for embedded applications, and in the supervisor, a fork of the parent, for
//! daemons.

#![allow(unsafe_code)]

use super::table::api;
use crate::scoreboard::{ProcessScore, Scoreboard, WorkerScore};
use crate::sys::httpd::*;
use std::mem;
use std::os::raw::{c_char, c_int};
use std::time::SystemTime;

/// Whether httpd has made it: at its first start, only after it has read its configuration.
pub fn exists() -> bool {
    // SAFETY: only asks.
    unsafe { api().ap_exists_scoreboard_image() != 0 }
}

/// Whether the parent has children. At a graceful restart it does, and at any other it has waited for their
/// end.
pub fn has_children() -> bool {
    if !exists() {
        return false;
    }
    // SAFETY: it exists, and stays as long as the process.
    let limit = unsafe { (*api().ap_get_scoreboard_global()).server_limit };
    (0..limit).any(|number| {
        // SAFETY: gives NULL for a number without a record.
        let record = unsafe { api().ap_get_scoreboard_process(number) };
        // SAFETY: the parent alone writes the pids of its children there.
        !record.is_null() && unsafe { (*record).pid } != 0
    })
}

pub fn read() -> Option<Scoreboard> {
    if !exists() {
        return None;
    }
    // SAFETY: it exists, and stays as long as the process.
    let global = unsafe { &*api().ap_get_scoreboard_global() };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let processes = (0..global.server_limit).filter_map(|number| process(number, global.thread_limit));
    Some(Scoreboard {
        server_limit: global.server_limit.into(),
        thread_limit: global.thread_limit.into(),
        running_generation: global.running_generation.into(),
        restart_time: global.restart_time,
        current_time: i64::try_from(now.as_micros()).unwrap_or(0),
        processes: processes.collect(),
    })
}

fn process(number: c_int, threads: c_int) -> Option<ProcessScore> {
    // SAFETY: gives NULL for a number without a record.
    let record = unsafe { api().ap_get_scoreboard_process(number) };
    // SAFETY: a copy of integers from memory that stays; the parent may write beside it, as for mod_status.
    let record = (!record.is_null()).then(|| unsafe { record.read_volatile() })?;
    Some(ProcessScore {
        pid: record.pid.into(),
        generation: record.generation.into(),
        quiescing: record.quiescing != 0,
        workers: (0..threads).map(|thread| worker(number, thread)).collect(),
    })
}

fn worker(process: c_int, thread: c_int) -> WorkerScore {
    // SAFETY: a worker_score is numbers and arrays of them, for which all zero is a value.
    let mut record: worker_score = unsafe { mem::zeroed() };
    // SAFETY: the record has room for the copy; both numbers are below the scoreboard's limits.
    unsafe { api().ap_copy_scoreboard_worker(&mut record, process, thread) };
    WorkerScore {
        thread_num: record.thread_num.into(),
        generation: record.generation.into(),
        status: letter(record.status),
        access_count: i64::try_from(record.access_count).unwrap_or(i64::MAX),
        bytes_served: record.bytes_served,
        start_time: record.start_time,
        stop_time: record.stop_time,
        last_used: record.last_used,
        client: text(&record.client64),
        request: text(&record.request),
        vhost: text(&record.vhost),
    }
}

/// Up to the NUL, which is missing where another process is just writing.
fn text(field: &[c_char]) -> Vec<u8> {
    field.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect()
}

fn letter(status: u8) -> u8 {
    match i32::from(status) {
        SERVER_DEAD => b'.',
        SERVER_STARTING => b'S',
        SERVER_READY => b'_',
        SERVER_BUSY_READ => b'R',
        SERVER_BUSY_WRITE => b'W',
        SERVER_BUSY_KEEPALIVE => b'K',
        SERVER_BUSY_LOG => b'L',
        SERVER_BUSY_DNS => b'D',
        SERVER_CLOSING => b'C',
        SERVER_GRACEFUL => b'G',
        SERVER_IDLE_KILL => b'I',
        _ => b'?',
    }
}
