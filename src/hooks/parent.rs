//! From the configuration to a generation, and on to the next one or the end.
//!
//! Runs in the httpd parent: `check_config` and `post_config` at every start and restart, `end_of_generation`
//! when httpd throws a configuration away.

use super::aside;
use super::descriptors;
use super::fork;
use super::plan;
use crate::apache::accounts::{SystemAccounts, effective_ids};
use crate::apache::log;
use crate::apache::process as httpd;
use crate::apache::process::Lifetime;
use crate::apache::scoreboard;
use crate::apache::server::{self, Server, main_server, servers};
use crate::apache::tree::{find_line, lines, served};
use crate::config::check;
use crate::config::global::{ConfiguredServer, GlobalConfig};
use crate::config::options::Accounts;
use crate::config::plan::preloads;
use crate::config::process_group::Origin;
use crate::config::surroundings::{Served, Surroundings};
use crate::control::generation::GenerationHolder;
use crate::control::listener::{ListenerKey, Registry, directory};
use crate::control::module_file::ModuleFile;
use crate::log::{Code, Message};
use crate::os;
use crate::process::{BUILDING, Configuration, Current, PARENT, Parent, module_file};
use crate::site::disk::Disk;
use crate::site::interpreter;
use crate::supervisor::longest_shutdown;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a stop waits beyond the longest shutdown-timeout.
const GRACE: Duration = Duration::from_secs(2);

/// Completes the configuration and finds its mistakes. httpd has no error log yet: what configtest and the first
/// of the two readings at a start find goes to its standard error, and `post_config` logs all others.
pub fn check_config() -> Result<(), Message> {
    let mut building = BUILDING.lock();
    let all: Vec<(String, Server)> = servers().map(|server| (server.name(), server)).collect();
    let configured = configured(&all);
    building
        .global
        .complete(&configured, &SystemAccounts)
        .map_err(|text| Message::new(Code::DirectiveInvalid, text))?;
    if !building.global.groups.groups().is_empty() {
        let (prefix, origin) = socket_prefix(&building.global);
        directory::check(&prefix, &named_by(origin), &trusted())?;
    }
    let mut notes = std::mem::take(&mut building.notes);
    notes.extend(readable_children(&building.global));
    let served = served();
    notes.extend(aside::notes(|| check::check(&building.global, &configured, &surroundings(&served))));
    notes.extend(another_module(module_file()));
    if httpd::reads_for_the_first_time() {
        log_all(&notes);
    } else {
        building.notes = notes;
    }
    Ok(())
}

fn log_all(messages: &[Message]) {
    for message in messages {
        log::server_message(main_server(), message);
    }
}

/// What the check may look at.
pub fn surroundings(served: &[Served]) -> Surroundings<'_> {
    Surroundings {
        files: &Disk,
        accounts: &SystemAccounts,
        python: &|group| interpreter::find(group).ok(),
        served,
    }
}

/// httpd opens its modules anew at a restart. For a module that stays mapped, the loader gives httpd the
/// mapped one.
fn another_module(module: &ModuleFile) -> Option<Message> {
    (!module.is_still_there()).then(|| {
        let text = format!(
            "the module's file {} was replaced or removed since httpd has loaded it; httpd and all processes of its \
             groups go on with what was loaded, also after this restart: to use another version, stop and start httpd",
            module.path.display()
        );
        Message::new(Code::ModuleFileReplaced, text)
    })
}

/// All servers as the configuration's own code sees them.
pub fn configured(servers: &[(String, Server)]) -> Vec<ConfiguredServer<'_>> {
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
    log_all(&std::mem::take(&mut BUILDING.lock().notes));
    let mut parent = PARENT.lock();
    restore(&mut parent, &httpd::take_retained());
    parent.generation += 1;
    let configuration = Arc::new(configuration(parent.generation));
    let wanted = listener_keys(&configuration);
    make_room(&mut parent, &configuration)?;
    parent.listeners.renew(&wanted)?;
    parent.walls.renew(plan::supervised(&configuration).map(|(_, group)| group));
    httpd::wake_when_children_end();
    parent.pid = std::process::id() as i32;
    log::server_message(main_server(), &starting(&configuration));
    let supervisor = fork::start_supervisor(&mut parent, &configuration)?;
    parent.current = Some(Current { configuration, supervisor });
    lifetime.at_end(end_of_generation);
    Ok(())
}

