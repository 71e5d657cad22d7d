//! From the configuration to running processes, and on to the next configuration or the end.
//!
//! In the httpd parent, `check_config` and `post_config` run at every start and restart, `pre_mpm` at all
//! but graceful ones, and `monitor` now and then. `child_init` runs in each httpd child. The supervisor is
//! forked here, and forked again if it is lost.

use super::descriptors;
use crate::apache::accounts::SystemAccounts;
use crate::apache::log;
use crate::apache::process as httpd;
use crate::apache::process::Lifetime;
use crate::apache::scoreboard;
use crate::apache::server::{self, Server, main_server, servers};
use crate::client::Client;
use crate::config::check;
use crate::config::global::{PythonOptions, Server as ConfiguredServer};
use crate::config::interpreter::without_gil;
use crate::config::options::Accounts;
use crate::config::plan::loadings;
use crate::config::process_group::{Origin, ProcessGroup, ResponseOptions};
use crate::control::generation;
use crate::control::listener::{ListenerKey, Registry};
use crate::control::module_file::ModuleFile;
use crate::embedded::{self, Embedded};
use crate::hooks::plan;
use crate::interpreter::server_metrics::Source;
use crate::interpreter::world::Facts;
use crate::log::{Journal, Level, Message};
use crate::process::{
    BUILDING, CHILD, Child, Configuration, Current, MODULE_FILE, PARENT, Parent, Supervisor,
};
use crate::python::object::Result as PythonResult;
use crate::python::{Attached, Object};
use crate::site::disk::Disk;
use crate::supervisor::{self, longest_shutdown};
use crate::wsgi;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A supervisor that is lost sooner than this after its start is replaced only after a pause.
const QUICKLY_LOST: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stop waits beyond the longest shutdown-timeout.
const GRACE: Duration = Duration::from_secs(2);

/// Completes the configuration and logs its mistakes.
pub fn check_config() -> Result<(), Message> {
    warn_of_another_module(module_file());
    let mut building = BUILDING.lock();
    let all: Vec<(String, Server)> = servers().map(|server| (server.name(), server)).collect();
    let configured = configured(&all);
    building.global.complete(&configured, &SystemAccounts).map_err(|text| Message::new(101, text))?;
    let mut notes = std::mem::take(&mut building.notes);
    notes.extend(check::check(&building.global, &configured, &Disk));
    for (level, message) in notes {
        log::server(main_server(), level, message.to_string().as_bytes());
    }
    Ok(())
}

fn module_file() -> &'static ModuleFile {
    MODULE_FILE.get_or_init(|| ModuleFile::open(&httpd::module_path()))
}

/// httpd opens its modules anew at a restart. For a module that stays mapped, the loader gives httpd the
/// mapped one.
fn warn_of_another_module(module: &ModuleFile) {
    if !module.is_still_there() {
        let text = format!(
            "the module's file {} was replaced or removed since httpd has loaded it; httpd and all processes of its \
             groups go on with what was loaded, also after this restart: to use another version, stop and start httpd",
            module.path.display()
        );
        log::server(main_server(), Level::Warning, Message::new(306, text).to_string().as_bytes());
    }
}

fn configured(servers: &[(String, Server)]) -> Vec<ConfiguredServer<'_>> {
    servers
        .iter()
        .map(|(name, server)| ConfiguredServer {
            name,
            virtual_host: server.is_virtual(),
            config: server.config(),
            settings: server.defaults(),
        })
        .collect()
}

/// Makes the listening sockets and starts the supervisor of the new generation, at a first start in
/// `pre_mpm`.
pub fn post_config(lifetime: Lifetime) -> Result<(), Message> {
    let mut parent = PARENT.lock();
    restore(&mut parent, &httpd::take_retained());
    parent.generation += 1;
    let configuration = Arc::new(configuration(parent.generation));
    let wanted = listener_keys(&configuration);
    make_room(&mut parent, &configuration)?;
    parent.listeners.renew(&wanted)?;
    httpd::wake_when_children_end();
    parent.pid = std::process::id() as i32;
    let supervisor = start_supervisor(&mut parent, &configuration)?;
    parent.current = Some(Current { configuration, supervisor });
    lifetime.at_end(end_of_generation);
    Ok(())
}

