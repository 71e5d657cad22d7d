//! From the configuration to a generation, and on to the next one or the end.
//!
//! Runs in the httpd parent: `check_config` and `post_config` at every start and restart, `end_of_generation`
//! when httpd throws a configuration away.

use super::descriptors;
use super::fork;
use super::plan;
use crate::apache::accounts::SystemAccounts;
use crate::apache::log;
use crate::apache::process as httpd;
use crate::apache::process::Lifetime;
use crate::apache::server::{self, Server, main_server, servers};
use crate::apache::tree::{lines, served};
use crate::config::check;
use crate::config::global::ConfiguredServer;
use crate::config::options::Accounts;
use crate::config::plan::preloads;
use crate::config::process_group::Origin;
use crate::config::surroundings::{Served, Surroundings};
use crate::control::listener::{ListenerKey, Registry};
use crate::control::module_file::ModuleFile;
use crate::log::{Code, Message};
use crate::process::{BUILDING, Configuration, Current, PARENT, Parent, module_file};
use crate::site::disk::Disk;
use crate::site::interpreter;
use crate::supervisor::longest_shutdown;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    let mut notes = std::mem::take(&mut building.notes);
    notes.extend(check::check(&building.global, &configured, &surroundings(&served())));
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
        generation,
    }
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
