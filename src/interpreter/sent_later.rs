//! Data of answers that leaves soon although no more comes.
//!
//! Runs in httpd children with embedded mode. There an application's small pieces wait for each other, so
//! that they share a write to the client. Where the application pauses, its own thread is in Python and
//! cannot send what waits: the one thread of this module does. It uses the reply as any thread of the
//! application may (see `transaction`), never attaches to Python and never waits for an answer: what cannot
//! be sent now has another turn a moment later.

use crate::python::library;
use once_cell::sync::Lazy;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long the first piece waits at most, as in daemons without `response-flush-delay=`.
const DELAY: Duration = Duration::from_millis(5);

/// Data that could not be sent has its next turn after this.
const PAUSE: Duration = Duration::from_millis(20);

/// An answer of which some data waits.
pub trait Waiting: Send + Sync + 'static {
    /// Sends it. False if that would wait.
    fn send_what_waits(&self) -> bool;
}

struct Later {
    waiting: Mutex<Queues>,
    added: Condvar,
}

/// In the order of their times, since all in a queue wait equally long.
type Queue = VecDeque<(Instant, Weak<dyn Waiting>)>;

struct Queues {
    first: Queue,
    again: Queue,
}

static LATER: Later =
    Later { waiting: Mutex::new(Queues { first: Queue::new(), again: Queue::new() }), added: Condvar::new() };

/// Whether there is a thread for it.
static RUNS: Lazy<bool> = Lazy::new(|| {
    let thread = std::thread::Builder::new().name("wsgi-later".into());
    library::without_signals(|| thread.spawn(|| LATER.run())).is_ok()
});

/// Has the transaction's data leave after `DELAY`. False if that is not possible.
pub fn send_later(transaction: &Arc<impl Waiting>) -> bool {
    if !*RUNS {
        return false;
    }
    let transaction = Arc::downgrade(transaction);
    LATER.add(transaction);
    true
}

impl Later {
    fn add(&self, transaction: Weak<dyn Waiting>) {
        let mut waiting = self.waiting.lock();
        waiting.first.push_back((Instant::now() + DELAY, transaction));
        if waiting.first.len() == 1 {
            self.added.notify_one();
        }
    }

    fn run(&self) {
        loop {
            let transaction = self.next();
            // One that is over has sent everything.
            let Some(waiting) = transaction.upgrade() else { continue };
            // A panic costs the data of one answer.
            let sent = catch_unwind(AssertUnwindSafe(|| waiting.send_what_waits()));
            if let Ok(false) = sent {
                self.waiting.lock().again.push_back((Instant::now() + PAUSE, transaction));
            }
        }
    }

    /// Waits until the time of one has come.
    fn next(&self) -> Weak<dyn Waiting> {
        let mut waiting = self.waiting.lock();
        loop {
            let now = Instant::now();
            let Queues { first, again } = &mut *waiting;
            let due = |queue: &Queue| queue.front().map(|(due, _)| *due);
            for queue in [&mut *first, &mut *again] {
                if due(queue).is_some_and(|due| due <= now)
                    && let Some((_, transaction)) = queue.pop_front()
                {
                    return transaction;
                }
            }
            match [due(first), due(again)].into_iter().flatten().min() {
                Some(due) => drop(self.added.wait_until(&mut waiting, due)),
                None => self.added.wait(&mut waiting),
            }
        }
    }
}
