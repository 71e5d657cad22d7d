//! The options of `WSGIDaemonProcess`, one table row each: from words to a `ProcessGroup`.
//!
//! Runs in the httpd parent while it reads its configuration. Nothing here asks the system: `Accounts`
//! resolves the names of users, and `check` looks whether files exist.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::nearest::suggestion;
use crate::config::process_group::{Origin, Overlap, ProcessGroup};
use crate::config::values::{
    Unit, absolute_directory, duration, float_seconds, integer, octal_mask, on_off, size, size_from,
};
use crate::config::walls::{private_tmp, protect_home};

/// An entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Empty if the uid has no entry.
    pub name: String,
    pub home: PathBuf,
}

/// The user database as httpd sees it.
pub trait Accounts {
    /// By name, or by number as `#1000` (which needs no entry).
    fn user(&self, name: &str) -> Option<Account>;
    fn group(&self, name: &str) -> Option<u32>;
    /// All groups of a user with this primary one.
    fn groups_of(&self, user_name: &str, gid: u32) -> Vec<u32>;
    fn running_as_root(&self) -> bool;
    /// `User` and `Group` of httpd (the gid is that of `Group`).
    fn httpd_user(&self) -> Account;
}

/// What the readers of values may ask.
pub struct Reader<'a> {
    pub accounts: &'a dyn Accounts,
    /// Makes a path absolute, below `ServerRoot`.
    pub resolve_path: &'a dyn Fn(&str) -> String,
}

/// Who the daemons shall run as, as far as the line says; the rest is known at the end of the
/// configuration only.
#[derive(Debug, Default)]
pub struct RequestedIdentity {
    pub user: Option<Account>,
    pub gid: Option<u32>,
    pub supplementary_groups: Option<Vec<u32>>,
}

pub struct Definition {
    pub group: ProcessGroup,
    pub requested: RequestedIdentity,
    processes: Option<u32>,
    minimum_processes: Option<u32>,
    maximum_processes: Option<u32>,
    /// Names of options on the line for which nothing needs to be done.
    pub unneeded: Vec<&'static str>,
    /// Options that are on the line more than once, and whose last value counts: what is to be done about it.
    pub repeated: Vec<String>,
}

impl Definition {
    /// Takes out what only root can do, where httpd was not started as root; the names of those options.
    pub fn without_root(&mut self, accounts: &dyn Accounts) -> Vec<&'static str> {
        if accounts.running_as_root() {
            return Vec::new();
        }
        let own = accounts.httpd_user();
        let RequestedIdentity { user, gid, supplementary_groups } = &self.requested;
        let ignored = [
            ("user", user.as_ref().is_some_and(|user| user.uid != own.uid)),
            ("group", gid.is_some_and(|gid| gid != own.gid)),
            ("supplementary-groups", supplementary_groups.is_some()),
            ("socket-user", self.group.socket_user.take().is_some_and(|uid| uid != own.uid)),
        ];
        ignored.into_iter().filter_map(|(name, ignored)| ignored.then_some(name)).collect()
    }
}

struct DaemonOption {
    name: &'static str,
    /// Whether it does anything; existing configurations have one that does not.
    needed: bool,
    set: Setter,
}

