//! A daemon's main thread: from the import of this library to the end of the process.
//!
//! Runs in daemons: the bootstrap calls `serve()` of the extension module, which is `main` here. The
//! main thread prepares the interpreter, loads the scripts, starts the workers, and then only waits
//! for orders and signals, detached. At the end each interpreter is
//! finished here, and the process ends without Python's own finalization.

use super::activity::Activity;
use super::control::{ControlDaemon, Order, Report};
use super::launch::Launch;
use super::os::{self, SignalEvent};
use super::reason::Reason;
use super::roster::Roster;
use super::service;
use super::signals::{HANDED_ON, Publisher};
use super::spawn::{self, Inherited};
use super::status::StatusPage;
use super::template;
use super::worker::{Equipment, Workers};
use crate::log::{Level, Message};
use crate::python::attach::{self, ThreadState};
use crate::python::{Attached, Object};
use crate::wsgi::interpreters::{Interpreters, ThreadStates};
use crate::wsgi::log_stream::write_process_output;
use crate::wsgi::preload;
use crate::wsgi::world::Facts;
use parking_lot::Mutex;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// `serve()` of the extension module: returns only when the process could not start.
pub fn main(py: Attached<'_>) -> crate::python::object::Result {
    if let Err(message) = serve(py) {
        // The supervisor has it through the control socket, or is gone.
        write_process_output(Level::Error, format!("{message}\n").as_bytes());
    }
    Ok(Object::none(py))
}

fn serve(py: Attached<'_>) -> Result<(), Message> {
    let inherited = spawn::inherited().map_err(|error| not_started_by_httpd(&error))?;
    let Inherited { control, listener, status, activity } = inherited;
    let launch = control.receive_launch().map_err(|error| not_started_by_httpd(&error))?;
    // Without /proc, as in a chroot, ps goes on to show the interpreter.
    let _ = os::set_title(&launch.display_name);

    attach::count_forks();
    let activity = Arc::new(Mutex::new(Arc::new(activity)));
    let interpreters = Interpreters::new(py, facts(&launch, &activity));
    let interpreters = interpreters.inspect_err(|message| failed(&control, message))?;
    if launch.threads == 0 {
        return service::main(py, &interpreters, &launch, control, &status).map_err(system);
    }
    let (control, launch) = if launch.template {
        let forked = template::main(py, &interpreters, &launch, &control).map_err(system)?;
        *activity.lock() = Arc::new(forked.activity);
        (Arc::new(forked.control), forked.launch)
    } else {
        (Arc::new(control), launch)
    };
    let activity = Arc::clone(&activity.lock());
    let roster = Roster::new(launch.threads, activity, launch.times_requests);
    let prepared = prepare(interpreters, &launch, listener, status, roster, &control);
    let started = prepared.map_err(system).and_then(|workers| {
        let signals = SignalEvent::new().map_err(system)?;
        // These would end a process that is still starting.
        signals.watch(&HANDED_ON).map_err(system)?;
        signals.watch(&GRACEFUL).map_err(system)?;
        let loaded = preload::load_all(py, &workers.interpreters, &launch.preload);
        // After the scripts, which may have set handlers that Python could never run: see `main`.
        signals.watch(&ENDING).map_err(system)?;
        signals.watch(&HANDED_ON).map_err(system)?;
        signals.watch(&GRACEFUL).map_err(system)?;
        let threads = py.detached(|| start(&workers, &launch)).map_err(system)?;
        Ok((workers, signals, loaded, threads))
    });
    let (workers, signals, loaded, threads) = started.inspect_err(|message| failed(&control, message))?;
    let (reason, ending) = py.detached(|| {
        control.send(&Report::Ready { loaded }).map_err(system)?;
        let reason = MainThread::new(&workers, &launch, &control, &signals).wait_for_end();
        let stuck = workers.roster.abandoned() > 0 || reason == Reason::DeadlockTimeout;
        let ending = Ending::begin(&launch, stuck);
        if !stuck {
            for thread in threads {
                // A thread that panicked has reported it.
                let _ = thread.join();
            }
        }
        if !launch.finish {
            os::exit_now(0);
        }
        Ok((reason, ending))
    })?;
    ending.attached.store(true, Ordering::SeqCst);
    workers.interpreters.finish(py, reason.name());
    os::exit_now(0)
}

