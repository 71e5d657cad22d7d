//! A daemon's main thread while the workers work: it handles the supervisor's orders, signals, and the end.
//!
//! Runs in daemons. The thread never waits for a GIL, so a process in which everything else is stuck still
//! obeys.

use super::signals::{HANDED_ON, Publisher};
use super::worker::Workers;
use crate::control::channel::ControlDaemon;
use crate::control::launch::bound;
use crate::control::message::{Order, Report};
use crate::control::reason::Reason;
use crate::interpreter::process_log::write_message;
use crate::log::{Code, Message};
use crate::os::{self, SignalEvent};
use crate::python::attach::ThreadState;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What asks a process to end, and what asks for its replacement.
pub const ENDING: [i32; 2] = [libc::SIGTERM, libc::SIGINT];
pub const GRACEFUL: [i32; 2] = [libc::SIGUSR1, libc::SIGXCPU];

/// Those of timers that an application can arm, though not handle: they would end the process.
const TIMERS: [i32; 3] = [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF];

/// Signals that would end a process which is still starting; said again after the scripts, which may have set
/// handlers of their own.
pub fn watch_while_loading(signals: &SignalEvent) -> io::Result<()> {
    signals.watch(&HANDED_ON)?;
    signals.watch_unhandled(&TIMERS)?;
    signals.watch(&GRACEFUL)
}

/// For threads that run next to no Python.
pub const SMALL_STACK: usize = 256 * 1024;

/// How long the end waits for stacks that have to wait for a GIL.
const STACKS_PATIENCE: Duration = Duration::from_millis(500);

/// Why the process ends.
pub struct ProcessEnd {
    pub reason: Reason,
    /// Requests still run; the process ends at this moment, even if they have not.
    pub latest: Option<Instant>,
}

/// The ends of shutdown-timeout.
#[derive(Clone, Copy)]
struct Bound {
    /// From here on the applications are told, and their exit functions run, beside the requests that are
    /// left.
    of_requests: Instant,
    of_all: Instant,
}

impl Bound {
    /// `finish` says that there is something to do after the requests: a fifth of the time is kept for that.
    fn new(patience: Duration, finish: bool) -> Bound {
        let now = Instant::now();
        let of_requests = if finish { patience * 4 / 5 } else { patience };
        Bound { of_requests: now + of_requests, of_all: now + patience }
    }
}

/// What the main thread has in view while the workers work; it holds no GIL.
pub struct MainThread<'a> {
    workers: &'a Arc<Workers>,
    control: &'a ControlDaemon,
    signals: &'a SignalEvent,
    publisher: Publisher,
    supervised: bool,
    /// Why the process ends, once it does.
    reason: Option<Reason>,
    /// An order to stop bounds the end: what still runs then ends with the process.
    bound: Option<Bound>,
    /// Threads that write stacks.
    showing: Vec<thread::JoinHandle<()>>,
    /// Signals of timers of which it was said that they came to nothing.
    of_timers: Vec<i32>,
}

impl<'a> MainThread<'a> {
    pub fn new(workers: &'a Arc<Workers>, control: &'a ControlDaemon, signals: &'a SignalEvent) -> Self {
        let publisher = Publisher::new(workers);
        MainThread {
            workers,
            control,
            signals,
            publisher,
            supervised: true,
            reason: None,
            bound: None,
            showing: Vec::new(),
            of_timers: Vec::new(),
        }
    }

    /// Obeys orders until the end: until, after an order to end, every thread has ended, or the rest will end
    /// with the process.
    pub fn wait_for_end(mut self) -> ProcessEnd {
        let mut latest = None;
        while !self.workers.have_ended() && latest.is_none() {
            let left = self.bound.map(|bound| bound.of_requests.saturating_duration_since(Instant::now()));
            latest = self.bound.filter(|_| left == Some(Duration::ZERO)).map(|bound| bound.of_all);
            // Only for want of memory can it fail, and then the next one may not.
            let _ = self.turn(left);
        }
        self.let_stacks_be_shown();
        let by_itself = if self.workers.runs_once() { Reason::MaximumRequests } else { Reason::Shutdown };
        ProcessEnd { reason: self.reason.unwrap_or(by_itself), latest }
    }

