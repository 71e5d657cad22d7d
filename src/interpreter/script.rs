//! WSGI scripts: loading them once per interpreter, noticing that they changed, remembering that they
//! failed.
//!
//! Runs where applications run, for requests and for what is loaded before the first one. Each script has a
//! lock, so a slow import makes requests for other scripts wait for nothing. A thread that waits for the
//! lock is detached from Python.

use super::world::{LoadStep, Watcher, World};
use crate::log::{Code, Message};
use crate::python::{Attached, Exception, Kept, Object};
use crate::script::Holding;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fs;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A script that failed is tried again after this, then after twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The scripts of one interpreter.
pub struct Scripts {
    by_path: Mutex<HashMap<Box<[u8]>, Script>>,
    /// Whether a script that changed is executed anew in the same interpreter; else the whole process is
    /// replaced.
    in_place: bool,
    application_group: String,
    watcher: Option<Watcher>,
}

/// Locked while it is loaded.
type Script = Arc<Mutex<ScriptState>>;

#[derive(Default)]
enum ScriptState {
    #[default]
    New,
    Loaded {
        module: Kept,
        modified: Option<SystemTime>,
        /// `reload_required` of the script, if it has one.
        hook: Option<Kept>,
        /// The hook has said so. It is not asked again: the process is about to be replaced, or the script is
        /// being loaded, or has failed to be and waits for its file to change.
        required: bool,
    },
    Failed {
        reason: String,
        modified: Option<SystemTime>,
        since: Instant,
        retry: Duration,
    },
}

/// Why there is no application to call. `traceback` is there when it is to be logged: once a failure.
#[derive(Debug)]
pub struct Failure {
    pub message: Message,
    pub traceback: Option<String>,
}

/// Why a script is to be loaded anew.
pub enum Change {
    /// The file is not the one that was loaded any more: its new time of modification.
    Modified(SystemTime),
    /// The script itself says so.
    Required,
}

/// A loaded script.
pub struct ScriptModule {
    pub module: Object,
    /// It is to be loaded anew, which is left to a process that replaces this one.
    pub change: Option<Change>,
    /// It could not be loaded anew, or not be asked; the module is what was there before.
    pub failure: Option<Failure>,
}

impl Scripts {
    pub fn new(in_place: bool, application_group: &str, watcher: Option<Watcher>) -> Scripts {
        let application_group = application_group.to_string();
        Scripts { by_path: Mutex::default(), in_place, application_group, watcher }
    }

    /// The script's module, loading it when this is its first use or the last attempt failed long
    /// enough ago. `seen` is when the file was modified by httpd's account; None when a change is to be
    /// ignored. A change is believed only after a look of our own: httpd's may be older than the load.
    pub fn get(
        &self,
        py: Attached<'_>,
        world: &World,
        path: &[u8],
        seen: Option<u64>,
    ) -> Result<ScriptModule, Failure> {
        let script = Arc::clone(self.by_path.lock().entry(path.into()).or_default());
        let mut state = lock(py, &script);
        if let ScriptState::Loaded { module, modified: loaded, hook, required } = &mut *state {
            let differs = seen.is_some() && seen != loaded.map(microseconds);
            let now = differs.then(|| modification(path)).flatten();
            let changed = now.filter(|now| Some(*now) != *loaded);
            let module = module.clone_ref(py);
            let change = changed.map(Change::Modified).or(required.then_some(Change::Required));
            let change = change.filter(|_| seen.is_some());
            if changed.is_some() && self.in_place {
                // Other threads go on with the module as it is.
                *loaded = changed;
                drop(state);
                return Ok(load_anew(py, world, path, &script, module));
            }
            let hook = hook.as_ref().filter(|_| seen.is_some() && change.is_none());
            let hook = hook.map(|hook| hook.clone_ref(py));
            drop(state);
            return Ok(match hook {
                Some(hook) => self.ask(py, world, path, &script, module, &hook),
                None => ScriptModule { module, change: change.filter(|_| !self.in_place), failure: None },
            });
        }
        let modified = modification(path);
        let retry = match &*state {
            ScriptState::Failed { reason, modified: failed, since, retry } => {
                let changed = seen.is_some() && modified != *failed;
                if !changed && since.elapsed() < *retry {
                    return Err(Failure { message: still_failing(path, reason), traceback: None });
                }
                if changed { FIRST_RETRY } else { (*retry * 2).min(LONGEST_RETRY) }
            }
            _ => FIRST_RETRY,
        };
        self.tell(LoadStep::Begins);
        let held = |holding| self.tell(LoadStep::Held { script: path, holding });
        let loaded = load(py, world, path, modified, retry, &mut state, held);
        self.tell(LoadStep::Ends);
        if loaded.is_ok() {
            self.tell(LoadStep::Done { script: path, application_group: &self.application_group });
        }
        loaded
    }

    fn tell(&self, step: LoadStep<'_>) {
        if let Some(watcher) = &self.watcher {
            watcher(step);
        }
    }