/// What asks a process to end, and what asks for its replacement.
const ENDING: [i32; 2] = [libc::SIGTERM, libc::SIGINT];
const GRACEFUL: [i32; 2] = [libc::SIGUSR1, libc::SIGXCPU];

fn failed(control: &ControlDaemon, message: &Message) {
    // If the supervisor is gone, the message still reaches whoever reads the output.
    let _ = control.send(&Report::Failed { code: message.code, text: message.text.clone() });
}

/// `activity` is the present one: a process that is forked has another than the one it was forked from.
fn facts(launch: &Launch, activity: &Arc<Mutex<Arc<Activity>>>) -> Facts {
    let activity = Arc::clone(activity);
    Facts {
        process_group: launch.group.clone(),
        processes: launch.processes,
        threads: launch.threads,
        run_once: launch.threads == 1 && launch.maximum_requests == 1,
        httpd_version: launch.httpd_version,
        home: launch.home.clone(),
        interpreters: launch.interpreters.clone(),
        reload_in_place: false,
        loading: Some(Arc::new(move |done| {
            let activity = activity.lock();
            if done { activity.loaded() } else { activity.loading() }
        })),
    }
}

fn prepare(
    interpreters: Interpreters,
    launch: &Launch,
    listener: OwnedFd,
    status: StatusPage,
    roster: Roster,
    control: &Arc<ControlDaemon>,
) -> io::Result<Arc<Workers>> {
    let equipment = Equipment {
        listener,
        control: Arc::clone(control),
        status,
        roster,
        slot: launch.slot as usize,
        threads: launch.threads,
        processes: launch.processes,
        httpd_uid: launch.httpd_uid,
        socket_timeout: patience(launch.socket_timeout_ms),
        maximum_requests: Some(launch.maximum_requests).filter(|most| *most > 0),
    };
    Workers::new(interpreters, equipment).map(Arc::new)
}

fn start(workers: &Arc<Workers>, launch: &Launch) -> io::Result<Vec<thread::JoinHandle<()>>> {
    if let Some(timeout) = patience(launch.deadlock_timeout_ms) {
        let workers = Arc::clone(workers);
        let builder = thread::Builder::new().name("wsgi-heartbeat".into()).stack_size(SMALL_STACK);
        builder.spawn(move || heartbeat(&workers, timeout))?;
    }
    (1..=launch.threads)
        .map(|thread_id| {
            let mut builder = thread::Builder::new().name(format!("wsgi-{thread_id}"));
            if launch.stack_size > 0 {
                builder = builder.stack_size(launch.stack_size as usize);
            } else {
                builder = builder.stack_size(DEFAULT_STACK);
            }
            let workers = Arc::clone(workers);
            builder.spawn(move || workers.work(thread_id))
        })
        .collect()
}

/// What the main thread of a process has on Linux; Rust's own default is too small for deep recursion.
const DEFAULT_STACK: usize = 8 * 1024 * 1024;

/// For threads that run next to no Python.
const SMALL_STACK: usize = 256 * 1024;

/// Shows the supervisor that every interpreter lets others in: it sees how long this thread waits.
fn heartbeat(workers: &Workers, timeout: Duration) {
    let pause = (timeout / 10).min(Duration::from_secs(30));
    let mut states = ThreadStates::new(workers.interpreters.main().state);
    loop {
        thread::sleep(pause);
        for interpreter in workers.interpreters.all() {
            let state = states.of(&interpreter, workers.interpreters.main().state);
            workers.roster.activity.attaching(true);
            state.attached(|_| ());
            workers.roster.activity.attaching(false);
        }
    }
}

/// What the main thread has in view while the workers work; it holds no GIL.
struct MainThread<'a> {
    workers: &'a Arc<Workers>,
    launch: &'a Launch,
    control: &'a ControlDaemon,
    signals: &'a SignalEvent,
    publisher: Publisher,
    supervised: bool,
    /// Why the process ends, once it does.
    reason: Option<Reason>,
    /// An order to stop bounds the end: what still runs then ends with the process.
    deadline: Option<Instant>,
}

