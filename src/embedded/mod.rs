//! Embedded mode: Python inside this httpd child.
//!
//! Runs in httpd children that serve embedded locations; `exchange::here` hands the requests in. The first
//! request loads libpython, or the child's start does for a `WSGIImportScript`. One thread of the child is
//! Python's main thread (`main`): it makes the main interpreter, waits for the child's end and then finishes
//! all interpreters. Requests run on httpd's own threads.

mod probe;

mod library_place;
mod options;

use crate::apache::log;
use crate::apache::server::main_server;
use crate::interpreter::interpreters::{Interpreters, ThreadStates};
use crate::interpreter::preload;
use crate::interpreter::process_log;
use crate::interpreter::transaction::Transaction;
use crate::log::{Code, Level, Message, wording};
use crate::os::{self, Host, SignalMask};
use crate::python::library::{self, Program};
use crate::python::{Attached, attach};
use crate::question::Purpose;
use crate::request::{Body, Reply, Request};
use crate::verdict::ask;
use crate::wsgi::run;
use once_cell::sync::OnceCell;
pub use options::Options;
use parking_lot::{Condvar, Mutex};
use std::cell::RefCell;
use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// A start that failed is tried again after this, then after twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How long the child's end waits for threads and exit functions of the applications.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Python in this child.
pub struct Embedded {
    options: Options,
    /// The library, once it is loaded.
    program: OnceCell<Program>,
    /// Set once it runs, for good.
    interpreters: OnceCell<Interpreters>,
    state: Mutex<PythonState>,
    changed: Condvar,
}

enum PythonState {
    NotStarted,
    Starting,
    Failed {
        message: Message,
        since: Instant,
        retry: Duration,
    },
    Running,
    /// The child ends: applications' exit functions run.
    Ending,
    Ended,
}

impl Embedded {
    pub fn new(options: Options) -> Embedded {
        Embedded {
            options,
            program: OnceCell::new(),
            interpreters: OnceCell::new(),
            state: Mutex::new(PythonState::NotStarted),
            changed: Condvar::new(),
        }
    }

    /// Runs a request's application, or asks its script.
    pub fn run(
        &'static self,
        request: &Request<'_>,
        body: &mut dyn Body,
        reply: &mut dyn Reply,
    ) -> Result<(), Message> {
        let interpreters = self.interpreters()?;
        let main = interpreters.main().state;
        let group = String::from_utf8_lossy(request.application_group);
        let (thread_id, main_state, blocked) =
            with_thread(interpreters, |thread| (thread.id, thread.states.main(), thread.blocked));
        let interpreter = interpreters.get(&main_state, &group)?;
        let state = with_thread(interpreters, |thread| thread.states.of(&interpreter, main));
        let waits = interpreter.world.events.wait_begins();
        Transaction::conduct(body, reply, request.body, waits, |transaction| {
            interpreter.in_turn(&state, |py| {
                transaction.attached();
                match request.purpose {
                    Purpose::Application => run::run(py, &interpreter, request, thread_id, transaction),
                    _ => ask::run(py, &interpreter, request, transaction),
                }
            })
        });
        // CPython's own multiprocessing leaves SIGTERM unblocked: httpd would send its children one in vain.
        blocked.set();
        Ok(())
    }

    /// Whether httpd's child has more than one thread for requests.
    pub fn has_threads(&self) -> bool {
        self.options.facts.threads > 1
    }

