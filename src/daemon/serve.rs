//! A daemon's main thread: from the import of this library to the end of the process.
//!
//! Runs in daemons: the bootstrap calls `serve()` of the extension module, which is `main` here. The main
//! thread prepares the interpreter, loads the scripts, starts the workers, and then only waits for orders and
//! signals (`main_thread`). At the end each interpreter is finished here, and the process ends without
//! Python's own finalization.

use super::beat;
use super::ending::Ending;
use super::inherited::{Inherited, inherited, inherited_scoreboard};
use super::loads::LoadedScripts;
use super::main_thread::{ENDING, MainThread, ProcessEnd, SMALL_STACK, watch_while_loading};
use super::roster::Roster;
use super::service;
use super::template;
use super::worker::{Equipment, Workers};
use crate::control::activity_page::ActivityPage;
use crate::control::channel::ControlDaemon;
use crate::control::group_page::GroupPage;
use crate::control::launch::{Launch, NoLaunch, bound};
use crate::control::message::Report;
use crate::control::reason::Reason;
use crate::control::scoreboard_page::ScoreboardView;
use crate::interpreter::interpreters::Interpreters;
use crate::interpreter::process_log::write_message;
use crate::interpreter::server_metrics::ScoreboardSource;
use crate::interpreter::world::{Companions, LoadStep, ProcessFacts};
use crate::log::{Code, Level, Message, wording};
use crate::os::{self, Host, SignalEvent};
use crate::python::{Attached, Object};
use crate::python::{attach, extension};
use crate::wsgi;
use parking_lot::Mutex;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// `serve()` of the extension module: returns only when the process could not start.
pub fn main(py: Attached<'_>) -> crate::python::object::Result {
    if let Err(message) = serve(py) {
        // The supervisor has it in a report, or is gone.
        write_message(&message);
    }
    Ok(Object::none(py))
}

fn serve(py: Attached<'_>) -> Result<(), Message> {
    let inherited = inherited().map_err(|error| not_started_by_httpd(&error))?;
    let Inherited { control, listener, page, activity } = inherited;
    let scripts = Arc::new(LoadedScripts::default());
    let launch = received(&control, &scripts).inspect_err(|message| failed(&control, message))?;
    // Without /proc, as in a chroot, ps goes on to show the interpreter.
    let _ = os::set_title(&launch.group.display_name);

    attach::count_forks();
    let (control, activity) = (Arc::new(control), Arc::new(activity));
    let ties =
        Arc::new(Mutex::new(Ties { control: Arc::clone(&control), activity, slot: launch.slot as usize }));
    let scoreboard_page = if launch.group.server_metrics { inherited_scoreboard().ok() } else { None };
    let page = Arc::new(page);
    let interpreters = Interpreters::new(py, facts(&launch, &ties, &scripts, scoreboard_page, &page));
    let interpreters = interpreters.inspect_err(|message| failed(&control, message))?;
    if launch.group.threads == 0 {
        let signals = SignalEvent::new().map_err(system)?;
        put_away_in_copies(&listener, &page, &ties.lock().activity, &control, &signals);
        return service::main(py, &interpreters, &launch, control, signals, &page).map_err(system);
    }
    let (launch, signals) = if launch.template {
        let forked = template::main(py, &interpreters, &launch, control, &scripts).map_err(system)?;
        *ties.lock() = Ties::new(Arc::new(forked.control), Arc::new(forked.activity), &forked.launch);
        attach::forget_forks();
        interpreters.main().world.publish_fork(py);
        (admitted(forked.launch, &scripts, &ties.lock().control), forked.signals)
    } else {
        let signals = SignalEvent::new().map_err(system);
        (launch, signals.inspect_err(|message| failed(&control, message))?)
    };
    let Ties { control, activity, .. } = ties.lock().clone();
    put_away_in_copies(&listener, &page, &activity, &control, &signals);
    let roster = Roster::new(launch.group.threads, activity, launch.group.limits.request.is_some());
    let equipment = Equipment { listener, control: Arc::clone(&control), page, roster, launch };
    let prepared = Workers::new(interpreters, equipment).map(Arc::new);
    let started = prepared.map_err(system).and_then(|workers| {
        let launch = &workers.launch;
        watch_while_loading(&signals).map_err(system)?;
        let loads = scripts.load(py, &workers.interpreters, &launch.preload, &launch.learned);
        // After the scripts, which may have set handlers that Python could never run: see `main`.
        signals.watch(&ENDING).map_err(system)?;
        watch_while_loading(&signals).map_err(system)?;
        let threads = py.detached(|| start(&workers)).map_err(system)?;
        Ok((workers, Report::Ready { loads, python: extension::full_version(py) }, threads))
    });
    let (workers, ready, threads) = started.inspect_err(|message| failed(&control, message))?;
    // All of it detached: where an application never lets go of the GIL, the end begins all the same.
    let (end, ending) = py.detached(|| {
        control.send(&ready).map_err(system)?;
        let end = MainThread::new(&workers, &control, &signals).wait_for_end();
        let ending = begin_ending(&workers, threads, &end);
        Ok((end, ending))
    })?;
    ending.got_attached();
    workers.interpreters.finish(py, end.reason.name());
    ending.finished();
    if let Some(latest) = end.latest {
        py.detached(|| workers.let_requests_end(latest));
    }
    os::exit_now(0)
}

