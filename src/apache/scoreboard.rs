//! httpd's scoreboard, which mod_status shows too: what its children and their threads are doing.
//!
//! Read in an httpd child for embedded applications, and in the supervisor, a fork of the parent, for
//! daemons.

#![allow(unsafe_code)]

use super::magic;
use super::table::api;
use crate::scoreboard::{ProcessScore, Scoreboard, WorkerScore};
use crate::sys::httpd::*;
use std::os::raw::{c_char, c_int};
use std::time::SystemTime;

/// One field of a record in shared memory, where other processes may write meanwhile, as for mod_status. The
/// record itself is never copied: the running httpd's may be shorter or longer than the headers say.
macro_rules! field {
    ($record:expr, $name:ident) => {
        // SAFETY: the caller has the record from httpd, whose memory stays as long as the process; the field
        // is numbers, for which all bits are values.
        unsafe { (&raw const (*$record).$name).read_volatile() }
    };
}

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
    // SAFETY: it exists.
    let global: *const global_score = unsafe { api().ap_get_scoreboard_global() };
    let (server_limit, thread_limit) = (field!(global, server_limit), field!(global, thread_limit));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let processes = (0..server_limit).filter_map(|number| process(number, thread_limit));
    Some(Scoreboard {
        server_limit: server_limit.into(),
        thread_limit: thread_limit.into(),
        running_generation: field!(global, running_generation).into(),
        restart_time: field!(global, restart_time),
        current_time: i64::try_from(now.as_micros()).unwrap_or(0),
        processes: processes.collect(),
    })
}

fn process(number: c_int, threads: c_int) -> Option<ProcessScore> {
    // SAFETY: gives NULL for a number without a record.
    let record: *const process_score = unsafe { api().ap_get_scoreboard_process(number) };
    (!record.is_null()).then(|| ProcessScore {
        pid: field!(record, pid).into(),
        generation: field!(record, generation).into(),
        quiescing: field!(record, quiescing) != 0,
        workers: (0..threads).filter_map(|thread| worker(number, thread)).collect(),
    })
}

fn worker(process: c_int, thread: c_int) -> Option<WorkerScore> {
    // SAFETY: gives NULL for numbers without a record.
    let record: *const worker_score = unsafe { api().ap_get_scoreboard_worker_from_indexes(process, thread) };
    (!record.is_null()).then(|| WorkerScore {
        thread_num: field!(record, thread_num).into(),
        generation: field!(record, generation).into(),
        status: letter(field!(record, status)),
        access_count: i64::try_from(field!(record, access_count)).unwrap_or(i64::MAX),
        bytes_served: field!(record, bytes_served),
        start_time: field!(record, start_time),
        stop_time: field!(record, stop_time),
        last_used: field!(record, last_used),
        client: if magic::has(magic::CLIENT64) {
            text(&field!(record, client64))
        } else {
            text(&field!(record, client))
        },
        request: text(&field!(record, request)),
        vhost: text(&field!(record, vhost)),
    })
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
