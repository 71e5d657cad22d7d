//! Makes a daemon process: fork, descriptors, privileges, exec of the group's own Python.
//!
//! Runs in the supervisor, which has one thread only, so that the forked child may do more than make system
//! calls before it executes Python. What goes wrong in the child is reported like the failures of the
//! daemon that it would have become. `daemon::inherited` is the other side.

#![allow(unsafe_code)]

mod privileges;
mod reader;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use crate::control::activity_page::{self, ActivityPage};
use crate::control::channel::{self, ControlDaemon, ControlSupervisor, Pipes};
use crate::control::launch::{
    ACTIVITY_PAGE_FD, CONTROL_FD, GROUP_PAGE_FD, LISTENER_FD, Launch, MODULE_FD, REPORT_FD,
    SCOREBOARD_PAGE_FD,
};
use crate::control::message::Report;
use crate::control::module_file::ModuleFile;

use crate::config::interpreter::without_gil;
use crate::config::process_group::ProcessGroup;
use crate::log::{Code, Message, wording};
use crate::os;
use crate::site::{environment, interpreter};
pub use reader::Reader;

/// What the daemon's Python runs. It is also what makes the memory of the arguments long enough for
/// every title.
const BOOTSTRAP: &str = include_str!("../daemon/bootstrap.py");

/// EX_CONFIG of sysexits.h: a failure that was reported.
const REPORTED: i32 = 78;

/// Numbers below this are given to the daemon's descriptors.
const SAFE_NUMBER: i32 = 10;

/// What all daemons of a configuration are started with.
pub struct Launcher {
    /// Options of the interpreter, such as `-B` or `-O`.
    pub flags: Vec<String>,
    pub module: &'static ModuleFile,
    /// Added to the environment of every daemon, such as `PYTHONHASHSEED`.
    pub environment: Vec<(String, String)>,
    /// The user of httpd's children.
    pub httpd_uid: u32,
    /// The soft limit of descriptors that they shall have; None is the supervisor's.
    pub descriptors: Option<u64>,
    /// `WSGIDestroyInterpreter`.
    pub finish: bool,
    /// The program that a test has Python run instead of `BOOTSTRAP`.
    #[cfg(test)]
    pub program: Option<String>,
}

/// A process on its way to be a daemon.
pub struct Spawned {
    /// 0 where it is not known yet.
    pub pid: i32,
    pub control: ControlSupervisor,
    /// Reading ends, non-blocking, of what its reader hands over.
    pub output: Pipes,
    pub activity: ActivityPage,
    pub reader: Reader,
}

/// What all processes of a group have.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    pub listener: BorrowedFd<'a>,
    pub page: BorrowedFd<'a>,
    /// Where they may see httpd's scoreboard.
    pub scoreboard_page: Option<BorrowedFd<'a>>,
    /// What they enter while they are root.
    pub walls: Option<BorrowedFd<'a>>,
}

/// The child's ends of everything.
struct Ends<'a> {
    theirs: Theirs,
    common: Common<'a>,
    module: Option<BorrowedFd<'a>>,
}

impl Launcher {
    pub fn spawn(
        &self,
        group: &ProcessGroup,
        common: &Common<'_>,
        launch: &Launch,
    ) -> Result<Spawned, Message> {
        fork_daemon(group, self, common, launch).map_err(|error| {
            let text = format!(
                "the system has no resources for another process: {}; see the limits of the service that \
                 starts httpd (TasksMax, LimitNPROC, LimitNOFILE) and the memory of the machine",
                wording(&error)
            );
            Message::new(Code::NoResources, text)
        })
    }