fn received(control: &ControlDaemon, scripts: &LoadedScripts) -> Result<Launch, Message> {
    let launch = control.receive_launch().map_err(|why| match why {
        NoLaunch::Lost(error) => not_started_by_httpd(&error),
        NoLaunch::OtherBuild(build) => other_build(&build),
    });
    Ok(admitted(launch?, scripts, control))
}

/// EX_CONFIG of sysexits.h: a failure that was reported.
const REPORTED: i32 = 78;

/// The launch without scripts that may not run. A process without its service script ends: it is not needed.
fn admitted(mut launch: Launch, scripts: &LoadedScripts, control: &ControlDaemon) -> Launch {
    let mut refused = scripts.admit(&mut launch, control);
    if launch.group.threads == 0
        && let Some(message) = refused.pop()
    {
        failed(control, &message);
        os::exit_now(REPORTED);
    }
    for message in refused {
        write_message(&message.at(Level::Warning));
    }
    launch
}

/// Sets the bound of the process's end and waits for the threads that can come to one. Detached from Python.
fn begin_ending(workers: &Workers, threads: Vec<thread::JoinHandle<()>>, end: &ProcessEnd) -> Ending {
    let launch = &workers.launch;
    let left = end.latest.map(|latest| latest.saturating_duration_since(Instant::now()));
    let stuck = workers.roster.abandoned() > 0 || end.reason == Reason::DeadlockTimeout || left.is_some();
    let ending = Ending::begin(left.or(bound(launch.group.shutdown_timeout)), stuck);
    if !stuck {
        for thread in threads {
            // A thread that panicked has reported it.
            let _ = thread.join();
        }
    }
    if !launch.finish {
        os::exit_now(0);
    }
    ending
}

/// What an application's fork is not to have. From here on: a template forks the group's own processes
/// before.
fn put_away_in_copies(
    listener: &OwnedFd,
    page: &GroupPage,
    activity: &ActivityPage,
    control: &ControlDaemon,
    signals: &SignalEvent,
) {
    os::keep_from_copies(listener.as_fd());
    os::keep_from_copies(signals.as_fd());
    page.keep_from_copies();
    activity.keep_from_copies();
    control.keep_from_copies();
    os::put_away_in_copies(Host::Daemon);
}

fn failed(control: &ControlDaemon, message: &Message) {
    // If the supervisor is gone, the message still reaches the reader of the output.
    let _ = control.send(&Report::Failed(message.clone()));
}

/// What a process shares with its supervisor. One that is forked has others than the one it was forked from.
#[derive(Clone)]
struct Ties {
    control: Arc<ControlDaemon>,
    activity: Arc<ActivityPage>,
    /// Its slot on the group page.
    slot: usize,
}

impl Ties {
    fn new(control: Arc<ControlDaemon>, activity: Arc<ActivityPage>, launch: &Launch) -> Ties {
        Ties { control, activity, slot: launch.slot as usize }
    }
}

/// How long an application waits for the supervisor to show it the scoreboard.
const SCOREBOARD_PATIENCE: Duration = Duration::from_secs(2);