/// What starts, in one line; where there are many groups, how many.
fn starting(configuration: &Configuration) -> Message {
    const MOST_NAMED: usize = 10;
    let groups = configuration.global.groups.groups();
    let named = groups.iter().map(|group| {
        let user = group.identity.as_ref().map_or("httpd's user", |identity| &identity.user_name);
        let python = group.python.as_deref().or(group.python_home.as_deref());
        let python = python.map_or("the default Python".to_string(), |path| path.display().to_string());
        format!("{} (user {user}, {python})", group.name)
    });
    let named: Vec<String> = named.take(MOST_NAMED).collect();
    let what = match groups.len() {
        0 => "no process groups".to_string(),
        count if count > MOST_NAMED => format!("{count} process groups"),
        _ => format!("process groups {}", named.join(", ")),
    };
    let text = format!("mod_wsgi_rs {} starts with {what}", env!("CARGO_PKG_VERSION"));
    Message::new(Code::Starting, text)
}

fn make_room(parent: &mut Parent, configuration: &Configuration) -> Result<(), Message> {
    let groups = plan::supervised(configuration).map(|(_, group)| group);
    let log = |message| log::server_message(main_server(), &message);
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
    let preloads = preloads(&building.global, &configured);
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
    Configuration {
        global: building.global,
        regexes: building.regexes,
        preloads,
        group_servers,
        remembers_users: !lines("AuthnCacheProvideFor", "wsgi").is_empty(),
        of_root: SystemAccounts.running_as_root(),
        generation,
    }
}

/// Who may change the directory of the sockets.
fn trusted() -> Vec<(u32, u32)> {
    let mut trusted = vec![(0, 0), effective_ids()];
    if SystemAccounts.running_as_root() {
        let httpd = SystemAccounts.httpd_user();
        trusted.push((httpd.uid, httpd.gid));
    }
    trusted
}

fn named_by(prefix: Option<&Origin>) -> String {
    match prefix {
        Some(origin) => format!("WSGISocketPrefix at {origin}"),
        None => "DefaultRuntimeDir, which is where sockets are without WSGISocketPrefix".to_string(),
    }
}

/// httpd lets its children dump their memory where it is told so, and then other processes of their user may
/// read it.
fn readable_children(global: &GlobalConfig) -> Option<Message> {
    let origin = find_line("CoreDumpDirectory")?;
    let concerned = SystemAccounts.running_as_root() && !global.groups.groups().is_empty();
    let text = format!(
        "CoreDumpDirectory at {origin}: other processes of httpd's User, such as CGI scripts, can read the memory of \
         httpd's children, and with what is there reach every process group: remove it once the dump has been taken"
    );
    concerned.then(|| Message::new(Code::ChildrenReadable, text))
}

fn socket_prefix(global: &GlobalConfig) -> (PathBuf, Option<&Origin>) {
    match &global.socket_prefix {
        Some((prefix, origin)) => (prefix.clone(), Some(origin)),
        None => (PathBuf::from(server::below_runtime_directory("wsgi")), None),
    }
}

fn listener_keys(configuration: &Configuration) -> Vec<(ListenerKey, Origin)> {
    let (prefix, origin) = socket_prefix(&configuration.global);
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

/// httpd restarts or ends. Children that go on after a graceful restart may have requests in the daemons:
/// this generation's supervisor goes on as long as they do. Without any, as when httpd ends and after other
/// restarts, what could be reached before ends with it: the next generation has other sockets.
fn end_of_generation() {
    let mut parent = PARENT.lock();
    if parent.pid != std::process::id() as i32 {
        return;
    }
    let Some(mut current) = parent.current.take() else { return };
    let holder = current.supervisor.as_mut().and_then(|supervisor| supervisor.holder.take());
    let pid = current.supervisor.as_ref().map(|supervisor| supervisor.pid).filter(|pid| *pid > 0);
    parent.older.extend(pid);
    if !httpd::is_ending() && scoreboard::has_children() {
        holder.iter().for_each(GenerationHolder::announce_newer);
        parent.older.retain(|pid| !os::has_ended(*pid));
    } else {
        drop(holder);
        let groups = plan::supervised(&current.configuration).map(|(_, group)| longest_shutdown(group));
        end_supervisors(std::mem::take(&mut parent.older), groups.max().unwrap_or_default() + GRACE);
        parent.listeners.remove_all();
    }
    if !httpd::is_ending() {
        let mut retained = parent.generation.to_le_bytes().to_vec();
        retained.extend(std::mem::take(&mut parent.listeners).retain());
        httpd::retain(&retained);
    }
}

/// Tells those that are left to end with their daemons, and waits until they have.
fn end_supervisors(mut pids: Vec<i32>, most: Duration) {
    pids.retain(|pid| !os::has_ended(*pid));
    // A child that has not been waited for has its pid to itself.
    pids.iter().for_each(|pid| drop(os::kill(*pid, libc::SIGTERM)));
    let deadline = Instant::now() + most;
    for pid in pids {
        httpd::wait_for_end(pid, deadline.saturating_duration_since(Instant::now()));
    }
}
