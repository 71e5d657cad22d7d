//! A template (`preload=On`): a process that has loaded the group's scripts and serves no requests. Daemons
//! are forked from it.
//!
//! Runs in templates; `daemon::serve` goes on in the forked processes only. A template has one thread, so
//! that a fork leaves nothing behind. An interpreter other than the main one cannot be forked with: the
//! forked processes load its scripts.

use super::loads::LoadedScripts;
use super::main_thread::{GRACEFUL, watch_while_loading};
use crate::control::activity_page::ActivityPage;
use crate::control::channel::ControlDaemon;
use crate::control::launch::Launch;
use crate::control::message::Report;
use crate::interpreter::interpreters::Interpreters;
use crate::os::{self, PollFd, SignalEvent};
use crate::python::{Attached, extension};
use crate::script::Preload;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a forked process waits to become a child of the supervisor.
const ADOPTION: Duration = Duration::from_secs(5);

/// What a forked process has of its own.
pub struct Forked {
    pub control: ControlDaemon,
    pub launch: Launch,
    pub activity: ActivityPage,
    pub signals: SignalEvent,
}

/// Comes back in the processes that are forked, and only there, unless something goes wrong before.
pub fn main(
    py: Attached<'_>,
    interpreters: &Interpreters,
    launch: &Launch,
    control: Arc<ControlDaemon>,
    loaded: &LoadedScripts,
) -> io::Result<Forked> {
    let signals = SignalEvent::new()?;
    // Before and after the scripts, as in other daemons.
    watch_while_loading(&signals)?;
    let of_main = |scripts: &[Preload]| {
        let of_main = scripts.iter().filter(|script| script.application_group.is_empty());
        of_main.cloned().collect::<Vec<_>>()
    };
    let loads = loaded.load(py, interpreters, &of_main(&launch.preload), &of_main(&launch.learned));
    watch_while_loading(&signals)?;
    let supervisor = os::parent_pid();
    let python = extension::full_version(py);
    py.detached(|| control.send(&Report::Ready { loads, python }))?;
    loop {
        let next = py.detached(|| wait_for_order(&control, &signals));
        // The supervisor wants no more, or is gone; or the next processes are to have another template.
        let Ok(its_control) = next else { os::exit_now(0) };
        os::die_with_parent_after_next_fork();
        match interpreters.main().world.fork(py) {
            Some(0) => {
                drop(control);
                let forked = py.detached(|| take_over(its_control, signals, supervisor));
                // No process is there to tell.
                let forked = forked.unwrap_or_else(|_error| os::exit_now(1));
                return Ok(forked);
            }
            // It says so itself, unless an at-fork function keeps it; then it can at least be ended.
            Some(pid) => drop(py.detached(|| its_control.send(&Report::Born(pid)))),
            // The supervisor sees that no process is left that could report.
            None => {}
        }
    }
}

/// The control socket of the next process. Of the signals, those for subscribers are for the forked
/// processes, and those that ask for a replacement are an error here.
fn wait_for_order(control: &ControlDaemon, signals: &SignalEvent) -> io::Result<ControlDaemon> {
    loop {
        let mut fds = [PollFd::reading(signals.as_fd()), PollFd::reading(control.as_fd())];
        os::poll(&mut fds, None)?;
        let ordered = fds[1].is_ready();
        if signals.take().iter().any(|signal| GRACEFUL.contains(signal)) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if ordered {
            return control.receive_fork();
        }
    }
}

fn take_over(control: ControlDaemon, of_template: SignalEvent, supervisor: i32) -> io::Result<Forked> {
    // First the new one, so that the handler always has where to write; then what came for the template is
    // forgotten.
    let signals = SignalEvent::new()?;
    of_template.take();
    drop(of_template);
    // It is of the template's own build.
    let launch = control.receive_launch().map_err(|_| io::ErrorKind::InvalidData)?;
    let (output, activity) = control.receive_equipment()?;
    for (pipe, number) in [(&output.output, 1), (&output.error, 2)] {
        os::place_descriptor(pipe.as_fd(), number)?;
    }
    let latest = Instant::now() + ADOPTION;
    while os::parent_pid() != supervisor {
        // A supervisor that has ended adopts no process.
        if Instant::now() > latest || os::has_hung_up(control.as_fd()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    os::die_with_parent(libc::SIGKILL)?;
    if os::parent_pid() != supervisor {
        return Err(io::ErrorKind::NotFound.into());
    }
    let _ = os::set_title(&launch.group.display_name);
    control.send(&Report::Born(std::process::id() as i32))?;
    Ok(Forked { control, launch, activity: ActivityPage::from_fd(activity.as_fd())?, signals })
}