fn make_room(parent: &mut Parent, configuration: &Configuration) -> Result<(), Message> {
    let groups = plan::supervised(configuration).map(|(_, group)| group);
    let log = |level, message: Message| log::server(main_server(), level, message.to_string().as_bytes());
    let before = descriptors::make_room(groups, parent.listeners.count(), log)?;
    // The first time counts: it is what httpd was started with.
    parent.soft_limit = parent.soft_limit.or(before);
    Ok(())
}

/// What `end_of_generation` kept of the last generation.
fn restore(parent: &mut Parent, retained: &[u8]) {
    if let Some((generation, listeners)) = retained.split_first_chunk() {
        parent.generation = u64::from_le_bytes(*generation);
        parent.listeners = Registry::restore(listeners);
    }
}

fn configuration(generation: u64) -> Configuration {
    let building = std::mem::take(&mut *BUILDING.lock());
    let all: Vec<(String, Server)> = servers().map(|server| (server.name(), server)).collect();
    let configured = configured(&all);
    let loadings = loadings(&building.global, &configured);
    let groups = building.global.groups.groups().iter();
    let group_servers = groups
        .map(|group| {
            let owner = all
                .iter()
                .map(|(_, server)| server)
                .find(|server| server.config().defined.contains(&group.name));
            owner.copied().unwrap_or_else(main_server)
        })
        .collect();
    Configuration { global: building.global, regexes: building.regexes, loadings, group_servers, generation }
}

fn socket_prefix(configuration: &Configuration) -> (PathBuf, Option<&Origin>) {
    match &configuration.global.socket_prefix {
        Some((prefix, origin)) => (prefix.clone(), Some(origin)),
        None => (PathBuf::from(server::below_runtime_directory("wsgi")), None),
    }
}

fn listener_keys(configuration: &Configuration) -> Vec<(ListenerKey, Origin)> {
    let (prefix, origin) = socket_prefix(configuration);
    let accounts = SystemAccounts;
    let owner = accounts.running_as_root().then(|| accounts.httpd_user().uid);
    plan::supervised(configuration)
        .map(|(_, group)| {
            let owner = owner.map(|httpd| group.socket_user.unwrap_or(httpd));
            let key = ListenerKey::new(group, &prefix, owner);
            (key, origin.unwrap_or(&group.origin).clone())
        })
        .collect()
}

/// Starts the supervisor of a new generation. None where there is nothing to supervise.
fn start_supervisor(
    parent: &mut Parent,
    configuration: &Arc<Configuration>,
) -> Result<Option<Supervisor>, Message> {
    if plan::supervised(configuration).next().is_none() {
        return Ok(None);
    }
    let (watch, holder) = generation::pipe().map_err(no_supervisor)?;
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
        log::server(main_server(), Level::Critical, message.to_string().as_bytes());
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
    supervisor.pid = httpd::fork(|| {
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
    Message::new(394, format!("the supervisor of the daemon processes could not be started: {error}"))
}

/// A supervisor's messages go to the error log of the group's virtual host.
struct ServerJournal<'a>(&'a [Server]);

impl Journal for ServerJournal<'_> {
    fn record(&self, group: Option<usize>, level: Level, message: &Message) {
        let server = group.and_then(|group| self.0.get(group)).copied().unwrap_or_else(main_server);
        log::server(server, level, message.to_string().as_bytes());
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
        log::server(main_server(), Level::Error, Message::new(395, text).to_string().as_bytes());
        let forked = fork_supervisor(&mut parent, &current.configuration, &mut supervisor, pause);
        if let Err(message) = forked {
            log::server(main_server(), Level::Critical, message.to_string().as_bytes());
            supervisor.pid = 0;
        }
        current.supervisor = Some(supervisor);
    }
    parent.current = Some(current);
}

/// httpd restarts or ends: this generation's supervisor goes on as long as its children do. When
/// httpd ends they are gone already, and it waits until no daemon and no socket is left.
fn end_of_generation() {
    let mut parent = PARENT.lock();
    if parent.pid != std::process::id() as i32 {
        return;
    }
    let Some(mut current) = parent.current.take() else { return };
    if let Some(holder) = current.supervisor.as_mut().and_then(|supervisor| supervisor.holder.take()) {
        // Of an httpd that ends no newer one comes.
        if !httpd::is_ending() {
            holder.announce_newer();
        }
    }
    if !httpd::is_ending() {
        let mut retained = parent.generation.to_le_bytes().to_vec();
        retained.extend(std::mem::take(&mut parent.listeners).retain());
        httpd::retain(&retained);
        return;
    }
    if let Some(supervisor) = current.supervisor.filter(|supervisor| supervisor.pid > 0) {
        let longest =
            plan::supervised(&current.configuration).map(|(_, group)| longest_shutdown(group)).max();
        httpd::wait_for_end(supervisor.pid, longest.unwrap_or_default() + GRACE);
    }
    parent.listeners.remove_all();
}

