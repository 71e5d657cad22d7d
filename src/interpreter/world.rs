//! What one interpreter needs to run applications: streams, interned names, the functions of `support.py`,
//! and what the protocol of its requests adds.
//!
//! Runs where applications run; one per interpreter, made by `interpreters` and kept for the life of the
//! process.

use super::events::Events;
use super::fork_watch;
use super::held;
use super::hints::Hints;
use super::log_stream::{self, LogStream};
use super::metrics::Metrics;
use super::process_log::write_process_output;
use super::recorder;
use super::refused_signals;
use super::server_metrics;
use crate::config::interpreter::{ByApplicationGroup, options_of};
use crate::config::server_facts::ServerFacts;
use crate::log::Level;
use crate::python::class::Class;
use crate::python::error::Exc;
use crate::python::object::Result;
use crate::python::{Attached, Exception, Kept, Object, attach};
use crate::script::Holding;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Arc;

/// What the process tells every application about itself.
#[derive(Clone)]
pub struct ProcessFacts {
    pub process_group: String,
    pub processes: u32,
    pub threads: u32,
    /// `wsgi.run_once`: a process runs one request and no other.
    pub run_once: bool,
    pub server: ServerFacts,
    /// The main one and those of application groups.
    pub maximum_interpreters: u32,
    /// `home=`, first on sys.path; empty when not given.
    pub home: String,
    pub interpreters: ByApplicationGroup,
    /// Whether a script that changed is executed anew here; a daemon is replaced instead.
    pub reload_in_place: bool,
    /// Is told of scripts that are loaded.
    pub watcher: Option<Watcher>,
    /// None where `server_metrics()` is not allowed.
    pub scoreboard: Option<server_metrics::ScoreboardSource>,
    /// None where no process is to make room for another.
    pub companions: Option<Companions>,
    /// What the requests follow.
    pub protocol: Prepare,
}

/// A script is executed as a module.
pub enum LoadStep<'a> {
    Begins,
    /// The attempt is over, whatever came of it.
    Ends,
    Done {
        script: &'a [u8],
        application_group: &'a str,
    },
    /// It failed, for something that another process has.
    Held {
        script: &'a [u8],
        holding: Holding,
    },
}

