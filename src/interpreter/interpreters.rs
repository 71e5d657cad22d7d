//! The interpreters of a process by application group, each with its world and its scripts.
//!
//! Runs in daemons and in httpd children with embedded mode. The main interpreter (application group "") is
//! there from the start; others are made when a request or a preload first names them, and live until the
//! process ends.

use super::gil_turns::{GilTurn, GilTurns};
use super::metrics::Metrics;
use super::process_log::write_message;
use super::script::Scripts;
use super::world::{ProcessFacts, World};
use crate::config::interpreter::{options_of, without_gil};
use crate::config::script_use::HANDLER_FUNCTION;
use crate::log::{Code, Message};
use crate::python::attach::{InterpreterState, ThreadState};
use crate::python::{Attached, Exception, Object, extension};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Interpreter {
    pub state: InterpreterState,
    pub world: Arc<World>,
    pub scripts: Scripts,
    /// At its GIL, where threads share one.
    turns: Option<Arc<GilTurns>>,
}

impl Interpreter {
    /// Runs a request's work attached, with a state of the calling thread, when it is the thread's turn.
    pub fn in_turn<R: Send>(&self, state: &ThreadState, work: impl FnOnce(Attached<'_>) -> R + Send) -> R {
        let turn = self.turns.as_ref().map(|turns| turns.take());
        state.attached(|py| {
            turn.iter().for_each(GilTurn::has_gil);
            work(py)
        })
    }
}

pub struct Interpreters {
    facts: ProcessFacts,
    main: Arc<Interpreter>,
    /// With the reason, where one could not be made: it is not tried again.
    named: Mutex<HashMap<String, Result<Arc<Interpreter>, Message>>>,
    /// One interpreter is made at a time. Taken only while not attached.
    making: Mutex<()>,
    begun: AtomicUsize,
    metrics: Arc<Metrics>,
    /// At the GIL of the main interpreter, where threads share one.
    turns: Option<Arc<GilTurns>>,
}

/// Interpreters of a process whose stacks can be shown by a signal: each has one of its own.
const STACKS_SIGNALS: usize = 8;

/// The signal at which Python writes where the threads of the process's n-th interpreter are.
fn stacks_signal(index: usize) -> Option<i32> {
    (index < STACKS_SIGNALS).then(|| libc::SIGRTMAX() - 1 - index as i32)
}

impl Interpreters {
    /// Takes the interpreter that the thread is attached to as the main one.
    pub fn new(py: Attached<'_>, facts: ProcessFacts) -> Result<Interpreters, Message> {
        let metrics = Arc::new(Metrics::new(facts.threads, !facts.process_group.is_empty()));
        let shares_gil = facts.threads > 1 && !without_gil(&facts.interpreters);
        let turns = shares_gil.then(Arc::default);
        let main = interpreter(py, &facts, &metrics, "", 0, turns.clone())?;
        let (named, making, begun) = (Mutex::default(), Mutex::default(), AtomicUsize::new(1));
        Ok(Interpreters { facts, main, named, making, begun, metrics, turns })
    }

    pub fn main(&self) -> &Arc<Interpreter> {
        &self.main
    }

    /// All of them, the main one first.
    pub fn all(&self) -> Vec<Arc<Interpreter>> {
        let named = self.named.lock();
        let others = named.values().filter_map(|made| made.as_ref().ok());
        std::iter::once(&self.main).chain(others).cloned().collect()
    }

    /// Called once, before the process ends, by Python's main thread. Python cannot be left to finalize
    /// itself: up to 3.12 it aborts when other interpreters remain, ending those aborts when a daemon thread
    /// of theirs still runs, and a thread that comes back from our own code would be ended in the middle of
    /// it. So each interpreter is given what it may expect: who has subscribed to its end is told why
    /// (`shutdown_reason`), its threads are waited for, its exit functions called.
    pub fn finish(&self, py: Attached<'_>, reason: &str) {
        py.detached(|| {
            for interpreter in self.all().into_iter().skip(1) {
                ThreadState::new(interpreter.state).attached(|py| interpreter.world.finish(py, reason));
            }
        });
        self.main.world.finish(py, reason);
    }

