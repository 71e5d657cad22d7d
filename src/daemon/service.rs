//! A daemon without worker threads (`threads=0`): its main thread executes service scripts, one after
//! another.
//!
//! Runs in daemons, in the place of the workers. A signal can ask only the main thread to end what it does.
//! So a thread beside it listens to the supervisor and hands orders on as SIGTERM. In the main interpreter
//! `service.py` turns that into SystemExit in the script. Other interpreters have no signal handlers; there
//! the thread sets the exception itself.

use super::main_thread::{ENDING, GRACEFUL};
use crate::control::channel::ControlDaemon;
use crate::control::group_page::GroupPage;
use crate::control::launch::{LONGEST_SHUTDOWN, Launch, bound};
use crate::control::message::{Loads, Order, Report};
use crate::control::reason::Reason;
use crate::interpreter::interpreters::Interpreters;
use crate::interpreter::process_log::write_message;
use crate::interpreter::service::{ScriptEnd, execute};
use crate::log::{Code, Level, Message, wording};
use crate::os::{self, PollFd, SignalEvent};
use crate::python::attach::{self, InterpreterState, ThreadState};
use crate::python::error::{self, Exc};
use crate::python::{Attached, Exception, Object, extension};
use crate::script::Preload;
use parking_lot::Mutex;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const HANDLERS: &str = concat!(include_str!("service.py"), "\0");

/// How often a new process looks whether those of older configurations have gone.
const LOOK_FOR_OLDER: Duration = Duration::from_millis(20);

/// Beyond its shutdown-timeout an older process is not waited for longer than this.
const GRACE: Duration = Duration::from_secs(2);

/// What the main thread and the one beside it share.
struct Service {
    control: Arc<ControlDaemon>,
    signals: SignalEvent,
    /// The interpreter besides the main one that executes a script, and the thread in it.
    elsewhere: Mutex<Option<(InterpreterState, u64)>>,
    /// The supervisor has ordered the end.
    ordered: AtomicBool,
}

/// Returns only what went wrong before the first script.
pub fn main(
    py: Attached<'_>,
    interpreters: &Interpreters,
    launch: &Launch,
    control: Arc<ControlDaemon>,
    signals: SignalEvent,
    page: &GroupPage,
) -> io::Result<()> {
    let service = Service { control, signals, elsewhere: Mutex::default(), ordered: AtomicBool::new(false) };
    let service = Arc::new(service);
    let (loads, python) = (Loads::default(), extension::full_version(py));
    py.detached(|| {
        service.control.send(&Report::Ready { loads, python })?;
        service.wait_for_older(launch, page);
        let beside = Arc::clone(&service);
        thread::Builder::new().name("wsgi-orders".into()).spawn(move || beside.listen()).map(drop)
    })?;
    let (mut last, mut status) = (None, 0);
    for script in &launch.preload {
        let end = service.execute(py, interpreters, script);
        if attach::forks() > 0 {
            // A process that the script has forked came back from it; what follows is the original's.
            os::exit_now(end.status);
        }
        status = end.status;
        last = Some((script, end));
        // One that fails is the last: those after it may need what it was to do.
        if status != 0 || service.is_ordered() {
            break;
        }
    }
    if launch.finish {
        interpreters.finish(py, if service.is_ordered() { Reason::Shutdown.name() } else { "" });
    }
    if service.is_ordered() {
        os::exit_now(0);
    }
    if let Some((script, end)) = last {
        write_message(&ended_message(script, &end));
    }
    os::exit_now(status)
}

fn ended_message(script: &Preload, end: &ScriptEnd) -> Message {
    let text = format!(
        "the service script '{}' {} without being told to end; its process ends with it, and is started again",
        script.script, end.how
    );
    Message::new(Code::ServiceEnded, text).at(end.level)
}

impl Service {
    fn is_ordered(&self) -> bool {
        self.ordered.load(Ordering::SeqCst)
    }