/// In each httpd child, before it serves.
pub fn child_init(lifetime: Lifetime) {
    let mut parent = PARENT.lock();
    let pid = std::process::id();
    // With httpd -X the parent itself serves.
    let is_parent = parent.pid == pid as i32;
    if !is_parent {
        httpd::end_with_parent();
        httpd::leave_ends_of_children();
    }
    let Parent { listeners, current, .. } = &mut *parent;
    let Some(current) = current.as_ref() else { return };
    let configuration = Arc::clone(&current.configuration);
    let timeout = main_server().timeout();
    let clients = configuration.global.groups.groups().iter().map(|group| {
        let listener = listeners.get(&group.name).filter(|_| group.threads > 0)?;
        let socket_timeout = group.socket_timeout.unwrap_or(timeout);
        Some(Client {
            group: group.name.clone(),
            path: listener.path.clone(),
            place: listener.place.try_clone().ok(),
            page: Arc::clone(&listener.page),
            processes: group.maximum_processes,
            threads: group.maximum_processes as usize * group.threads as usize,
            connect_timeout: group.connect_timeout,
            socket_timeout,
            request_timeout: group.limits.request,
            queue_timeout: group.queue_timeout.filter(|limit| *limit <= socket_timeout),
            response: ResponseOptions {
                socket_timeout: group.response.socket_timeout.or(group.socket_timeout),
                ..group.response.clone()
            },
            send_buffer_size: group.send_buffer_size,
            receive_buffer_size: group.receive_buffer_size,
            pool: Default::default(),
        })
    });
    let clients = clients.collect();
    if !is_parent {
        drop(std::mem::take(listeners));
        if let Some(holder) = current.supervisor.as_ref().and_then(|supervisor| supervisor.holder.as_ref()) {
            holder.keep_from_copies();
        }
    }
    let embedded = embedded_options(&configuration);
    set_python_environment(&configuration.global.python, &embedded);
    // Set once: httpd calls this once in each child.
    let child =
        CHILD.get_or_init(|| Child { configuration, clients, embedded: Embedded::new(embedded), pid });
    child.embedded.preload();
    lifetime.at_end(|| child.embedded.end());
}

/// What Python reads from its environment, should this child start one.
fn set_python_environment(python: &PythonOptions, embedded: &embedded::Options) {
    for (name, value) in plan::python_environment(python) {
        httpd::set_environment(&name, &value);
    }
    if let Some(eggs) = &python.eggs {
        httpd::set_environment("PYTHON_EGG_CACHE", &eggs.to_string_lossy());
    }
    if !without_gil(&embedded.facts.interpreters) {
        httpd::set_environment("PYTHON_GIL", "1");
    }
}

/// How the Python in a child is started, should a request want it.
fn embedded_options(configuration: &Configuration) -> embedded::Options {
    let global = &configuration.global;
    let mut group = ProcessGroup::new("", Origin::default());
    group.python_home.clone_from(&global.python.home);
    group.python_path.clone_from(&global.python.path);
    group.switch_interval = global.python.switch_interval;
    let (processes, threads) = server::capacity();
    embedded::Options {
        flags: plan::python_flags(&global.python),
        module: module_file().loaded_as.clone(),
        facts: Facts {
            process_group: String::new(),
            processes,
            threads,
            httpd_version: server::version(),
            home: String::new(),
            interpreters: plan::interpreters(configuration, &group),
            run_once: false,
            reload_in_place: true,
            watcher: None,
            companions: None,
            protocol: wsgi::protocol::prepare,
            scoreboard: global.server_metrics.then(|| Arc::new(scoreboard::read) as Source),
        },
        preload: plan::preload(configuration, &group),
        finish: global.python.destroy_interpreter,
        group,
    }
}

/// `embed()` of the extension module, called by the Python in a child on its main thread.
pub fn embed(py: Attached<'_>) -> PythonResult {
    if let Some(child) = CHILD.get() {
        child.embedded.main(py);
    }
    Ok(Object::none(py))
}
