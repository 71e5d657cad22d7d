//! The supervisor: starts the daemons of one configuration generation, watches, replaces and stops them.
//!
//! A small process with one thread, forked from the httpd parent before its children; `run` is all that it
//! does. It executes no site's code, maps no Python, looks at no place of a site's and waits for no log: a site
//! that floods it, or stands still, keeps itself only. This file waits for what happens, `supervisor::group`
//! decides what is to be done about a group, and `supervisor::supervised` does it.
//!
//! The supervisor ends, and with it every daemon, when no process is left that could send a request
//! (`control::generation`), on SIGTERM, or when the httpd parent has gone in whatever way. Where a newer
//! generation is coming, its daemons serve that one's children too, until it has daemons of its own.

mod groups;
mod turn_rate;

mod sleepers;
mod supervised;

mod plan;

mod group;
mod log_writer;
mod output;

mod strays;

mod backoff;

#[cfg(test)]
mod scene;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::generation::{GenerationWatch, Tidings};
use crate::log::{Code, Journal, Message, wording};
use crate::os::{self, PollFd, SignalFd};
use groups::{Groups, Source};
use log_writer::LogWriter;
pub use plan::{GroupPlan, Plan, Start, longest_shutdown};
use supervised::Shared;
use turn_rate::TurnRate;

/// How often an older generation looks whether a newer one has taken over, once one is coming.
const LOOK_FOR_SUCCESSORS: Duration = Duration::from_millis(100);

/// How often the parent is looked for where the kernel cannot tell when it ends.
const LOOK_FOR_PARENT: Duration = Duration::from_secs(1);

/// When nothing can be waited for, that is tried again after a pause, and so often before all is given up.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
const MOST_FAILURES: u32 = 100;

/// A parent whose children are gone, and its end of the generation pipe too, is given this time to be
/// gone itself: then the socket files go with it.
const PARENT_MAY_BE_ENDING: Duration = Duration::from_millis(100);

/// How long a turn may read what daemons write.
const OUTPUT_OF_TURN: Duration = Duration::from_millis(5);

/// What can end a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GenerationEnd {
    /// No process is left that could send a request.
    AllGone,
    Told,
    ParentGone,
}

struct Supervisor<'a> {
    shared: &'a Shared<'a>,
    log: &'a LogWriter<'a>,
    groups: Groups<'a>,
    watch: GenerationWatch,
    signals: SignalFd,
    parent: i32,
    /// Readable when the parent has gone; None where the kernel has no such thing.
    parent_watch: Option<OwnedFd>,
    newer_is_coming: bool,
    /// All holders of this generation have gone.
    all_gone: bool,
    ending: Option<GenerationEnd>,
    turn_rate: TurnRate,
}

/// Returns when the generation has ended, with no daemon left; the caller then leaves the process at once.
///
/// To be called in the forked process, after its copies of httpd's listening sockets and of the parent's
/// end of the generation pipe were closed: else ports stay in use, and the generation never ends.
pub fn run(plan: Plan, journal: &dyn Journal) {
    os::play("supervisor");
    let Plan { groups, generation, watch, start, parent } = plan;
    groups.iter().for_each(|plan| plan.listener.page.keep_from_forks());
    let leave = leave_httpd();
    let log = LogWriter::start(journal);
    let shared = Shared { generation, start, journal: &log, images: RefCell::default() };
    match leave.and_then(|()| Supervisor::new(groups, &shared, watch, parent, &log)) {
        Ok(mut supervisor) => supervisor.work(),
        Err(error) => {
            let text = format!(
                "the supervisor of the daemon processes cannot run: {}; see the limits of the service that \
                 starts httpd",
                wording(&error)
            );
            log.record(None, &Message::new(Code::SupervisorFailed, text));
        }
    }
}

/// What httpd's parent had of signals, session and title.
fn leave_httpd() -> io::Result<()> {
    os::reset_signals()?;
    // What an administrator's `kill` or a terminal sends to all of httpd's processes is for httpd.
    for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGWINCH, libc::SIGPIPE] {
        os::ignore_signal(signal);
    }
    // Neither is worth ending for: a leader of a session stays where it is, a title is a nicety.
    let _ = os::new_session();
    let _ = os::set_title("(wsgi:supervisor)");
    Ok(())
}

impl<'a> Supervisor<'a> {
    fn new(
        groups: Vec<GroupPlan>,
        shared: &'a Shared<'a>,
        watch: GenerationWatch,
        parent: i32,
        log: &'a LogWriter<'a>,
    ) -> io::Result<Self> {
        // Those of a template, and what applications leave behind (`strays`).
        os::adopt_orphans()?;
        Ok(Supervisor {
            groups: Groups::new(groups, shared)?,
            shared,
            log,
            watch,
            signals: SignalFd::new(&[libc::SIGCHLD, libc::SIGTERM])?,
            parent,
            parent_watch: os::pidfd(parent).ok(),
            newer_is_coming: false,
            all_gone: false,
            ending: None,
            turn_rate: TurnRate::new(Instant::now()),
        })
    }

    fn work(&mut self) {
        self.groups.begin();
        let mut failures = 0;
        while self.ending.is_none() || !self.groups.is_empty() {
            let Err(error) = self.turn() else {
                failures = 0;
                continue;
            };
            failures += 1;
            if failures == MOST_FAILURES {
                let text = format!(
                    "the supervisor cannot wait for its processes and stops them: {}",
                    wording(&error)
                );
                self.shared.journal.record(None, &Message::new(Code::SupervisorFailed, text));
                self.end(GenerationEnd::Told);
            }
            // Whatever it is, it is not to be asked for without a pause.
            thread::sleep(PAUSE_AFTER_FAILURE);
            self.groups.tick(Instant::now());
            self.groups.reap();
        }
        self.end_strays();
        self.clean_up();
    }