    /// A service is not to run twice, so the processes of older configurations, which are told to end as soon
    /// as all new ones are ready, are given the time to. The process ends here if it is told to meanwhile.
    fn wait_for_older(&self, launch: &Launch, page: &GroupPage) {
        let patience = bound(launch.group.shutdown_timeout).unwrap_or(LONGEST_SHUTDOWN);
        let latest = Instant::now() + patience + GRACE;
        let mut may_run = false;
        while !may_run || (page.is_used_by_older(launch.generation) && Instant::now() < latest) {
            match self.control.receive(may_run.then_some(LOOK_FOR_OLDER)) {
                Ok(Some(Order::Serve)) => may_run = true,
                // The others are about requests.
                Ok(None | Some(Order::Interrupt(_) | Order::Expire(_) | Order::ShowStacks)) => {}
                Ok(Some(Order::Drain(_) | Order::Stop(_))) | Err(_) => os::exit_now(0),
            }
        }
    }

    fn execute(&self, py: Attached<'_>, interpreters: &Interpreters, script: &Preload) -> ScriptEnd {
        let main = interpreters.main();
        if script.application_group.is_empty() {
            return match handle_signals(py) {
                Ok(()) => execute(py, &main.world, &script.script),
                Err(reason) => not_executed(reason),
            };
        }
        py.detached(|| {
            let main_state = ThreadState::new(main.state);
            let interpreter = match interpreters.get(&main_state, &script.application_group) {
                Ok(interpreter) => interpreter,
                Err(message) => return not_executed(message.to_string()),
            };
            ThreadState::new(interpreter.state).attached(|py| {
                let here = (interpreter.state, attach::thread_ident(py));
                py.detached(|| *self.elsewhere.lock() = Some(here));
                let watched = self.signals.watch(&ENDING).and_then(|()| self.signals.watch(&GRACEFUL));
                if let Err(error) = watched {
                    return not_executed(wording(&error));
                }
                let end = execute(py, &interpreter.world, &script.script);
                py.detached(|| *self.elsewhere.lock() = None);
                end
            })
        })
    }

    /// The thread beside the script. Signals come to its event only while the script is elsewhere.
    fn listen(&self) {
        let mut told = false;
        loop {
            let mut fds = vec![PollFd::reading(self.signals.as_fd())];
            if !self.is_ordered() {
                fds.push(PollFd::reading(self.control.as_fd()));
            }
            if os::poll(&mut fds, None).is_err() {
                continue;
            }
            let [signalled, ordered] = [0, 1].map(|i| fds.get(i).is_some_and(PollFd::is_ready));
            drop(fds);
            if ordered && !matches!(self.control.receive(Some(Duration::ZERO)), Ok(None | Some(Order::Serve)))
            {
                self.ordered.store(true, Ordering::SeqCst);
                // To itself, which cannot fail.
                let _ = os::kill(std::process::id() as i32, libc::SIGTERM);
            }
            if signalled && !self.signals.take().is_empty() && !told {
                told = self.raise_elsewhere();
            }
        }
    }

    fn raise_elsewhere(&self) -> bool {
        let elsewhere = self.elsewhere.lock();
        let Some((interpreter, thread)) = *elsewhere else { return false };
        ThreadState::new(interpreter).attached(|py| {
            error::raise_in_thread(py, thread, &Exc::SystemExit.object(py));
        });
        true
    }
}

/// Has SIGTERM and SIGINT raise SystemExit in the main interpreter.
fn handle_signals(py: Attached<'_>) -> Result<(), String> {
    let source = CStr::from_bytes_with_nul(HANDLERS.as_bytes()).expect("one NUL, at the end");
    let set = Object::dict(py).and_then(|globals| Object::execute(py, source, c"<mod_wsgi_rs>", &globals));
    set.map_err(|_raised| Exception::fetch(py).value.shown(py))
}

fn not_executed(reason: String) -> ScriptEnd {
    ScriptEnd { status: 1, how: format!("could not be executed ({reason})"), level: Level::Error }
}