    fn command(
        &self,
        group: &ProcessGroup,
        python: &Path,
        from_files: Vec<(OsString, OsString)>,
        without_gil: bool,
    ) -> Command {
        let mut command = Command::new(python);
        command.args(&self.flags).arg("-c").arg(self.program()).arg(&self.module.path);
        command.args(self.module.fd().map(|_| MODULE_FD.to_string()));
        // Where Python is, and what it is, was decided above.
        command.env_remove("PYTHONHOME").env_remove("__PYVENV_LAUNCHER__");
        if group.identity.is_some() {
            // Also where nothing takes their place.
            for (name, _) in env::vars_os().filter(|(name, _)| is_of_a_session(name)) {
                command.env_remove(name);
            }
        }
        command.envs(user_environment(group));
        let locale = [("LANG", &group.lang), ("LC_ALL", &group.locale)];
        command.envs(locale.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        if let Some(eggs) = &group.python_eggs {
            command.env("PYTHON_EGG_CACHE", eggs);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if !without_gil {
            // A free-threaded build keeps its GIL unless it is told to do without; others do not mind.
            command.env("PYTHON_GIL", "1");
        }
        command.envs(from_files);
        command.envs(group.env.iter().map(|(name, value)| (name, value)));
        command
    }

    #[cfg(not(test))]
    fn program(&self) -> &str {
        BOOTSTRAP
    }

    #[cfg(test)]
    fn program(&self) -> &str {
        self.program.as_deref().unwrap_or(BOOTSTRAP)
    }
}

/// Variables that hold the name of the user.
const USER_NAMES: [&str; 3] = ["USER", "LOGNAME", "USERNAME"];

/// Others that tell of the user who started httpd, and of the session that user was logged in with.
const OF_SESSIONS: [&str; 6] =
    ["HOME", "MAIL", "XDG_RUNTIME_DIR", "XDG_SEAT", "XDG_VTNR", "DBUS_SESSION_BUS_ADDRESS"];
const BEGIN_OF_SESSIONS: [&str; 3] = ["SUDO_", "SSH_", "XDG_SESSION_"];

fn is_of_a_session(name: &OsStr) -> bool {
    let begins = |begin: &&str| name.as_encoded_bytes().starts_with(begin.as_bytes());
    USER_NAMES.iter().chain(&OF_SESSIONS).any(|one| name == *one) || BEGIN_OF_SESSIONS.iter().any(begins)
}

/// Has a template fork a process; who it is, it says itself (`Report::Born`).
pub fn fork_from(template: &ControlSupervisor, launch: &Launch) -> io::Result<Spawned> {
    let (spawned, theirs) = equip(launch)?;
    spawned.control.send_equipment(&theirs.output, theirs.activity.as_fd())?;
    template.send_fork(&theirs.control)?;
    drop(theirs);
    spawned.reader.begin();
    Ok(spawned)
}

/// A daemon's own ends of what its supervisor has the others of.
struct Theirs {
    control: ControlDaemon,
    output: Pipes,
    activity: OwnedFd,
}

/// Both ends for a process that is still to be; it has been sent its launch.
fn equip(launch: &Launch) -> io::Result<(Spawned, Theirs)> {
    let (mut control, daemon_control) = channel::pair()?;
    control.send_launch(launch)?;
    let ((output, daemon_output), (error, daemon_error)) = (os::pipe()?, os::pipe()?);
    for pipe in [&output, &error] {
        os::set_nonblocking(pipe.as_fd(), true)?;
    }
    let memory = activity_page::create(launch.group.threads)?;
    let activity = ActivityPage::from_fd(memory.as_fd())?;
    activity.keep_from_forks();
    let ends = [output.as_fd(), error.as_fd(), control.as_fd()];
    let writers = [daemon_output.as_fd(), daemon_error.as_fd(), daemon_control.reports()];
    let (reader, [output, error, reports]) = Reader::start(&launch.group.name, ends, writers)?;
    control.hear_through(reports);
    let output = Pipes { output, error };
    let daemon_output = Pipes { output: daemon_output, error: daemon_error };
    let theirs = Theirs { control: daemon_control, output: daemon_output, activity: memory };
    Ok((Spawned { pid: 0, control, output, activity, reader }, theirs))
}

fn user_environment(group: &ProcessGroup) -> Vec<(&'static str, OsString)> {
    let Some(identity) = &group.identity else { return Vec::new() };
    let mut pairs = Vec::new();
    if !identity.user_name.is_empty() {
        pairs.extend(USER_NAMES.map(|name| (name, OsString::from(&identity.user_name))));
    }
    if !identity.user_home.as_os_str().is_empty() {
        pairs.push(("HOME", identity.user_home.clone().into_os_string()));
    }
    pairs
}

fn fork_daemon(
    group: &ProcessGroup,
    launcher: &Launcher,
    common: &Common<'_>,
    launch: &Launch,
) -> io::Result<Spawned> {
    let (spawned, mut theirs) = equip(launch)?;
    // Out of the way of the numbers that are given away: the report of a failure goes through it.
    let above = |fd: BorrowedFd<'_>| os::duplicate_above(fd, SAFE_NUMBER);
    theirs.control = ControlDaemon::new(above(theirs.control.as_fd())?, above(theirs.control.reports())?);
    let ends = Ends { theirs, common: *common, module: launcher.module.fd() };
    let supervisor = std::process::id() as i32;
    os::gate("fork")?;
    // SAFETY: the supervisor has no other thread that could hold a lock in the child; the child
    // never returns from this function.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let start = Start { group, launcher, supervisor, without_gil: without_gil(&launch.interpreters) };
            let become_it = AssertUnwindSafe(|| become_daemon(&start, &ends));
            let failure = catch_unwind(become_it).unwrap_or_else(|_| {
                Message::new(
                    Code::StartStepFailed,
                    "the start of the process failed in a way that should not be possible",
                )
            });
            // If the supervisor has gone, its daemons are gone too.
            let _ = ends.theirs.control.send(&Report::Failed(failure));
            os::exit_now(REPORTED)
        }
        pid => {
            drop(ends);
            spawned.reader.begin();
            Ok(Spawned { pid, ..spawned })
        }
    }
}