    /// Waits for something to happen, and deals with all that has. What cannot be read now is read in another
    /// turn: no site is to suffer because the system was short of memory for a moment.
    fn turn(&mut self) -> io::Result<()> {
        self.groups.watch_sleepers();
        let mut fds = vec![PollFd::reading(self.signals.as_fd())];
        if !self.all_gone {
            fds.extend(self.watch.waits_for());
        }
        if self.ending.is_none() {
            fds.extend(self.parent_watch.as_ref().map(|parent| PollFd::reading(parent.as_fd())));
        }
        fds.extend(self.log.waits_for().map(PollFd::writing));
        let (own, sources) = (fds.len(), self.groups.descriptors());
        fds.extend(sources.iter().map(|(_, fd)| PollFd::reading(*fd)));
        os::poll(&mut fds, self.patience(Instant::now()))?;
        let ready = sources.iter().zip(&fds[own..]).filter(|(_, fd)| fd.is_ready());
        let mut heard: Vec<Source> = ready.map(|((source, _), _)| *source).collect();
        heard.extend(self.groups.due(Instant::now()));
        heard.dedup();
        let (written, told): (Vec<Source>, Vec<Source>) = heard.into_iter().partition(Source::is_output);
        self.groups.begin_turn();
        for source in told {
            self.groups.hear(source);
        }
        self.look_at_signals();
        if !self.all_gone {
            self.look_at_generation();
        }
        if self.ending.is_none() {
            self.look_at_parent();
        }
        self.groups.look_for_successors();
        if self.all_gone && self.ending.is_none() {
            self.hand_over();
        }
        self.groups.look();
        self.read_output(written);
        self.log.flush();
        if let Some(pause) = self.turn_rate.count(Instant::now()) {
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Last, and no longer than that; what is left is still there in the next turn, which begins elsewhere.
    fn read_output(&mut self, mut written: Vec<Source>) {
        let begun = Instant::now();
        let first = self.turn_rate.number() as usize % written.len().max(1);
        written.rotate_left(first);
        for source in written {
            if begun.elapsed() > OUTPUT_OF_TURN {
                break;
            }
            self.groups.hear(source);
        }
    }

    fn patience(&self, now: Instant) -> Option<Duration> {
        let deadline = self.groups.deadline().map(|deadline| deadline.saturating_duration_since(now));
        let successors = self.newer_is_coming && self.ending.is_none() && !self.groups.is_superseded();
        let successors = successors.then_some(LOOK_FOR_SUCCESSORS);
        let parent = (self.parent_watch.is_none() && self.ending.is_none()).then_some(LOOK_FOR_PARENT);
        [deadline, successors, parent].into_iter().flatten().min()
    }

    fn look_at_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.next_signal() {
            if signal == libc::SIGTERM {
                self.end(GenerationEnd::Told);
            }
        }
        self.groups.reap();
    }

    fn look_at_generation(&mut self) {
        if let Ok(Tidings { newer_is_coming, ended }) = self.watch.read() {
            self.newer_is_coming |= newer_is_coming;
            self.all_gone = ended;
        }
    }

    /// The requests of a newer generation's children may be in the daemons: they are not stopped, but end
    /// when their successors are ready.
    fn hand_over(&mut self) {
        if !self.newer_is_coming {
            self.end(GenerationEnd::AllGone);
        } else if self.groups.is_handed_over() {
            self.ending = Some(GenerationEnd::AllGone);
        }
    }

    fn look_at_parent(&mut self) {
        if self.parent_is_gone() {
            let text = "the parent process of httpd has gone without stopping its daemon processes; they are stopped";
            self.shared.journal.record(None, &Message::new(Code::ParentGone, text));
            self.end(GenerationEnd::ParentGone);
        }
    }

    fn parent_is_gone(&self) -> bool {
        os::parent_pid() != self.parent
    }

    fn end(&mut self, why: GenerationEnd) {
        if self.ending.is_none() {
            self.ending = Some(why);
            self.groups.stop();
        }
    }

    fn end_strays(&self) {
        let count = self.shared.images.borrow().end_forks();
        if count > 0 {
            let text = format!(
                "{count} processes that applications had forked, and that outlived the process that forked them, were \
                 ended with their generation of the configuration; a program that an application starts (as with \
                 subprocess) lives on"
            );
            self.shared.journal.record(None, &Message::new(Code::StraysEnded, text));
        }
    }

    /// Removes the files of sockets that no process will use again, where httpd has no /proc and they have
    /// a name.
    fn clean_up(&self) {
        if self.ending == Some(GenerationEnd::AllGone)
            && let Some(parent) = &self.parent_watch
        {
            let _ = os::readable(parent.as_fd(), Some(PARENT_MAY_BE_ENDING));
        }
        let all = self.parent_is_gone();
        for listener in self.groups.listeners() {
            let page = &listener.page;
            if all || (page.is_retired() && !page.is_used_by_others(self.shared.generation)) {
                // A file that is gone already needs no removal.
                let _ = fs::remove_file(&listener.path);
            }
        }
        let text = format!("generation {} of the configuration has ended", self.shared.generation);
        self.shared.journal.record(None, &Message::new(Code::GenerationEnded, text));
    }
}
