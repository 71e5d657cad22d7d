//! The bound of a daemon's end. Threads and exit functions of the application can take any time; where a
//! thread never gives the GIL back, exit functions cannot even begin.
//!
//! Runs in daemons, on a thread beside the main thread.

use super::main_thread::SMALL_STACK;
use crate::interpreter::process_log::write_message;
use crate::log::{Code, Message};
use crate::os;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The begun end of a process. Its thread ends the process where that takes too long.
pub struct Ending {
    attached: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
}

/// How long a process in which something is stuck tries to get hold of Python for an orderly end.
const GIL_PATIENCE: Duration = Duration::from_millis(500);

impl Ending {
    /// `stuck` says that threads are left which may never let another thread in. Without `patience` there is
    /// no bound here.
    pub fn begin(patience: Option<Duration>, stuck: bool) -> Ending {
        let (attached, finished): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let ending = Ending { attached: Arc::clone(&attached), finished: Arc::clone(&finished) };
        let begun = Instant::now();
        let watch = move || {
            if stuck {
                thread::sleep(GIL_PATIENCE.min(patience.unwrap_or(GIL_PATIENCE)));
                if !attached.load(Ordering::SeqCst) {
                    os::exit_now(0);
                }
            }
            let Some(patience) = patience else { return };
            thread::sleep(patience.saturating_sub(begun.elapsed()));
            if !finished.load(Ordering::SeqCst) {
                let text = "the threads and exit functions of the application did not end within shutdown-timeout; \
                            the process ends without them";
                write_message(&Message::new(Code::ShutdownTimeout, text));
            }
            os::exit_now(0)
        };
        // The supervisor's patience is a bound too.
        let _ = thread::Builder::new().name("wsgi-ending".into()).stack_size(SMALL_STACK).spawn(watch);
        ending
    }

    /// The main thread has got hold of Python.
    pub fn got_attached(&self) {
        self.attached.store(true, Ordering::SeqCst);
    }

    /// Only requests are left now.
    pub fn finished(&self) {
        self.finished.store(true, Ordering::SeqCst);
    }
}