/// What is to become of a forked process.
struct Start<'a> {
    group: &'a ProcessGroup,
    launcher: &'a Launcher,
    supervisor: i32,
    without_gil: bool,
}

/// Does not return but with what went wrong.
fn become_daemon(start: &Start<'_>, ends: &Ends<'_>) -> Message {
    let Start { group, launcher, supervisor, .. } = *start;
    os::play("starting");
    // A session of its own: what a site says of its session's place in the scheduler's order, or sends to its
    // process group, concerns no other.
    let prepared =
        os::reset_signals().and_then(|()| os::new_session()).and_then(|()| place_descriptors(ends));
    if let Err(error) = prepared {
        return Message::new(
            Code::StartStepFailed,
            format!(
                "the step 'session and descriptors' before the start of Python failed: {}",
                wording(&error)
            ),
        );
    }
    let mut command = match start.command() {
        Ok(command) => command,
        Err(failure) => return failure,
    };
    let taken_on = privileges::take_on(group, launcher.httpd_uid, supervisor, ends.common.walls)
        .and_then(|()| launcher.descriptors.map_or(Ok(()), privileges::limit_descriptors));
    if let Err(failure) = taken_on {
        return failure;
    }
    let error = command.exec();
    let program = Path::new(command.get_program()).display();
    let text = format!(
        "{program} cannot be executed: {}; let the group's user execute it and pass through the directories \
         above it (a link may lead to another place), or correct python-home= or python=",
        wording(&error)
    );
    Message::new(Code::PythonNotExecuted, text)
}

impl Start<'_> {
    /// What the site's places say of the program to execute. They are in the site's hands: they are looked at
    /// here, in the process that is the site's already, so that one that does not answer keeps no other; and
    /// with the rights of the group.
    fn command(&self) -> Result<Command, Message> {
        let rights = privileges::rights_to_files(self.group)?;
        let from_files = environment::of_files(self.group, rights.as_ref())?;
        let python = match &rights {
            None => interpreter::to_execute(self.group)?,
            Some(rights) => {
                privileges::take_rights(&rights.of_group)?;
                let python = interpreter::to_execute(self.group);
                privileges::take_rights(&rights.of_root)?;
                python?
            }
        };
        Ok(self.launcher.command(self.group, &python, from_files, self.without_gil))
    }
}

/// Standard input is empty, 1 and 2 are the output. Behind them stand the descriptors that `control::launch`
/// numbers; scoreboard page and module are optional. Exec closes all others.
fn place_descriptors(ends: &Ends<'_>) -> io::Result<()> {
    let above = |fd: BorrowedFd<'_>| os::duplicate_above(fd, SAFE_NUMBER);
    let nothing = above(File::open("/dev/null")?.as_fd())?;
    let Pipes { output, error } = &ends.theirs.output;
    let (output, error) = (above(output.as_fd())?, above(error.as_fd())?);
    let (control, reports) = (above(ends.theirs.control.as_fd())?, above(ends.theirs.control.reports())?);
    let (listener, page) = (above(ends.common.listener)?, above(ends.common.page)?);
    let activity = above(ends.theirs.activity.as_fd())?;
    let (scoreboard, module) =
        (ends.common.scoreboard_page.map(above).transpose()?, ends.module.map(above).transpose()?);
    os::close_on_exec_from(3)?;
    let mut places = vec![
        (&nothing, 0),
        (&output, 1),
        (&error, 2),
        (&control, CONTROL_FD),
        (&listener, LISTENER_FD),
        (&page, GROUP_PAGE_FD),
        (&activity, ACTIVITY_PAGE_FD),
        (&reports, REPORT_FD),
    ];
    places.extend(scoreboard.as_ref().map(|page| (page, SCOREBOARD_PAGE_FD)));
    places.extend(module.as_ref().map(|module| (module, MODULE_FD)));
    places.iter().try_for_each(|(fd, number)| os::place_descriptor(fd.as_fd(), *number))
}