type Setter = fn(&mut Definition, &str, &Reader<'_>) -> Result<(), String>;

const fn option(name: &'static str, set: Setter) -> DaemonOption {
    DaemonOption { name, needed: true, set }
}

const fn unneeded(name: &'static str, set: Setter) -> DaemonOption {
    DaemonOption { name, needed: false, set }
}

#[rustfmt::skip]
const OPTIONS: &[DaemonOption] = &[
    option("user", |d, v, r| set(&mut d.requested.user, user(v, r).map(Some))),
    option("group", |d, v, r| set(&mut d.requested.gid, group(v, r).map(Some))),
    option("supplementary-groups", |d, v, r| set(&mut d.requested.supplementary_groups, groups(v, r).map(Some))),
    option("processes", |d, v, _| set(&mut d.processes, count(v))),
    option("minimum-processes", |d, v, _| set(&mut d.minimum_processes, count(v))),
    option("maximum-processes", |d, v, _| set(&mut d.maximum_processes, count(v))),
    option("start", start),
    option("preload", |d, v, _| set(&mut d.group.preload, on_off(v))),
    option("overlap", overlap),
    option("idle-timeout", |d, v, _| set(&mut d.group.idle_timeout, longer_than_zero(v))),
    option("threads", |d, v, _| set(&mut d.group.threads, integer(v, 0, 65533))),
    option("umask", |d, v, _| set(&mut d.group.umask, octal_mask(v).map(Some))),
    option("chroot", |d, v, _| set(&mut d.group.chroot, absolute_directory(v).map(Some))),
    option("home", |d, v, _| set(&mut d.group.home, absolute_directory(v).map(Some))),
    option("lang", |d, v, _| set(&mut d.group.lang, Ok(not_empty(v)))),
    option("locale", |d, v, _| set(&mut d.group.locale, Ok(not_empty(v)))),
    option("env", variable),
    option("env-file", |d, v, r| resolved(v, r).map(|file| d.group.env_files.push(file))),
    option("python-home", |d, v, r| set(&mut d.group.python_home, resolved(v, r).map(Some))),
    option("python", |d, v, r| set(&mut d.group.python, resolved(v, r).map(Some))),
    option("python-path", |d, v, _| set(&mut d.group.python_path, Ok(paths(v)))),
    option("python-eggs", |d, v, r| set(&mut d.group.python_eggs, resolved(v, r).map(Some))),
    option("switch-interval", |d, v, _| set(&mut d.group.switch_interval, float_seconds(v).map(Some))),
    option("display-name", display_name),
    option("stack-size", |d, v, _| set(&mut d.group.stack_size, buffer(v, 1))),
    option("listen-backlog", |d, v, _| set(&mut d.group.listen_backlog, integer(v, 1, 65535))),
    option("connect-timeout", |d, v, _| set(&mut d.group.connect_timeout, seconds(v))),
    option("socket-timeout", |d, v, _| set(&mut d.group.socket_timeout, seconds(v).map(unless_zero))),
    option("queue-timeout", |d, v, _| set(&mut d.group.queue_timeout, seconds(v).map(unless_zero))),
    option("shutdown-timeout", |d, v, _| set(&mut d.group.shutdown_timeout, seconds(v))),
    option("graceful-timeout", |d, v, _| set(&mut d.group.graceful_timeout, seconds(v))),
    option("send-buffer-size", |d, v, _| set(&mut d.group.send_buffer_size, buffer(v, 512))),
    option("receive-buffer-size", |d, v, _| set(&mut d.group.receive_buffer_size, buffer(v, 512))),
    unneeded("header-buffer-size", |_, v, _| size_from(v, 8192).map(drop)),
    option("response-socket-timeout", |d, v, _| set(&mut d.group.response.socket_timeout, seconds(v).map(unless_zero))),
    option("response-buffer-size", |d, v, _| set(&mut d.group.response.buffer_size, buffer(v, 65536).map(|n| n.unwrap_or(8 << 20)))),
    option("response-flush-delay", |d, v, _| set(&mut d.group.response.flush_delay, duration(v, Unit::Milliseconds))),
    option("socket-user", |d, v, r| set(&mut d.group.socket_user, any_user(v, r).map(|u| Some(u.uid)))),
    option("cpu-priority", |d, v, _| set(&mut d.group.cpu_priority, integer(v, -20, 19).map(Some))),
    option("memory-limit", |d, v, _| set(&mut d.group.memory_limit, size(v).map(|n| (n > 0).then_some(n)))),
    option("virtual-memory-limit", |d, v, _| set(&mut d.group.virtual_memory_limit, size(v).map(|n| (n > 0).then_some(n)))),
    option("process-limit", |d, v, _| set(&mut d.group.process_limit, integer(v, 0, i64::MAX as u64).map(|n| (n > 0).then_some(n)))),
    option("maximum-requests", |d, v, _| set(&mut d.group.limits.maximum_requests, integer(v, 0, i64::MAX as u64).map(|n| (n > 0).then_some(n)))),
    option("maximum-interpreters", |d, v, _| set(&mut d.group.maximum_interpreters, integer(v, 1, 10_000))),
    option("maximum-memory", |d, v, _| set(&mut d.group.limits.maximum_memory, size(v).map(|n| (n > 0).then_some(n)))),
    option("startup-timeout", |d, v, _| set(&mut d.group.limits.startup, limit(v))),
    option("deadlock-timeout", |d, v, _| set(&mut d.group.limits.deadlock, limit(v))),
    option("inactivity-timeout", |d, v, _| set(&mut d.group.limits.inactivity, limit(v))),
    option("request-timeout", |d, v, _| set(&mut d.group.limits.request, limit(v))),
    option("interrupt-timeout", |d, v, _| set(&mut d.group.limits.interrupt, limit(v))),
    option("eviction-timeout", |d, v, _| set(&mut d.group.limits.eviction, limit(v))),
    option("restart-interval", |d, v, _| set(&mut d.group.limits.restart_interval, limit(v))),
    option("cpu-time-limit", |d, v, _| set(&mut d.group.limits.cpu_time, limit(v))),
    option("script-user", |d, v, r| set(&mut d.group.script_user, any_user(v, r).map(|u| Some(u.uid)))),
    option("script-group", |d, v, r| set(&mut d.group.script_group, group(v, r).map(Some))),
    option("no-new-privileges", |d, v, _| set(&mut d.group.no_new_privileges, on_off(v))),
    option("private-tmp", |d, v, _| set(&mut d.group.walls.private_tmp, private_tmp(v))),
    option("protect-home", |d, v, _| set(&mut d.group.walls.protect_home, protect_home(v))),
    option("server-metrics", |d, v, _| set(&mut d.group.server_metrics, on_off(v))),
];

/// Reads the words after `WSGIDaemonProcess`: the name of the group, then options.
pub fn parse(words: &[String], origin: Origin, reader: &Reader<'_>) -> Result<Definition, String> {
    let (name, options) = words.split_first().ok_or("the name of the process group is missing")?;
    check_name(name)?;
    let group = ProcessGroup::new(name, origin);
    let mut definition = Definition {
        group,
        requested: RequestedIdentity::default(),
        processes: None,
        minimum_processes: None,
        maximum_processes: None,
        unneeded: Vec::new(),
        repeated: repeated(options, &REPEATABLE),
    };
    let of_this_group = |error| format!("process group '{name}': {error}");
    for word in options {
        apply(&mut definition, word, reader).map_err(of_this_group)?;
    }
    settle_processes(&mut definition).map_err(of_this_group)?;
    if definition.group.script_user.is_some() && definition.group.script_group.is_some() {
        return Err(of_this_group(
            "script-user and script-group exclude each other: remove one of them".into(),
        ));
    }
    Ok(definition)
}

/// Each adds to the ones before it.
const REPEATABLE: [&str; 2] = ["env", "env-file"];

/// The options that replace an earlier one on their line, each once, and the cure.
pub fn repeated(options: &[String], repeatable: &[&str]) -> Vec<String> {
    let names: Vec<&str> =
        options.iter().map(|word| word.split_once('=').map_or(&word[..], |(name, _)| name)).collect();
    let again = names.iter().enumerate().filter(|(place, name)| {
        let count = |names: &[&str]| names.iter().filter(|other| other == name).count();
        count(&names[..*place]) == 1 && !repeatable.contains(name)
    });
    let cure = |name: &str| match name {
        "python-path" => "join the directories with ':' in one of them".to_string(),
        "supplementary-groups" => "join the names with ',' in one of them".to_string(),
        _ => "remove the others".to_string(),
    };
    again
        .map(|(_, name)| {
            format!("{name}= is given more than once, and only the last one counts: {}", cure(name))
        })
        .collect()
}

/// Fills in what was not said of the number of processes.
fn settle_processes(definition: &mut Definition) -> Result<(), String> {
    let Definition { group, processes, minimum_processes, maximum_processes, .. } = definition;
    let least = minimum_processes.or(*processes).unwrap_or(1).min(maximum_processes.unwrap_or(u32::MAX));
    let most = maximum_processes.or(*processes).unwrap_or(1).max(least);
    let first = processes.unwrap_or(least);
    if minimum_processes.is_some_and(|minimum| minimum > most) || first < least || first > most {
        return Err(
            "minimum-processes, processes and maximum-processes must not decrease in this order".into()
        );
    }
    (group.minimum_processes, group.processes, group.maximum_processes) = (least, first, most);
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let option = name.split_once('=').map_or("", |(option, _)| option);
    if OPTIONS.iter().any(|row| row.name == option) {
        return Err(format!(
            "the name of the process group is missing: write it before the first option '{name}'"
        ));
    }
    if name.is_empty() || name.starts_with("%{") {
        return Err(format!("'{name}' cannot name a process group: choose a fixed name, such as 'blog'"));
    }
    Ok(())
}

fn apply(definition: &mut Definition, word: &str, reader: &Reader<'_>) -> Result<(), String> {
    let names = || OPTIONS.iter().map(|row| row.name);
    let Some((name, value)) = word.split_once('=') else {
        if names().any(|name| name == word) {
            return Err(format!(
                "option '{word}' has no value: write {word}=VALUE, without blanks around the ="
            ));
        }
        return Err(format!(
            "'{word}' is not of the form option=value{}: write no blanks around the =, and quotes \
             around a value that contains blanks",
            suggestion(word, names())
        ));
    };
    let Some(row) = OPTIONS.iter().find(|row| row.name == name) else {
        return Err(format!(
            "there is no option '{name}'{}: correct or remove '{word}'",
            suggestion(name, names())
        ));
    };
    if value.contains('\0') {
        return Err(format!("option '{name}': the value contains a NUL byte: remove it"));
    }
    if !row.needed {
        definition.unneeded.push(row.name);
    }
    (row.set)(definition, value, reader).map_err(|error| format!("option '{name}': {error}"))
}

fn set<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

fn seconds(value: &str) -> Result<Duration, String> {
    duration(value, Unit::Seconds)
}

fn limit(value: &str) -> Result<Option<Duration>, String> {
    seconds(value).map(unless_zero)
}

fn longer_than_zero(value: &str) -> Result<Duration, String> {
    limit(value)?.ok_or_else(|| format!("expected a time longer than zero, found '{value}'"))
}

/// As many again have a place beside them, of the next configuration.
const MOST_PROCESSES: u32 = 256;

fn count(value: &str) -> Result<Option<u32>, String> {
    integer(value, 1, MOST_PROCESSES).map(Some)
}

fn start(d: &mut Definition, value: &str, _: &Reader<'_>) -> Result<(), String> {
    d.group.on_demand = match value {
        "on-demand" => true,
        "always" => false,
        _ => return Err(format!("expected always or on-demand, found '{value}'")),
    };
    Ok(())
}

fn overlap(d: &mut Definition, value: &str, _: &Reader<'_>) -> Result<(), String> {
    d.group.overlap = match value {
        _ if value.eq_ignore_ascii_case("auto") => Overlap::Auto,
        _ if value.eq_ignore_ascii_case("on") => Overlap::On,
        _ if value.eq_ignore_ascii_case("off") => Overlap::Off,
        _ => return Err(format!("expected Auto, On or Off, found '{value}'")),
    };
    Ok(())
}

fn unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

fn not_empty(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_string())
}

