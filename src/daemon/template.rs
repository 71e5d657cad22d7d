//! A daemon that serves nothing (`preload=On`): it has loaded the group's scripts, and others are forked from it.
//!
//! Runs in daemons, called by `daemon::serve`, which goes on in the forked processes only. It has one thread, so
//! that a fork leaves nothing behind; scripts of other interpreters than the main one, which cannot be forked with,
//! are left to the forked processes.

use super::activity::Activity;
use super::control::{ControlDaemon, Report};
use super::launch::Launch;
use super::os;
use crate::python::Attached;
use crate::wsgi::interpreters::Interpreters;
use crate::wsgi::preload;
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// How long a forked process waits to become a child of the supervisor.
const ADOPTION: Duration = Duration::from_secs(5);

/// What a forked process has of its own.
pub struct Forked {
    pub control: ControlDaemon,
    pub launch: Launch,
    pub activity: Activity,
}

/// Comes back in the processes that are forked, and only there, unless something goes wrong before.
pub fn main(
    py: Attached<'_>,
    interpreters: &Interpreters,
    launch: &Launch,
    control: &ControlDaemon,
) -> io::Result<Forked> {
    let mut scripts = launch.preload.clone();
    scripts.retain(|script| script.application_group.is_empty());
    let loaded = preload::load_all(py, interpreters, &scripts);
    let supervisor = os::parent_pid();
    py.detached(|| control.send(&Report::Ready { loaded }))?;
    loop {
        let next = py.detached(|| control.receive_fork());
        // The supervisor is gone, or says something else: there is nothing to be a template for.
        let Ok(its_control) = next else { os::exit_now(0) };
        if interpreters.main().world.fork(py) {
            let forked = py.detached(|| take_over(its_control, supervisor));
            // Nobody is there to tell.
            let forked = forked.unwrap_or_else(|_error| os::exit_now(1));
            interpreters.main().world.publish_fork(py);
            return Ok(forked);
        }
    }
}

fn take_over(control: ControlDaemon, supervisor: i32) -> io::Result<Forked> {
    let launch = control.receive_launch()?;
    let (output, activity) = control.receive_equipment()?;
    for number in [1, 2] {
        os::place_descriptor(output.as_fd(), number)?;
    }
    let latest = Instant::now() + ADOPTION;
    while os::parent_pid() != supervisor {
        if Instant::now() > latest {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    os::die_with_parent(libc::SIGKILL)?;
    if os::parent_pid() != supervisor {
        return Err(io::ErrorKind::NotFound.into());
    }
    let _ = os::set_title(&launch.display_name);
    control.send(&Report::Born(std::process::id() as i32))?;
    Ok(Forked { control, launch, activity: Activity::from_fd(activity.as_fd())? })
}
