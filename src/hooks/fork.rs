//! The parent's care for the supervisor: it is forked for each generation, and forked again if it is lost.
//!
//! Runs in the httpd parent: `start_supervisor` at every start and restart, `pre_mpm` at all but graceful
//! ones, `monitor` now and then, and `supervisor_lost` when httpd sees that the process has ended.

use super::plan;
use crate::apache::log;
use crate::apache::process as httpd;
use crate::apache::scoreboard;
use crate::apache::server::{Server, main_server};
use crate::control::generation;
use crate::log::{Code, Journal, Level, Message, wording};
use crate::os;
use crate::process::{Configuration, PARENT, Parent, Supervisor, module_file};
use crate::supervisor;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A supervisor that is lost sooner than this after its start is replaced only after a pause.
const QUICKLY_LOST: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

/// Starts the supervisor of a new generation. None where there is nothing to supervise.
pub fn start_supervisor(
    parent: &mut Parent,
    configuration: &Arc<Configuration>,
) -> Result<Option<Supervisor>, Message> {
    if plan::supervised(configuration).next().is_none() {
        return Ok(None);
    }
    let (watch, holder) = generation::pair().map_err(no_supervisor)?;
    let mut supervisor = Supervisor { pid: 0, started: Instant::now(), watch, holder: Some(holder) };
    if scoreboard::exists() {
        fork_supervisor(parent, configuration, &mut supervisor, Duration::ZERO)?;
    }
    Ok(Some(supervisor))
}

/// A supervisor sees the scoreboard only if it was there when it was forked.
pub fn pre_mpm() -> Result<(), Message> {
    fork_missing_supervisor()
}

/// A supervisor that was lost is forked again as soon as the system lets it.
pub fn monitor() {
    if let Err(message) = fork_missing_supervisor() {
        log::server_message(main_server(), &message);
    }
}

fn fork_missing_supervisor() -> Result<(), Message> {
    let mut parent = PARENT.lock();
    let Some(mut current) = parent.current.take() else { return Ok(()) };
    let waiting = current.supervisor.as_mut().filter(|supervisor| supervisor.pid == 0);
    let forked = waiting.map_or(Ok(()), |supervisor| {
        fork_supervisor(&mut parent, &current.configuration, supervisor, Duration::ZERO)
    });
    parent.current = Some(current);
    forked
}

fn fork_supervisor(
    parent: &mut Parent,
    configuration: &Configuration,
    supervisor: &mut Supervisor,
    pause: Duration,
) -> Result<(), Message> {
    let watch = supervisor.watch.try_clone().map_err(no_supervisor)?;
    let parent_pid = parent.pid;
    supervisor.pid = os::fork_process(|| {
        // Only the parent and its children may hold these, or ports stay in use and no generation ends.
        httpd::close_listeners();
        drop(supervisor.holder.take());
        std::thread::sleep(pause);
        let plan = plan::supervision(parent, configuration, module_file(), watch, parent_pid);
        supervisor::run(plan, &ServerJournal(&configuration.group_servers));
    })
    .map_err(no_supervisor)?;
    supervisor.started = Instant::now();
    httpd::watch(supervisor.pid, supervisor_lost);
    Ok(())
}

fn no_supervisor(error: std::io::Error) -> Message {
    Message::new(
        Code::SupervisorNotStarted,
        format!("the supervisor of the daemon processes could not be started: {}", wording(&error)),
    )
}

/// A supervisor's messages go to the error log of the group's virtual host.
struct ServerJournal<'a>(&'a [Server]);

impl Journal for ServerJournal<'_> {
    fn record(&self, group: Option<usize>, message: &Message) {
        let server = group.and_then(|group| self.0.get(group)).copied().unwrap_or_else(main_server);
        log::server_message(server, message);
    }

    fn output(&self, group: usize, pid: i32, level: Level, line: &[u8]) {
        let server = self.0.get(group).copied().unwrap_or_else(main_server);
        let mut record = format!("[wsgi process {pid}] ").into_bytes();
        record.extend_from_slice(line);
        log::server(server, level, &record);
    }
}

/// httpd's other-child callback: the daemons end with their supervisor, so it must be replaced.
fn supervisor_lost(pid: i32) {
    let mut parent = PARENT.lock();
    let Some(mut current) = parent.current.take() else { return };
    let ours = current.supervisor.take_if(|supervisor| supervisor.pid == pid);
    if let Some(mut supervisor) = ours {
        let pause = if supervisor.started.elapsed() < QUICKLY_LOST { PAUSE } else { Duration::ZERO };
        let text =
            format!("the supervisor of the daemon processes (process {pid}) was lost; another is started");
        log::server_message(main_server(), &Message::new(Code::SupervisorLost, text));
        let forked = fork_supervisor(&mut parent, &current.configuration, &mut supervisor, pause);
        if let Err(message) = forked {
            log::server_message(main_server(), &message);
            supervisor.pid = 0;
        }
        current.supervisor = Some(supervisor);
    }
    parent.current = Some(current);
}