    fn turn(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let workers = self.workers;
        let mut fds =
            vec![os::PollFd::reading(workers.end_event()), os::PollFd::reading(self.signals.as_fd())];
        if self.supervised {
            fds.push(os::PollFd::reading(self.control.as_fd()));
        }
        os::poll(&mut fds, patience)?;
        let [ended, signalled, ordered] = [0, 1, 2].map(|i| fds.get(i).is_some_and(os::PollFd::is_ready));
        if ended {
            workers.take_end_event();
        }
        if signalled {
            for signal in self.signals.take() {
                self.obey(signal);
            }
        }
        if ordered {
            match self.control.receive(Some(Duration::ZERO)) {
                Ok(Some(order)) => self.carry_out(order),
                Ok(None) => {}
                Err(_) => {
                    self.supervised = false;
                    self.stop(Reason::Shutdown);
                }
            }
        }
        Ok(())
    }

    fn obey(&mut self, signal: i32) {
        match signal {
            libc::SIGTERM | libc::SIGINT => {
                self.report(&Report::Renew(Reason::Shutdown));
                self.stop(Reason::Shutdown);
            }
            libc::SIGUSR1 if self.workers.launch.group.limits.eviction.is_some() => {
                self.report(&Report::Renew(Reason::EvictionSignal))
            }
            libc::SIGUSR1 => self.report(&Report::Renew(Reason::GracefulSignal)),
            libc::SIGXCPU => self.report(&Report::Renew(Reason::CpuTimeLimit)),
            timer if TIMERS.contains(&timer) => self.leave_timer(timer),
            other => self.publisher.publish(other),
        }
    }

    fn leave_timer(&mut self, signal: i32) {
        if self.of_timers.contains(&signal) {
            return;
        }
        self.of_timers.push(signal);
        let name = match signal {
            libc::SIGALRM => "SIGALRM",
            libc::SIGVTALRM => "SIGVTALRM",
            _ => "SIGPROF",
        };
        let text = format!(
            "{name} has come, and there is no handler for it: an application has armed a timer (signal.alarm or \
             signal.setitimer) whose signal cannot reach it. It goes by without effect. Use threading.Timer or the \
             option request-timeout="
        );
        write_message(&Message::new(Code::TimerSignal, text));
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Serve => self.workers.accept(),
            Order::Drain(reason) => {
                self.reason.get_or_insert(reason);
                self.workers.drain();
            }
            Order::Stop(reason) => self.stop(reason),
            Order::Interrupt(work) => {
                let workers = Arc::clone(self.workers);
                let builder = thread::Builder::new().name("wsgi-interrupt".into()).stack_size(SMALL_STACK);
                // Without memory for a thread the request is ended a little later, when it expires.
                let _ = builder.spawn(move || workers.roster.interrupt(work));
            }
            Order::Expire(work) => {
                if let Some(line) = self.workers.roster.expire(work) {
                    let text = format!(
                        "request-timeout: {line} took too long, and its client was let go; the process is replaced, \
                         its other requests are finished; where its threads are now follows"
                    );
                    write_message(&Message::new(Code::RequestTimeout, text));
                    self.show_stacks();
                }
                self.report(&Report::Heard);
            }
            Order::ShowStacks => {
                self.show_stacks();
                self.report(&Report::Heard);
            }
        }
    }

    fn stop(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
        self.workers.drain();
        // Without a shutdown-timeout the supervisor's own patience is the bound.
        let launch = &self.workers.launch;
        let bound = bound(launch.group.shutdown_timeout).map(|patience| Bound::new(patience, launch.finish));
        self.bound = self.bound.or(bound);
    }

    /// Python's own signal handler writes them, which works whichever thread holds the GIL. Not every
    /// interpreter has one.
    fn show_stacks(&mut self) {
        for interpreter in self.workers.interpreters.all() {
            if let Some(signal) = interpreter.world.stacks_signal {
                // A process can always send itself a signal.
                let _ = os::kill(std::process::id() as i32, signal);
                continue;
            }
            let show = move || {
                ThreadState::new(interpreter.state).attached(|py| interpreter.world.show_stacks(py));
            };
            // Without memory for a thread only the stacks are missing.
            self.showing.extend(thread::Builder::new().name("wsgi-stacks".into()).spawn(show));
        }
    }

    /// The stacks of what the process is replaced for are to be in the log before it has gone.
    fn let_stacks_be_shown(&self) {
        let latest = Instant::now() + STACKS_PATIENCE;
        while Instant::now() < latest && self.showing.iter().any(|thread| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn report(&self, report: &Report) {
        // Without a supervisor the report has no receiver.
        let _ = self.control.send(report);
    }
}
