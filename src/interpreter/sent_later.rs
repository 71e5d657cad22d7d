//! Data of answers that leaves soon although no more comes.
//!
//! Runs in httpd children with embedded mode. There an application's small pieces wait for each other, so that
//! they share a write to the client. Where the application pauses, its own thread is in Python and cannot send
//! what waits: the one thread of this module does. It uses the reply as any thread of the application may (see
//! `transaction`), never attaches to Python and never waits for an answer: what cannot be sent now has another
//! turn a moment later.

use crate::python::library;
use once_cell::sync::Lazy;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long the first piece waits at most, as in daemons without `response-flush-delay=`.
pub const DELAY: Duration = Duration::from_millis(5);

/// An answer of which some data waits.
pub trait Waiting: Send + Sync + 'static {
    /// Sends it. False if that would wait.
    fn send_what_waits(&self) -> bool;
}

struct Later {
    /// In the order of their times, since all wait equally long.
    waiting: Mutex<VecDeque<(Instant, Weak<dyn Waiting>)>>,
    added: Condvar,
}

static LATER: Later = Later { waiting: Mutex::new(VecDeque::new()), added: Condvar::new() };

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
        waiting.push_back((Instant::now() + DELAY, transaction));
        if waiting.len() == 1 {
            self.added.notify_one();
        }
    }

    fn run(&self) {
        loop {
            let transaction = self.next();
            // One that is over has sent everything.
            if let Some(transaction) = transaction.upgrade()
                && !transaction.send_what_waits()
            {
                self.add(Arc::downgrade(&transaction));
            }
        }
    }

    /// Waits until the first one's time has come.
    fn next(&self) -> Weak<dyn Waiting> {
        let mut waiting = self.waiting.lock();
        loop {
            match waiting.front() {
                None => self.added.wait(&mut waiting),
                Some((due, _)) if *due > Instant::now() => {
                    let due = *due;
                    self.added.wait_until(&mut waiting, due);
                }
                Some(_) => {
                    if let Some((_, transaction)) = waiting.pop_front() {
                        return transaction;
                    }
                }
            }
        }
    }
}