    /// The interpreter of an application group. `main_state` is the calling thread's state in the
    /// main interpreter, to which it must not be attached.
    pub fn get(&self, main_state: &ThreadState, name: &str) -> Result<Arc<Interpreter>, Message> {
        if name.is_empty() {
            return Ok(Arc::clone(&self.main));
        }
        if let Some(known) = self.named.lock().get(name) {
            return known.clone();
        }
        let _making = self.making.lock();
        if let Some(known) = self.named.lock().get(name) {
            return known.clone();
        }
        // With the main one; those that could not be made count, since they are kept too.
        if self.named.lock().len() + 1 >= self.facts.maximum_interpreters as usize {
            return Err(self.too_many(name));
        }
        let mut own_gil = options_of(&self.facts.interpreters, name).own_gil;
        let made = main_state.attached(|py| {
            if own_gil && extension::version(py) < (3, 12) {
                own_gil = false;
                py.detached(|| no_own_gil(name));
            }
            let turns = match own_gil {
                true => self.turns.as_ref().map(|_| Arc::default()),
                false => self.turns.clone(),
            };
            let index = self.begun.fetch_add(1, Ordering::Relaxed);
            let made = py.new_interpreter(own_gil, |py| {
                let made = interpreter(py, &self.facts, &self.metrics, name, index, turns);
                made.inspect(|interpreter| interpreter.world.warn_of_forks(py))
            });
            if index == 1 {
                self.main.world.warn_of_forks(py);
            }
            made
        });
        let made = made.unwrap_or_else(|| {
            let text = format!(
                "Python could not make an interpreter for the application group '{name}'. \
                 WSGIApplicationGroup %{{GLOBAL}} uses the main interpreter instead"
            );
            Err(Message::new(Code::InterpreterNotMade, text))
        });
        self.named.lock().insert(name.to_string(), made.clone());
        made
    }
}

impl Interpreters {
    /// Not kept: the name may be one of any number that clients have made up.
    fn too_many(&self, name: &str) -> Message {
        let more = match self.facts.process_group.is_empty() {
            true => "move scripts to process groups of their own (WSGIDaemonProcess)",
            false => "raise maximum-interpreters of WSGIDaemonProcess",
        };
        let text = format!(
            "the process has {} interpreters already and makes none for the application group '{name}': where clients \
             choose the names (%{{HOST}}, %{{ENV:...}}), use a fixed one; else {more}",
            self.facts.maximum_interpreters
        );
        Message::new(Code::InterpretersTooMany, text)
    }
}

/// What a request gets for which there is no interpreter.
pub fn status_without(reason: &Message) -> u16 {
    if reason.code == Code::InterpretersTooMany { 503 } else { 500 }
}

fn no_own_gil(name: &str) {
    let text = format!(
        "WSGIPerInterpreterGIL has no effect on the interpreter of application group '{name}': it needs Python \
         3.12 or newer"
    );
    write_message(&Message::new(Code::OwnGilUnsupported, text));
}

fn interpreter(
    py: Attached<'_>,
    facts: &ProcessFacts,
    metrics: &Arc<Metrics>,
    name: &str,
    index: usize,
    turns: Option<Arc<GilTurns>>,
) -> Result<Arc<Interpreter>, Message> {
    let stacks_signal = stacks_signal(index).filter(|_| !facts.reload_in_place);
    let world = World::create(py, facts, metrics, name, stacks_signal).map_err(|_raised| {
        let reason = Exception::fetch(py).value.shown(py);
        let text = format!("the interpreter of application group '{name}' could not be prepared: {reason}");
        Message::new(Code::InterpreterNotPrepared, text)
    })?;
    Ok(Arc::new(Interpreter {
        state: py.interpreter(),
        world: Arc::new(world),
        scripts: Scripts::new(facts.reload_in_place, name, facts.watcher.clone()),
        turns,
    }))
}

/// A thread's states, one for each interpreter it has worked in.
pub struct ThreadStates {
    main: Rc<ThreadState>,
    others: HashMap<InterpreterState, Rc<ThreadState>>,
}

impl ThreadStates {
    pub fn new(main: InterpreterState) -> ThreadStates {
        ThreadStates { main: Rc::new(ThreadState::new(main)), others: HashMap::new() }
    }

    pub fn main(&self) -> Rc<ThreadState> {
        Rc::clone(&self.main)
    }

    pub fn of(&mut self, interpreter: &Interpreter, main: InterpreterState) -> Rc<ThreadState> {
        if interpreter.state == main {
            return self.main();
        }
        let new = || Rc::new(ThreadState::new(interpreter.state));
        Rc::clone(self.others.entry(interpreter.state).or_insert_with(new))
    }
}

/// Looks a callable up in a script's module, as the script has it now.
pub fn callable(
    py: Attached<'_>,
    world: &World,
    module: &Object,
    script: &[u8],
    name: &[u8],
) -> Result<Object, Message> {
    let interned = world.name(py, name).map_err(|_raised| drop(Exception::fetch(py))).ok();
    let found = interned.and_then(|name| module.optional_attribute(py, &name));
    found.filter(|found| found.is_callable(py)).ok_or_else(|| {
        let cure = match world.hints.other_callable(py, module, name) {
            _ if name == HANDLER_FUNCTION.as_bytes() => {
                "Define handle_request(environ, start_response), which WSGIHandlerScript calls; for an application of \
                 its own URL write WSGIScriptAlias"
                    .to_string()
            }
            Some(other) => format!(
                "It has '{other}': write callable-object={other} at the end of the WSGIScriptAlias, or \
                 WSGICallableObject {other}"
            ),
            None => "Define it, or name another one with WSGICallableObject".to_string(),
        };
        let text = format!(
            "the script '{}' has no callable '{}'. {cure}",
            String::from_utf8_lossy(script),
            String::from_utf8_lossy(name)
        );
        Message::new(Code::CallableMissing, text)
    })
}