    /// Has the script say whether it is to be loaded anew. Its lock is not held meanwhile.
    fn ask(
        &self,
        py: Attached<'_>,
        world: &World,
        path: &[u8],
        script: &Mutex<ScriptState>,
        module: Object,
        hook: &Object,
    ) -> ScriptModule {
        let argument = Object::filesystem(py, path);
        let answer = argument.and_then(|path| hook.call(py, [path])).and_then(|answer| answer.is_true(py));
        let failure = answer.is_err().then(|| not_asked(py, world, path));
        if answer != Ok(true) {
            return ScriptModule { module, change: None, failure };
        }
        // Of several requests that hear it, one goes on.
        let first = match &mut *lock(py, script) {
            ScriptState::Loaded { module: current, required, .. } if current.is(&module) => {
                !mem::replace(required, true)
            }
            _ => false,
        };
        match self.in_place {
            true if first => load_anew(py, world, path, script, module),
            true => ScriptModule { module, change: None, failure: None },
            false => ScriptModule { module, change: Some(Change::Required), failure: None },
        }
    }
}

fn not_asked(py: Attached<'_>, world: &World, path: &[u8]) -> Failure {
    let (reason, traceback) = describe(py, world);
    let text = format!(
        "reload_required() of the script '{}' raised an exception: {reason}. The script is not loaded anew",
        shown(path)
    );
    Failure { message: Message::new(Code::ReloadHookFailed, text), traceback: Some(traceback) }
}

/// The hook `reload_required` that a script may have.
fn hook(py: Attached<'_>, world: &World, module: &Object) -> Option<Kept> {
    let name = world.name(py, b"reload_required").map_err(|_raised| drop(Exception::fetch(py))).ok()?;
    module.optional_attribute(py, &name).filter(|found| found.is_callable(py)).map(Object::keep)
}

/// Executes a changed script; what was there before goes on where that fails, until it changes again.
fn load_anew(
    py: Attached<'_>,
    world: &World,
    path: &[u8],
    script: &Mutex<ScriptState>,
    old: Object,
) -> ScriptModule {
    match world.load_script(py, path) {
        Ok(new) => {
            let new_hook = hook(py, world, &new);
            if let ScriptState::Loaded { module, hook, required, .. } = &mut *lock(py, script) {
                mem::replace(module, new.clone_ref(py).keep()).release(py);
                if let Some(old) = mem::replace(hook, new_hook) {
                    old.release(py);
                }
                *required = false;
            }
            ScriptModule { module: new, change: None, failure: None }
        }
        Err(_raised) => {
            let (reason, traceback) = describe(py, world);
            let text = format!(
                "the script '{}' has changed and could not be loaded: {reason}. What was loaded before goes on \
                 serving; it is tried again when the file changes",
                shown(path)
            );
            let failure =
                Failure { message: Message::new(Code::ScriptNotReloaded, text), traceback: Some(traceback) };
            ScriptModule { module: old, change: None, failure: Some(failure) }
        }
    }
}

/// The exception that is set: its last line, with the cure where an extension module refuses the interpreter,
/// and all of it.
fn describe(py: Attached<'_>, world: &World) -> (String, String) {
    described(py, world, &Exception::fetch(py))
}

fn described(py: Attached<'_>, world: &World, exception: &Exception) -> (String, String) {
    let traceback = world.describe(py, exception);
    let mut reason = traceback.trim_end().lines().last().unwrap_or_default().to_string();
    if REFUSALS.iter().any(|refusal| reason.contains(refusal)) {
        reason.push_str(
            " (application-group=%{GLOBAL}, the main interpreter, is where such extension modules work)",
        );
    }
    reason.push_str(&world.hints.about_import(py, exception));
    (reason, traceback)
}

/// What CPython and its extension modules say where another interpreter than the main one imports them.
const REFUSALS: [&str; 5] = [
    "loading in subinterpreters",
    "support subinterpreters",
    "in sub-interpreters",
    "more than once per process",
    "once per interpreter process",
];

fn load(
    py: Attached<'_>,
    world: &World,
    path: &[u8],
    modified: Option<SystemTime>,
    retry: Duration,
    state: &mut ScriptState,
    held: impl FnOnce(Holding),
) -> Result<ScriptModule, Failure> {
    match world.load_script(py, path) {
        Ok(module) => {
            let loaded = ScriptModule { module: module.clone_ref(py), change: None, failure: None };
            let hook = hook(py, world, &module);
            *state = ScriptState::Loaded { module: module.keep(), modified, hook, required: false };
            Ok(loaded)
        }
        Err(_raised) => {
            let exception = Exception::fetch(py);
            let (reason, traceback) = described(py, world, &exception);
            world.held(py, &exception).map(held);
            let hint = world.hints.missing_module(py, &exception, path);
            let text = format!(
                "the script '{}' could not be loaded: {reason}. {hint}Requests for it are answered 500; it is \
                 tried again when the file changes, or in {} s",
                shown(path),
                retry.as_secs()
            );
            *state = ScriptState::Failed { reason, modified, since: Instant::now(), retry };
            Err(Failure { message: Message::new(Code::ScriptFailed, text), traceback: Some(traceback) })
        }
    }
}

fn still_failing(path: &[u8], reason: &str) -> Message {
    let text = format!(
        "the script '{}' is not loaded: {reason} (the traceback was logged when it failed)",
        shown(path)
    );
    Message::new(Code::ScriptStillFailing, text)
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn modification(path: &[u8]) -> Option<SystemTime> {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn lock<'a>(py: Attached<'_>, script: &'a Mutex<ScriptState>) -> MutexGuard<'a, ScriptState> {
    loop {
        if let Some(state) = script.try_lock() {
            return state;
        }
        py.detached(|| drop(script.lock()));
    }
}