    fn interpreters(&'static self) -> Result<&'static Interpreters, Message> {
        if let Some(running) = self.interpreters.get() {
            return Ok(running);
        }
        let mut state = self.state.lock();
        loop {
            let retry = match &*state {
                PythonState::Starting => {
                    self.changed.wait(&mut state);
                    continue;
                }
                PythonState::Failed { message, since, retry } if since.elapsed() < *retry => {
                    return Err(message.clone());
                }
                PythonState::Failed { retry, .. } => (*retry * 2).min(LONGEST_RETRY),
                PythonState::NotStarted => FIRST_RETRY,
                PythonState::Running | PythonState::Ending | PythonState::Ended => break,
            };
            *state = PythonState::Starting;
            drop(state);
            let started = self.start();
            state = self.state.lock();
            if let Err(message) = started {
                *state = PythonState::Failed { message, since: Instant::now(), retry };
                self.changed.notify_all();
            }
        }
        drop(state);
        self.interpreters
            .get()
            .ok_or_else(|| Message::new(Code::ChildEnding, "this child of httpd is ending"))
    }

    /// Has libpython run on a thread of its own, which comes to `main` and says how that went.
    fn start(&'static self) -> Result<(), Message> {
        let python = probe::probe(&self.options)?;
        let unusable = |why: String| {
            let text = format!("{} could not be loaded into httpd: {why}", python.library.display());
            Message::new(Code::LibraryUnusable, text)
        };
        let program = self.program.get_or_try_init(|| {
            if library::is_occupied() {
                let text = "another module of httpd has loaded a Python of its own: remove its LoadModule line \
                            (mod_wsgi, mod_python), or use daemon mode (WSGIDaemonProcess and WSGIProcessGroup)";
                return Err(Message::new(Code::LibraryOccupied, text));
            }
            library::load(&python.library).map_err(|error| unusable(error.to_string()))
        })?;
        let words = [python.executable.as_os_str().as_encoded_bytes().to_vec()]
            .into_iter()
            .chain(self.options.flags.iter().map(|flag| flag.clone().into_bytes()))
            .chain([
                b"-c".to_vec(),
                BOOTSTRAP.into(),
                self.options.module.as_os_str().as_encoded_bytes().to_vec(),
            ]);
        let arguments: Result<Vec<CString>, _> = words.map(CString::new).collect();
        let arguments = arguments.map_err(|error| unusable(error.to_string()))?;
        process_log::send_to(to_error_log);
        library::keep_signals();
        program.run(arguments, |status| self.ended(status)).map_err(|error| unusable(error.to_string()))
    }

    /// `embed()` of the extension module: Python's main thread, until the process ends.
    /// Comes back only if it cannot start.
    pub fn main(&self, py: Attached<'_>) {
        library::restore_signals();
        attach::count_forks();
        os::put_away_in_copies(Host::Httpd);
        let made = Interpreters::new(py, self.options.facts.clone());
        let interpreters = match self.interpreters.get_or_try_init(|| made) {
            Ok(interpreters) => interpreters,
            Err(message) => {
                let failed = PythonState::Failed { message, since: Instant::now(), retry: FIRST_RETRY };
                return py.detached(|| self.enter(failed));
            }
        };
        py.detached(|| self.enter(PythonState::Running));
        // What fails is in the log, and tried again by the requests for it.
        preload::load_all(py, interpreters, &self.options.preload);
        py.detached(|| {
            let mut state = self.state.lock();
            self.changed.wait_while(&mut state, |state| !matches!(state, PythonState::Ending));
        });
        interpreters.finish(py, "");
        py.detached(|| {
            self.enter(PythonState::Ended);
            // Python is left as it is: httpd's threads may still be in it.
            loop {
                std::thread::park();
            }
        })
    }

    fn enter(&self, next: PythonState) {
        *self.state.lock() = next;
        self.changed.notify_all();
    }

    /// Python's own main function has come back, which it should not.
    fn ended(&self, status: i32) {
        let mut state = self.state.lock();
        if !matches!(*state, PythonState::Failed { .. }) {
            let text = format!("Python ended at once with status {status}; its output above says why");
            let message = Message::new(Code::PythonEnded, text);
            *state = PythonState::Failed { message, since: Instant::now(), retry: FIRST_RETRY };
        }
        self.changed.notify_all();
    }

    /// Begins to load the scripts that are wanted before the first request; does not wait for them.
    pub fn preload(&'static self) {
        if self.options.preload.is_empty() {
            return;
        }
        let start = || {
            if let Err(message) = self.interpreters() {
                to_error_log(message.level, message.to_string().as_bytes());
            }
        };
        let thread = std::thread::Builder::new().name("python-start".into());
        if let Err(error) = library::without_signals(|| thread.spawn(start)) {
            let text = format!("the scripts of WSGIImportScript could not be loaded: {}", wording(&error));
            let message = Message::new(Code::PreloadNotStarted, text);
            to_error_log(message.level, message.to_string().as_bytes());
        }
    }

    /// The child ends: gives applications what they may expect of their end, within bounds.
    pub fn end(&self) {
        // On prefork a signal may end the child in the middle of Python code of this very thread.
        let interrupted = attach::is_attached();
        attach::keep_states();
        if !self.options.finish || interrupted {
            return;
        }
        let deadline = Instant::now() + SHUTDOWN;
        let Some(mut state) = self.state.try_lock_until(deadline) else { return };
        if matches!(*state, PythonState::Running) {
            *state = PythonState::Ending;
            self.changed.notify_all();
            let ending = |state: &mut PythonState| matches!(state, PythonState::Ending);
            self.changed.wait_while_until(&mut state, ending, deadline);
        }
    }
}

/// Lines that belong to no request.
fn to_error_log(level: Level, lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        log::server(main_server(), level, line);
    }
}

/// What a thread of httpd is to Python.
struct Thread {
    /// `mod_wsgi.thread_id`.
    id: u32,
    states: ThreadStates,
    /// The signals that httpd leaves to another thread.
    blocked: SignalMask,
}

thread_local! {
    static THREAD: RefCell<Option<Thread>> = const { RefCell::new(None) };
}

fn with_thread<R>(interpreters: &Interpreters, work: impl FnOnce(&mut Thread) -> R) -> R {
    static THREADS: AtomicU32 = AtomicU32::new(0);
    THREAD.with_borrow_mut(|thread| {
        work(thread.get_or_insert_with(|| Thread {
            id: THREADS.fetch_add(1, Ordering::Relaxed) + 1,
            states: ThreadStates::new(interpreters.main().state),
            blocked: SignalMask::current(),
        }))
    })
}
