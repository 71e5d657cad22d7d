//! A daemon's heartbeat: a thread that attaches to every interpreter now and then. The supervisor sees from
//! it for how long an interpreter has let no other thread in (`deadlock-timeout`).
//!
//! Runs in daemons. The thread beats ten times within the timeout while requests come, and rests without
//! them (`heartbeat`).

use std::thread;
use std::time::Duration;

use super::heartbeat::AT_REST;
use super::worker::Workers;
use crate::interpreter::interpreters::ThreadStates;

/// Runs as long as the process.
pub fn beat(workers: &Workers, timeout: Duration) {
    let roster = &workers.roster;
    let pause = (timeout / 10).min(AT_REST);
    let mut states = ThreadStates::new(workers.interpreters.main().state);
    roster.heartbeat.begin();
    loop {
        let served = roster.served();
        thread::sleep(pause);
        roster.heartbeat.rest(|| roster.served() == served && roster.activity.running().next().is_none());
        for interpreter in workers.interpreters.all() {
            let state = states.of(&interpreter, workers.interpreters.main().state);
            roster.activity.attaching(true);
            state.attached(|_| ());
            roster.activity.attaching(false);
        }
    }
}