/// A size for the system; None for 0, which leaves the choice to it.
fn buffer(value: &str, least: u64) -> Result<Option<usize>, String> {
    let bytes = size_from(value, least)?;
    Ok(usize::try_from(bytes).ok().filter(|bytes| *bytes > 0))
}

fn resolved(value: &str, reader: &Reader<'_>) -> Result<PathBuf, String> {
    match value {
        "" => Err("expected a path, found nothing".to_string()),
        _ => Ok(PathBuf::from((reader.resolve_path)(value))),
    }
}

/// Directories separated by colons.
pub fn paths(value: &str) -> Vec<PathBuf> {
    value.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

fn variable(d: &mut Definition, value: &str, _: &Reader<'_>) -> Result<(), String> {
    match value.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            d.group.env.push((name.to_string(), value.to_string()));
            Ok(())
        }
        _ => Err(format!("expected NAME=VALUE, found '{value}': write env=NAME=VALUE")),
    }
}

fn display_name(d: &mut Definition, value: &str, _: &Reader<'_>) -> Result<(), String> {
    let own = format!("(wsgi:{})", d.group.name);
    d.group.display_name = if value.is_empty() { own } else { value.replace("%{GROUP}", &own) };
    Ok(())
}

fn any_user(value: &str, reader: &Reader<'_>) -> Result<Account, String> {
    reader.accounts.user(value).ok_or_else(|| {
        format!("there is no user '{value}' on this system: create it, or name another (a number as #1000)")
    })
}

fn user(value: &str, reader: &Reader<'_>) -> Result<Account, String> {
    match any_user(value, reader)? {
        account if account.uid == 0 => Err(format!(
            "'{value}' is root (uid 0), and applications never run as root: name an unprivileged user"
        )),
        account => Ok(account),
    }
}

fn group(value: &str, reader: &Reader<'_>) -> Result<u32, String> {
    reader.accounts.group(value).ok_or_else(|| {
        format!("there is no group '{value}' on this system: create it, or name another (a number as #1000)")
    })
}

fn groups(value: &str, reader: &Reader<'_>) -> Result<Vec<u32>, String> {
    value.split(',').map(|name| group(name.trim(), reader)).collect()
}

#[cfg(test)]
#[path = "options_tests.rs"]
pub mod tests;
