//! A daemon's main thread: from the import of this library to the end of the process.
//!
//! Runs in daemons: the bootstrap calls `serve()` of the extension module, which is `main` here. The
//! main thread prepares the interpreter, loads the scripts, starts the workers, and then only waits
//! for orders and signals, detached. At the end each interpreter is
//! finished here, and the process ends without Python's own finalization.

use super::control::{ControlDaemon, Order, Report};
use super::launch::Launch;
use super::os::{self, SignalEvent};
use super::service;
use super::signals::{HANDED_ON, Publisher};
use super::spawn::{self, Inherited};
use super::status::StatusPage;
use super::worker::{Equipment, Workers};
use crate::log::{Level, Message};
use crate::python::attach;
use crate::python::{Attached, Object};
use crate::wsgi::interpreters::Interpreters;
use crate::wsgi::log_stream::write_process_output;
use crate::wsgi::preload;
use crate::wsgi::world::Facts;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
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
    let Inherited { control, listener, status } = inherited;
    let launch = control.receive_launch().map_err(|error| not_started_by_httpd(&error))?;
    // Without /proc, as in a chroot, ps goes on to show the interpreter.
    let _ = os::set_title(&launch.display_name);

    attach::count_forks();
    if launch.threads == 0 {
        let interpreters =
            Interpreters::new(py, facts(&launch)).inspect_err(|message| failed(&control, message))?;
        return service::main(py, &interpreters, &launch, control, &status).map_err(system);
    }
    let control = Arc::new(control);
    let started = prepare(py, &launch, listener, status, &control).and_then(|workers| {
        let signals = SignalEvent::new().map_err(system)?;
        // These would end a process that is still starting.
        signals.watch(&HANDED_ON).map_err(system)?;
        let loaded = preload::load_all(py, &workers.interpreters, &launch.preload);
        // After the scripts, which may have set handlers that Python could never run: see `main`.
        signals.watch(&[libc::SIGTERM, libc::SIGINT]).map_err(system)?;
        signals.watch(&HANDED_ON).map_err(system)?;
        let threads = py.detached(|| start(&workers, &launch)).map_err(system)?;
        Ok((workers, signals, loaded, threads))
    });
    let (workers, signals, loaded, threads) = started.inspect_err(|message| failed(&control, message))?;
    py.detached(|| {
        control.send(&Report::Ready { loaded }).map_err(system)?;
        wait_for_end(&workers, &launch, &control, &signals);
        for thread in threads {
            // A thread that panicked has reported it.
            let _ = thread.join();
        }
        Ok(())
    })?;
    if launch.finish {
        workers.interpreters.finish(py, "shutdown_signal");
    }
    os::exit_now(0)
}

fn failed(control: &ControlDaemon, message: &Message) {
    // If the supervisor is gone, the message still reaches whoever reads the output.
    let _ = control.send(&Report::Failed { code: message.code, text: message.text.clone() });
}

fn facts(launch: &Launch) -> Facts {
    Facts {
        process_group: launch.group.clone(),
        processes: launch.processes,
        threads: launch.threads,
        httpd_version: launch.httpd_version,
        home: launch.home.clone(),
        interpreters: launch.interpreters.clone(),
        reload_in_place: false,
    }
}

fn prepare(
    py: Attached<'_>,
    launch: &Launch,
    listener: OwnedFd,
    status: StatusPage,
    control: &Arc<ControlDaemon>,
) -> Result<Arc<Workers>, Message> {
    let interpreters = Interpreters::new(py, facts(launch))?;
    let timeout = Some(Duration::from_millis(launch.socket_timeout_ms)).filter(|time| !time.is_zero());
    let equipment = Equipment {
        listener,
        control: Arc::clone(control),
        status,
        slot: launch.slot as usize,
        threads: launch.threads,
        processes: launch.processes,
        httpd_uid: launch.httpd_uid,
        socket_timeout: timeout,
    };
    Workers::new(interpreters, equipment).map(Arc::new).map_err(system)
}

fn start(workers: &Arc<Workers>, launch: &Launch) -> io::Result<Vec<thread::JoinHandle<()>>> {
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

/// Does as it is ordered, until after an order to end every thread has ended. An order to stop (SIGTERM and the
/// loss of the supervisor are such) bounds that: what still runs then ends with the process.
fn wait_for_end(workers: &Arc<Workers>, launch: &Launch, control: &ControlDaemon, signals: &SignalEvent) {
    let publisher = Publisher::new(workers);
    let (mut supervised, mut deadline) = (true, None);
    while workers.ended() < launch.threads {
        let left = deadline.map(|deadline: Instant| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            // Threads that still run Python must not meet its finalization.
            os::exit_now(0);
        }
        let mut fds = vec![os::PollFd::reading(workers.end_event()), os::PollFd::reading(signals.as_fd())];
        if supervised {
            fds.push(os::PollFd::reading(control.as_fd()));
        }
        if os::poll(&mut fds, left).is_err() {
            continue;
        }
        let [ended, signalled, ordered] = [0, 1, 2].map(|i| fds.get(i).is_some_and(os::PollFd::is_ready));
        if ended {
            os::clear_event(workers.end_event());
        }
        let came = if signalled { signals.take() } else { Vec::new() };
        came.iter().for_each(|signal| publisher.publish(*signal));
        let order = if came.iter().any(|signal| matches!(*signal, libc::SIGTERM | libc::SIGINT)) {
            Some(Order::Stop)
        } else if ordered {
            control.receive(Some(Duration::ZERO)).unwrap_or_else(|_| {
                supervised = false;
                Some(Order::Stop)
            })
        } else {
            None
        };
        match order {
            Some(Order::Serve) => workers.accept(),
            Some(Order::Drain) => workers.drain(),
            Some(Order::Stop) => {
                workers.drain();
                // Without a shutdown-timeout the supervisor's own patience is the bound.
                let patience = Some(launch.shutdown_timeout_ms).filter(|patience| *patience > 0);
                let latest = patience.map(|patience| Instant::now() + Duration::from_millis(patience));
                deadline = deadline.or(latest);
            }
            None => {}
        }
    }
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
