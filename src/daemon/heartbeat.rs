//! A daemon's heartbeat: a thread that attaches to every interpreter now and then, so that the supervisor sees how long
//! one of them lets no other thread in (`deadlock-timeout`).
//!
//! It beats ten times within the timeout while requests come. A process at rest costs next to nothing: the thread then
//! waits for the next request, and beats every half minute for the sake of threads that the site has started.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, Thread};
use std::time::Duration;

use super::worker::Workers;
use crate::interpreter::interpreters::ThreadStates;

/// Between two beats of a process at rest, and at most.
const AT_REST: Duration = Duration::from_secs(30);

/// What wakes the thread; the workers' side of it.
#[derive(Default)]
pub struct Heartbeat {
    rests: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Heartbeat {
    /// A request has begun, and can be seen in the activity page.
    pub fn wake(&self) {
        // Either the thread sees the request before it rests, or this sees that it rests.
        fence(Ordering::SeqCst);
        if self.rests.load(Ordering::Relaxed)
            && self.rests.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn rest(&self, is_at_rest: impl Fn() -> bool) {
        self.rests.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if is_at_rest() {
            thread::park_timeout(AT_REST);
        }
        self.rests.store(false, Ordering::Relaxed);
    }
}

/// Runs as long as the process.
pub fn beat(workers: &Workers, timeout: Duration) {
    let roster = &workers.roster;
    let pause = (timeout / 10).min(AT_REST);
    let mut states = ThreadStates::new(workers.interpreters.main().state);
    let _ = roster.heartbeat.thread.set(thread::current());
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_request_ends_the_rest() {
        let heartbeat = Arc::new(Heartbeat::default());
        let (resting, begun) = (Arc::clone(&heartbeat), Instant::now());
        let thread = thread::spawn(move || {
            resting.thread.set(thread::current()).unwrap();
            resting.rest(|| true);
        });
        while !heartbeat.rests.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        heartbeat.wake();
        thread.join().unwrap();
        assert!(begun.elapsed() < AT_REST / 2);
        assert!(!heartbeat.rests.load(Ordering::SeqCst));
    }

    #[test]
    fn there_is_no_rest_where_a_request_runs() {
        let begun = Instant::now();
        Heartbeat::default().rest(|| false);
        assert!(begun.elapsed() < AT_REST / 2);
    }
}
