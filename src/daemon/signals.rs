//! SIGHUP and SIGUSR2 to a daemon: they are for the site's code, where it has subscribed to signals.
//!
//! Runs in daemons with worker threads. The main thread (`daemon::main_thread`) passes the signal on and
//! does not wait. A thread of its own, made for the first signal, tells the subscribers of all interpreters,
//! one signal after the other.

use super::worker::Workers;
use crate::interpreter::interpreters::ThreadStates;
use crate::interpreter::process_log::write_message;
use crate::log::{Code, Message, wording};
use once_cell::unsync::OnceCell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The signals that are handed on. Without subscribers nothing happens.
pub const HANDED_ON: [i32; 2] = [libc::SIGHUP, libc::SIGUSR2];

/// Kept by the main thread.
pub struct Publisher {
    workers: Arc<Workers>,
    thread: OnceCell<Sender<i32>>,
}

impl Publisher {
    pub fn new(workers: &Arc<Workers>) -> Publisher {
        Publisher { workers: Arc::clone(workers), thread: OnceCell::new() }
    }

    /// Never waits. Ignores signals that are not handed on.
    pub fn publish(&self, signal: i32) {
        if !HANDED_ON.contains(&signal) {
            return;
        }
        match self.thread.get_or_try_init(|| start(&self.workers)) {
            // The thread ends with this publisher.
            Ok(thread) => drop(thread.send(signal)),
            Err(error) => {
                let text =
                    format!("{} could not be told to its subscribers: {}", name(signal), wording(&error));
                write_message(&Message::new(Code::SignalNotTold, text));
            }
        }
    }
}

fn name(signal: i32) -> &'static str {
    if signal == libc::SIGHUP { "SIGHUP" } else { "SIGUSR2" }
}

fn start(workers: &Arc<Workers>) -> io::Result<Sender<i32>> {
    let (sender, receiver) = channel();
    let workers = Arc::clone(workers);
    thread::Builder::new().name("wsgi-signals".into()).spawn(move || tell(&workers, receiver))?;
    Ok(sender)
}

fn tell(workers: &Workers, signals: Receiver<i32>) {
    let main = workers.interpreters.main().state;
    let mut states = ThreadStates::new(main);
    for signal in signals {
        for interpreter in workers.interpreters.all() {
            let state = states.of(&interpreter, main);
            state.attached(|py| interpreter.world.publish_signal(py, name(signal), signal));
        }
    }
}