/// The other processes of the group as its page has them.
fn companions(page: &Arc<GroupPage>) -> Companions {
    let page = Arc::clone(page);
    Arc::new(move || page.pids().filter(|pid| *pid != std::process::id() as i32).collect())
}

fn facts(
    launch: &Launch,
    ties: &Arc<Mutex<Ties>>,
    scripts: &Arc<LoadedScripts>,
    scoreboard_page: Option<ScoreboardView>,
    page: &Arc<GroupPage>,
) -> ProcessFacts {
    let (of_loading, of_scoreboard, scripts) = (Arc::clone(ties), Arc::clone(ties), Arc::clone(scripts));
    let page_of_loading = Arc::clone(page);
    let scoreboard = move |page: &ScoreboardView| {
        let control = Arc::clone(&of_scoreboard.lock().control);
        // An application that is told nothing asks again, or does without.
        page.see(|| control.send(&Report::AskScoreboard), SCOREBOARD_PATIENCE).ok()
    };
    ProcessFacts {
        process_group: launch.group.name.clone(),
        processes: launch.group.maximum_processes,
        threads: launch.group.threads,
        maximum_interpreters: launch.group.maximum_interpreters,
        run_once: launch.group.runs_once(),
        server: launch.server.clone(),
        home: launch.group.home.as_ref().map(|home| home.to_string_lossy().into_owned()).unwrap_or_default(),
        interpreters: launch.interpreters.clone(),
        reload_in_place: false,
        watcher: Some(Arc::new(move |step| {
            let Ties { control, activity, slot } = of_loading.lock().clone();
            match step {
                LoadStep::Begins => {
                    activity.loading();
                    page_of_loading.set_loading(slot, true);
                }
                LoadStep::Ends => page_of_loading.set_loading(slot, false),
                LoadStep::Done { script, application_group } => {
                    activity.loaded();
                    // A successor that does not hear of it loads it when it is asked for.
                    let _ = scripts.note(script, application_group).map(|report| control.send(&report));
                }
                LoadStep::Held { script, holding } => {
                    let script = String::from_utf8_lossy(script).into_owned();
                    // Unheard it is as any other failure.
                    let _ = control.send(&Report::Held { script, holding });
                }
            }
        })),
        companions: Some(companions(page)),
        protocol: wsgi::protocol::prepare,
        scoreboard: scoreboard_page.map(|page| Arc::new(move || scoreboard(&page)) as ScoreboardSource),
    }
}

fn start(workers: &Arc<Workers>) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let launch = &workers.launch;
    if launch.group.chroot.is_none() {
        os::trust_overlay_of_root();
    }
    if let Some(timeout) = launch.group.limits.deadlock {
        let workers = Arc::clone(workers);
        let builder = thread::Builder::new().name("wsgi-heartbeat".into()).stack_size(SMALL_STACK);
        builder.spawn(move || beat::beat(&workers, timeout))?;
    }
    (1..=launch.group.threads)
        .map(|thread_id| {
            let mut builder = thread::Builder::new().name(format!("wsgi-{thread_id}"));
            builder = builder.stack_size(launch.group.stack_size.unwrap_or(DEFAULT_STACK));
            let workers = Arc::clone(workers);
            builder.spawn(move || workers.work(thread_id))
        })
        .collect()
}

/// What the main thread of a process has on Linux; Rust's own default is too small for deep recursion.
const DEFAULT_STACK: usize = 8 * 1024 * 1024;

fn not_started_by_httpd(error: &io::Error) -> Message {
    let text = format!(
        "serve() was called outside of a daemon process that httpd's module started ({}); \
         it is configured by WSGIDaemonProcess, not called by hand",
        wording(error)
    );
    Message::new(Code::NotStartedByHttpd, text)
}

fn other_build(of_httpd: &str) -> Message {
    let text = format!(
        "the module's file that this process could load is of build {}, and httpd has loaded build {of_httpd}: stop \
         and start httpd, for which a graceful restart is not enough; for a group with chroot= copy the file that \
         httpd loads into that directory again",
        os::build()
    );
    Message::new(Code::OtherBuild, text)
}

fn system(error: io::Error) -> Message {
    Message::new(
        Code::DaemonStartFailed,
        format!("a system call failed while the daemon was starting: {}", wording(&error)),
    )
}