pub type Watcher = Arc<dyn Fn(LoadStep<'_>) + Send + Sync>;

/// The other processes of the group.
pub type Companions = Arc<dyn Fn() -> Vec<i32> + Send + Sync>;

/// What a protocol has in each interpreter.
pub trait Protocol: Any + Send + Sync {
    /// Types that applications come across, to be found under their names.
    fn types(&self, py: Attached<'_>) -> Vec<Object>;
}

/// Makes a `Protocol` for the interpreter that the thread is attached to, of this application group.
pub type Prepare = fn(Attached<'_>, &ProcessFacts, &str, &Support) -> Result<Box<dyn Protocol>>;

/// What `support.py` and its companions define.
pub struct Support(Object);

pub struct World {
    pub errors: Class<LogStream>,
    pub request_timeout: Kept,
    pub events: Arc<Events>,
    pub hints: Hints,
    protocol: Box<dyn Protocol>,
    /// What each environ says of where its script runs.
    pub own_variables: Vec<(Kept, Kept)>,
    /// `questions.py`: calls the function of a script that a question is for.
    pub ask: Kept,
    load: Kept,
    describe: Kept,
    finish: Kept,
    publish_signal: Kept,
    publish_fork: Kept,
    fork: Kept,
    warn_of_forks: Kept,
    show_stacks: Kept,
    /// The signal at which Python writes where all threads of this interpreter are, where it can.
    pub stacks_signal: Option<i32>,
    names: Mutex<HashMap<Box<[u8]>, Kept>>,
    /// In one of its own processes.
    in_httpd: bool,
    companions: Option<Companions>,
}

/// Names beyond this many come from clients inventing headers; they are not kept.
const MOST_NAMES: usize = 512;

/// Executed one after the other, with the same names.
const SUPPORT: [&str; 6] = [
    concat!(include_str!("support.py"), "\0"),
    concat!(include_str!("questions.py"), "\0"),
    concat!(include_str!("events.py"), "\0"),
    concat!(include_str!("text_streams.py"), "\0"),
    concat!(include_str!("package.py"), "\0"),
    concat!(include_str!("hints.py"), "\0"),
];

/// In httpd's own processes besides.
const CHILDREN: &str = concat!(include_str!("children.py"), "\0");

impl Support {
    /// Executes the sources in the interpreter that the thread is attached to. `in_httpd` is for its own
    /// processes.
    fn load(py: Attached<'_>, in_httpd: bool) -> Result<Support> {
        let globals = Object::dict(py)?;
        // These definitions belong to the module that applications import.
        globals.dict_set(py, &Object::text(py, "__name__")?, &Object::text(py, "mod_wsgi")?)?;
        for source in SUPPORT.into_iter().chain(in_httpd.then_some(CHILDREN)) {
            let source = CStr::from_bytes_with_nul(source.as_bytes()).expect("one NUL, at the end");
            Object::execute(py, source, c"<mod_wsgi_rs>", &globals)?;
        }
        Ok(Support(globals))
    }

    pub fn function(&self, py: Attached<'_>, name: &CStr) -> Object {
        self.0.dict_get(py, name).expect("the sources define it")
    }
}

impl World {
    /// Prepares the interpreter that the thread is attached to. `stacks_signal` is free for its stacks.
    pub fn create(
        py: Attached<'_>,
        facts: &ProcessFacts,
        metrics: &Arc<Metrics>,
        application_group: &str,
        stacks_signal: Option<i32>,
    ) -> Result<World> {
        // Only there is a script that changed executed anew.
        let in_httpd = facts.reload_in_place;
        let support = Support::load(py, in_httpd)?;
        let function = |name: &CStr| support.function(py, name);
        let kept = |name: &CStr| function(name).keep();
        let signal = stacks_signal.map_or(Ok(None), |signal| {
            let taken = function(c"show_stacks_at").call(py, [Object::int(py, signal.into())?])?;
            Ok(taken.is_true(py)?.then_some(signal))
        })?;
        let world = World {
            errors: log_stream::define(py, &function(c"log_class"))?,
            request_timeout: kept(c"RequestTimeout"),
            events: Events::new(metrics, function),
            hints: Hints::new(&function),
            protocol: (facts.protocol)(py, facts, application_group, &support)?,
            own_variables: kept_variables(py, facts, application_group)?,
            ask: kept(c"ask"),
            load: kept(c"load"),
            describe: kept(c"describe"),
            finish: kept(c"finish"),
            publish_signal: kept(c"publish_signal"),
            publish_fork: kept(c"publish_fork"),
            fork: kept(c"fork"),
            warn_of_forks: kept(c"warn_of_forks"),
            show_stacks: kept(c"show_stacks"),
            stacks_signal: signal,
            names: Mutex::default(),
            in_httpd,
            companions: facts.companions.clone(),
        };
        world.prepare(py, facts, application_group, &support)?;
        if in_httpd {
            function(c"unblock_signals_of_children").call(py, [])?;
        }
        if application_group.is_empty() {
            // Once for the process.
            function(c"look_at_environment").call(py, [world.process_stream(py, Level::Error)?])?;
        }
        world.install_modules(py, facts, application_group, &support)?;
        Ok(world)
    }

    /// `sys` as applications find it: streams, paths, restrictions.
    fn prepare(
        &self,
        py: Attached<'_>,
        facts: &ProcessFacts,
        application_group: &str,
        support: &Support,
    ) -> Result {
        let options = options_of(&facts.interpreters, application_group);
        let paths = options.python_path.iter().map(|path| Object::filesystem(py, path.as_bytes()));
        // The signals of a process that only executes a service script are the script's.
        let refusal = match options.restrict_signal && facts.threads > 0 {
            true => refused_signals::refusal(py)?,
            false => Object::none(py),
        };
        support.function(py, c"prepare").call(
            py,
            [
                self.process_stream(py, Level::Info)?,
                self.process_stream(py, Level::Error)?,
                Object::filesystem(py, facts.home.as_bytes())?,
                Object::list(py, &paths.collect::<Result<Vec<_>>>()?)?,
                Object::float(py, options.switch_interval)?,
                Object::bool(py, options.restrict_stdin)?,
                Object::bool(py, options.restrict_stdout)?,
                refusal,
                Object::bool(py, options.free_threading)?,
            ],
        )
    }

    /// The modules `mod_wsgi` and `apache`.
    fn install_modules(
        &self,
        py: Attached<'_>,
        facts: &ProcessFacts,
        application_group: &str,
        support: &Support,
    ) -> Result {
        let mut types = self.protocol.types(py);
        types.push(self.errors.object(py));
        support.function(py, c"install_modules").call(
            py,
            [
                mod_wsgi_names(py, facts, application_group)?,
                apache_names(py, facts)?,
                recorder::make(py, &self.events)?,
                server_metrics::reader(py, facts.scoreboard.as_ref())?,
                Object::list(py, &types)?,
            ],
        )
    }

    fn process_stream(&self, py: Attached<'_>, level: Level) -> Result {
        self.errors.instance(py, LogStream::of_process(level))
    }

    /// What the interpreter was prepared with (`ProcessFacts::protocol`).
    pub fn protocol<T: Protocol>(&self) -> &T {
        let protocol: &dyn Any = &*self.protocol;
        protocol.downcast_ref().expect("a process has one protocol")
    }

    /// A `str` for a name, interned where it comes again with every request. Python may keep what is interned
    /// for ever, so clients that invent names get strings that go with their request.
    pub fn name(&self, py: Attached<'_>, name: &[u8]) -> Result {
        {
            let names = self.names.lock();
            if let Some(known) = names.get(name) {
                return Ok(known.clone_ref(py));
            }
            if names.len() >= MOST_NAMES {
                drop(names);
                return Object::latin1(py, name);
            }
        }
        // Not under the lock: interning may have to wait for other threads that are attached.
        let interned = Object::interned(py, name)?;
        let mut names = self.names.lock();
        if names.len() < MOST_NAMES && !names.contains_key(name) {
            names.insert(name.into(), interned.clone_ref(py).keep());
        }
        Ok(interned)
    }

    /// Executes a script file as a module and returns the module.
    pub fn load_script(&self, py: Attached<'_>, path: &[u8]) -> Result {
        self.load.call(py, [Object::filesystem(py, path)?])
    }

    /// Tells the applications of this interpreter, waits for its threads and calls its exit functions.
    pub fn finish(&self, py: Attached<'_>, reason: &str) {
        let finish = |reason| attach::in_this_process(|| self.finish.call(py, [reason]));
        let finished = Object::text(py, reason).and_then(finish);
        if finished.is_err() {
            let exception = Exception::fetch(py);
            // SystemExit is a signal to a service script whose own threads were being waited for.
            if !exception.is(py, Exc::SystemExit) {
                self.log(py, &exception);
            }
        }
    }

    /// Forks this process: 0 in the new one, whose pid it is here; None if there is none. Only for the main
    /// interpreter's main thread.
    pub fn fork(&self, py: Attached<'_>) -> Option<i32> {
        let forked = self.fork.call(py, []);
        let pid = forked.and_then(|pid| if pid.is_none(py) { Ok(None) } else { pid.to_i64(py).map(Some) });
        let pid = pid.unwrap_or_else(|_raised| {
            self.log_exception(py);
            None
        });
        pid.and_then(|pid| i32::try_from(pid).ok())
    }

    pub fn publish_fork(&self, py: Attached<'_>) {
        self.events.metrics.begin_anew();
        if attach::in_this_process(|| self.publish_fork.call(py, [])).is_err() {
            self.log_exception(py);
        }
    }

    /// The process has several interpreters from now on.
    pub fn warn_of_forks(&self, py: Attached<'_>) {
        let watch = fork_watch::watch(py, self.in_httpd);
        if watch.and_then(|watch| self.warn_of_forks.call(py, [watch])).is_err() {
            self.log_exception(py);
        }
    }

    fn log_exception(&self, py: Attached<'_>) {
        self.log(py, &Exception::fetch(py));
    }

    fn log(&self, py: Attached<'_>, exception: &Exception) {
        let text = self.describe(py, exception);
        py.detached(|| write_process_output(Level::Error, text.as_bytes()));
    }

    /// Tells the subscribers of this interpreter, whose own exceptions are logged there.
    pub fn publish_signal(&self, py: Attached<'_>, name: &str, number: i32) {
        let told = Object::text(py, name).and_then(|name| {
            let number = Object::int(py, number.into())?;
            attach::in_this_process(|| self.publish_signal.call(py, [name, number]))
        });
        if told.is_err() {
            self.log_exception(py);
        }
    }

    /// Writes where all threads of this interpreter are, the slow way: it has to let the caller in.
    pub fn show_stacks(&self, py: Attached<'_>) {
        if self.show_stacks.call(py, []).is_err() {
            drop(Exception::fetch(py));
        }
    }

    /// What the script needs that failed with this exception, if it is something that another process has.
    pub fn held(&self, py: Attached<'_>, exception: &Exception) -> Option<Holding> {
        held::find(py, exception, &self.companions.as_ref()?())
    }

    /// The traceback as Python prints it, without our own frames.
    pub fn describe(&self, py: Attached<'_>, exception: &Exception) -> String {
        let arguments =
            [exception.class.clone_ref(py), exception.value.clone_ref(py), exception.traceback.clone_ref(py)];
        let text = self.describe.call(py, arguments).and_then(|text| text.to_text(py));
        text.unwrap_or_else(|_raised| {
            drop(Exception::fetch(py));
            let class = exception.value.class_name(py);
            format!("{class}: its traceback could not be formatted")
        })
    }
}

/// What the module `mod_wsgi` says about where its application runs.
fn mod_wsgi_names(py: Attached<'_>, facts: &ProcessFacts, application_group: &str) -> Result {
    let own =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    dict(
        py,
        [
            ("version", version_tuple(py)),
            ("mod_wsgi_rs_version", numbers(py, own.map(|text| text.parse().unwrap_or(0)))),
            ("process_group", Object::text(py, &facts.process_group)),
            ("application_group", Object::text(py, application_group)),
            ("maximum_processes", Object::int(py, facts.processes.into())),
            ("threads_per_process", Object::int(py, facts.threads.into())),
        ],
    )
}

/// What an environ says about the server and where its script runs.
pub fn own_variables(
    py: Attached<'_>,
    facts: &ProcessFacts,
    application_group: &str,
) -> Result<[(&'static str, Object); 4]> {
    Ok([
        ("mod_wsgi.version", version_tuple(py)?),
        ("apache.version", httpd_version_tuple(py, facts)?),
        ("mod_wsgi.process_group", Object::text(py, &facts.process_group)?),
        ("mod_wsgi.application_group", Object::text(py, application_group)?),
    ])
}

fn kept_variables(
    py: Attached<'_>,
    facts: &ProcessFacts,
    application_group: &str,
) -> Result<Vec<(Kept, Kept)>> {
    let variables = own_variables(py, facts, application_group)?;
    let kept =
        |(name, value): (&str, Object)| Ok((Object::interned(py, name.as_bytes())?.keep(), value.keep()));
    variables.into_iter().map(kept).collect()
}

/// What the module `apache` says about httpd.
fn apache_names(py: Attached<'_>, facts: &ProcessFacts) -> Result {
    let server = &facts.server;
    dict(
        py,
        [
            ("version", httpd_version_tuple(py, facts)),
            ("description", Object::text(py, &server.description)),
            ("mpm_name", Object::text(py, &server.mpm_name)),
            ("build_date", Object::text(py, &server.build_date)),
            ("maximum_processes", Object::int(py, server.processes.into())),
            ("threads_per_process", Object::int(py, server.threads.into())),
        ],
    )
}

fn dict<const N: usize>(py: Attached<'_>, items: [(&str, Result); N]) -> Result {
    let dict = Object::dict(py)?;
    for (name, value) in items {
        dict.dict_set(py, &Object::interned(py, name.as_bytes())?, &value?)?;
    }
    Ok(dict)
}

/// The version of mod_wsgi whose interface this is: code that looks at it takes the branch that works here.
const COMPATIBLE: [u32; 3] = [6, 1, 1];

fn version_tuple(py: Attached<'_>) -> Result {
    numbers(py, COMPATIBLE)
}

fn httpd_version_tuple(py: Attached<'_>, facts: &ProcessFacts) -> Result {
    numbers(py, facts.server.version)
}

fn numbers(py: Attached<'_>, numbers: [u32; 3]) -> Result {
    let [major, minor, patch] = numbers.map(|number| Object::int(py, number.into()));
    Object::tuple(py, [major?, minor?, patch?])
}