impl<'a> MainThread<'a> {
    fn new(
        workers: &'a Arc<Workers>,
        launch: &'a Launch,
        control: &'a ControlDaemon,
        signals: &'a SignalEvent,
    ) -> Self {
        let publisher = Publisher::new(workers);
        MainThread {
            workers,
            launch,
            control,
            signals,
            publisher,
            supervised: true,
            reason: None,
            deadline: None,
        }
    }

    /// Does as it is ordered, until after an order to end every thread has ended.
    fn wait_for_end(mut self) -> Reason {
        while !self.workers.have_ended() {
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                // Threads that still run Python must not meet its finalization.
                os::exit_now(0);
            }
            // Only for want of memory can it fail, and then the next one may not.
            let _ = self.turn(left);
        }
        self.reason.unwrap_or(if self.workers.runs_once() {
            Reason::MaximumRequests
        } else {
            Reason::Shutdown
        })
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
            os::clear_event(workers.end_event());
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
            libc::SIGUSR1 if self.launch.eviction => self.report(&Report::Renew(Reason::EvictionSignal)),
            libc::SIGUSR1 => self.report(&Report::Renew(Reason::GracefulSignal)),
            libc::SIGXCPU => self.report(&Report::Renew(Reason::CpuTimeLimit)),
            other => self.publisher.publish(other),
        }
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
                    write_process_output(Level::Error, format!("{}\n", Message::new(335, text)).as_bytes());
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
        let latest = patience(self.launch.shutdown_timeout_ms).map(|patience| Instant::now() + patience);
        self.deadline = self.deadline.or(latest);
    }

    /// Python's own signal handler writes them, which works whoever holds the GIL. Not every interpreter has one.
    fn show_stacks(&self) {
        for interpreter in self.workers.interpreters.all() {
            if let Some(signal) = interpreter.world.stacks_signal {
                // A process can always send itself a signal.
                let _ = os::kill(std::process::id() as i32, signal);
                continue;
            }
            let show = move || {
                ThreadState::new(interpreter.state).attached(|py| interpreter.world.show_stacks(py));
            };
            // What is missing without memory for a thread is no more than this.
            let _ = thread::Builder::new().name("wsgi-stacks".into()).spawn(show);
        }
    }

    fn report(&self, report: &Report) {
        // Without a supervisor there is nobody to tell.
        let _ = self.control.send(report);
    }
}

/// The end of the interpreters, which has a bound as well: threads and exit functions of the application can
/// take any time, and where the GIL is never given back not even they can begin.
struct Ending {
    attached: Arc<AtomicBool>,
}

/// How long a process in which something is stuck tries to get hold of Python for an orderly end.
const GIL_PATIENCE: Duration = Duration::from_millis(500);

impl Ending {
    fn begin(launch: &Launch, stuck: bool) -> Ending {
        let attached = Arc::new(AtomicBool::new(false));
        let ending = Ending { attached: Arc::clone(&attached) };
        let patience = patience(launch.shutdown_timeout_ms);
        let watch = move || {
            if stuck {
                thread::sleep(GIL_PATIENCE);
                if !attached.load(Ordering::SeqCst) {
                    os::exit_now(0);
                }
            }
            let Some(patience) = patience else { return };
            thread::sleep(patience);
            let text = "the threads and exit functions of the application did not end within shutdown-timeout; the \
                        process ends without them";
            write_process_output(Level::Warning, format!("{}\n", Message::new(388, text)).as_bytes());
            os::exit_now(0)
        };
        // The supervisor's patience is a bound too.
        let _ = thread::Builder::new().name("wsgi-ending".into()).stack_size(SMALL_STACK).spawn(watch);
        ending
    }
}

/// A time of the launch message; None stands for no bound.
fn patience(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

fn not_started_by_httpd(error: &io::Error) -> Message {
    let text = format!(
        "serve() was called outside of a daemon process that httpd's module started ({error}); \
         it is configured by WSGIDaemonProcess, not called by hand"
    );
    Message::new(384, text)
}

fn system(error: io::Error) -> Message {
    Message::new(385, format!("a system call failed while the daemon was starting: {error}"))
}
