//! When a daemon's heartbeat rests.
//!
//! Runs in daemons. A process at rest costs next to nothing: the thread of `beat` waits for the next
//! request, and beats every half minute for the sake of threads that the site has started.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, Thread};
use std::time::Duration;

/// Between two beats of a process at rest, and at most.
pub const AT_REST: Duration = Duration::from_secs(30);

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

    /// The calling thread is the one that beats.
    pub fn begin(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// Waits for a request, where `is_at_rest` says that none runs, but not longer than `AT_REST`.
    pub fn rest(&self, is_at_rest: impl Fn() -> bool) {
        self.rests.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if is_at_rest() {
            thread::park_timeout(AT_REST);
        }
        self.rests.store(false, Ordering::Relaxed);
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
