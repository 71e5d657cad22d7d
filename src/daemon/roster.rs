//! Which of a daemon's threads is at which request, and what other threads may do about it.
//!
//! Runs in daemons. The worker threads (`daemon::worker`) keep the roster; the main thread
//! (`daemon::main_thread`) uses it and needs no GIL for that. The main thread gives back requests that no
//! application has seen yet, and lets go of clients whose requests last too long. The supervisor sees a part
//! of the roster: the `ActivityPage`.
//!
//! A thread holds a seat's lock for moments only. While it does, it neither attaches to Python nor waits for
//! anything; it may take the lock while attached.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::heartbeat::Heartbeat;
use crate::control::activity_page::ActivityPage;
use crate::control::message::Work;
use crate::interpreter::interpreters::Interpreter;
use crate::os::{self, Link};
use crate::python::{Attached, attach, error};
use crate::request::Request;
use crate::wire::frame::{self, Kind};

pub struct Roster {
    pub activity: Arc<ActivityPage>,
    seats: Vec<Mutex<Seat>>,
    /// Whether to remember what is needed to handle requests that last too long.
    times_requests: bool,
    served: AtomicU64,
    pub heartbeat: Heartbeat,
}

/// One thread.
#[derive(Default)]
struct Seat {
    number: u32,
    phase: Phase,
    stream: Option<Arc<Link>>,
    active: bool,
    /// Method and URI of the request, and where it runs; only where requests are timed.
    line: Vec<u8>,
    running: Option<PythonThread>,
}

/// Where to find a running request in Python.
struct PythonThread {
    interpreter: Arc<Interpreter>,
    thread: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Free,
    /// Received; the application has not been called.
    Received,
    Running,
    /// `mod_wsgi.RequestTimeout` was raised in it.
    Interrupted,
    /// Another process has it now; the thread does not know yet.
    GivenBack,
    /// Its client was let go; the thread goes on with it.
    Expired,
}

/// What is to be known at the end of a request.
pub struct Left {
    /// How many requests the process has served so far.
    pub served: u64,
    /// No client waited for this one any more.
    pub abandoned: bool,
}

impl Seat {
    fn is_abandoned(&self) -> bool {
        matches!(self.phase, Phase::GivenBack | Phase::Expired)
    }

    fn give_back(&mut self) {
        if self.phase == Phase::Received
            && let Some(stream) = &self.stream
        {
            // A child that does not take these few bytes at once has given up.
            let _ = os::send_now(stream.as_fd(), &frame::header(Kind::GiveBack, 0));
            self.phase = Phase::GivenBack;
        }
    }
}

impl Roster {
    pub fn new(threads: u32, activity: Arc<ActivityPage>, times_requests: bool) -> Roster {
        let seats = (0..threads).map(|_| Mutex::default()).collect();
        let (served, heartbeat) = (AtomicU64::new(0), Heartbeat::default());
        Roster { activity, seats, times_requests, served, heartbeat }
    }

    /// The thread has received a request on this connection.
    pub fn receive(&self, thread: u32, stream: &Arc<Link>, request: &Request<'_>) {
        let mut seat = self.seat(thread).lock();
        seat.number = seat.number.wrapping_add(1);
        seat.phase = Phase::Received;
        seat.stream = Some(Arc::clone(stream));
        seat.active = request.active;
        self.activity.begin(Work { thread, number: seat.number }, request.active);
        if self.times_requests {
            seat.line.clear();
            for wanted in [&b"REQUEST_METHOD"[..], b"REQUEST_URI"] {
                let found = request.environ.into_iter().find(|(name, _)| *name == wanted);
                if !seat.line.is_empty() {
                    seat.line.push(b' ');
                }
                seat.line.extend_from_slice(found.map_or(b"?", |(_, value)| value));
            }
        }
        drop(seat);
        self.heartbeat.wake();
    }

    /// The application is about to be called. False if the request was given back, and is no longer this
    /// process's to answer.
    pub fn start(&self, py: Attached<'_>, thread: u32, interpreter: &Arc<Interpreter>) -> bool {
        let mut seat = self.seat(thread).lock();
        if seat.phase != Phase::Received {
            return false;
        }
        seat.phase = Phase::Running;
        if self.times_requests {
            let interpreter = Arc::clone(interpreter);
            seat.running = Some(PythonThread { interpreter, thread: attach::thread_ident(py) });
        }
        true
    }

    /// The application has returned. An interruption that has not got through is taken back.
    pub fn finish(&self, py: Attached<'_>, thread: u32) {
        let mut seat = self.seat(thread).lock();
        if seat.phase == Phase::Interrupted {
            attach::take_back_exception(py, attach::thread_ident(py));
        }
        seat.running = None;
    }

    /// The thread is done with its request.
    pub fn leave(&self, thread: u32) -> Left {
        let mut seat = self.seat(thread).lock();
        let abandoned = seat.is_abandoned();
        seat.phase = Phase::Free;
        seat.stream = None;
        self.activity.end(thread, seat.active);
        Left { served: self.served.fetch_add(1, Ordering::Relaxed) + 1, abandoned }
    }

    /// Requests so far.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Sends back all requests that no application has seen, for other processes to run.
    pub fn give_back(&self) {
        for seat in &self.seats {
            seat.lock().give_back();
        }
    }

    /// Lets the client of a request go that is still at it: the request and its thread, for the log.
    pub fn expire(&self, work: Work) -> Option<String> {
        let mut seat = self.seats.get(work.thread.checked_sub(1)? as usize)?.lock();
        if seat.number != work.number {
            return None;
        }
        // One that was not begun has waited for others.
        seat.give_back();
        if !matches!(seat.phase, Phase::Running | Phase::Interrupted) {
            return None;
        }
        let _ = seat.stream.as_ref()?.shutdown(std::net::Shutdown::Both);
        seat.phase = Phase::Expired;
        let thread = seat.running.as_ref().map_or(0, |running| running.thread);
        // As Python writes it in front of a thread's stack.
        Some(format!("'{}' in thread {thread:#018x}", String::from_utf8_lossy(&seat.line)))
    }

    /// Raises `mod_wsgi.RequestTimeout` in the thread if it is still at this request. To be called by a
    /// thread of its own, detached.
    pub fn interrupt(&self, work: Work) {
        let Some(seat) = work.thread.checked_sub(1).and_then(|index| self.seats.get(index as usize)) else {
            return;
        };
        let interpreter = seat.lock().running.as_ref().map(|thread| Arc::clone(&thread.interpreter));
        let Some(interpreter) = interpreter else { return };
        attach::ThreadState::new(interpreter.state).attached(|py| {
            let mut seat = seat.lock();
            if seat.number == work.number
                && seat.phase == Phase::Running
                && let Some(running) = &seat.running
            {
                error::raise_in_thread(py, running.thread, &interpreter.world.request_timeout);
                seat.phase = Phase::Interrupted;
            }
        });
    }

    /// How many threads have requests that no client waits for.
    pub fn abandoned(&self) -> u32 {
        self.seats.iter().filter(|seat| seat.lock().is_abandoned()).count() as u32
    }

    fn seat(&self, thread: u32) -> &Mutex<Seat> {
        &self.seats[thread as usize - 1]
    }
}
