//! From a fork of the httpd parent to a child that serves: its clients of the groups, and the Python that it
//! may start.
//!
//! Runs in each httpd child: `child_init` before it serves, `embed` on the main thread of its Python.

use super::plan;
use crate::apache::process as httpd;
use crate::apache::process::Lifetime;
use crate::apache::scoreboard;
use crate::apache::server::{self, main_server};
use crate::client::Client;
use crate::config::global::PythonOptions;
use crate::config::interpreter::without_gil;
use crate::config::process_group::{Origin, ProcessGroup};
use crate::control::secret::Secret;
use crate::embedded::{self, Embedded};
use crate::interpreter::server_metrics::ScoreboardSource;
use crate::interpreter::world::ProcessFacts;
use crate::os;
use crate::process::{CHILD, Child, Configuration, PARENT, Parent, module_file};
use crate::python::object::Result as PythonResult;
use crate::python::{Attached, Object};
use crate::wire::frame::{self, Kind};
use crate::wsgi;
use std::sync::Arc;

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
    os::play("child");
    let Parent { listeners, walls, current, .. } = &mut *parent;
    let Some(current) = current.as_mut() else { return };
    let configuration = Arc::clone(&current.configuration);
    os::trust_overlay_of_root();
    let timeout = main_server().timeout();
    let clients = configuration.global.groups.groups().iter().map(|group| {
        let listener = listeners.get(&group.name).filter(|_| group.threads > 0)?;
        let socket_timeout = group.socket_timeout.unwrap_or(timeout);
        let mut group = group.clone();
        group.queue_timeout = group.queue_timeout.filter(|limit| *limit <= socket_timeout);
        group.response.socket_timeout = group.response.socket_timeout.or(group.socket_timeout);
        Some(Client {
            path: listener.path.clone(),
            place: listener.place.try_clone().ok(),
            secret: secret_frame(&listener.secret),
            page: Arc::clone(&listener.page),
            group,
            socket_timeout,
            pool: Default::default(),
            closing: Default::default(),
            log_budget: Default::default(),
        })
    });
    let clients = clients.collect();
    if !is_parent {
        drop((std::mem::take(listeners), std::mem::take(walls)));
        if let Some(holder) = current.supervisor.as_mut().and_then(|supervisor| supervisor.holder.as_mut()) {
            holder.leave_to_parent();
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

fn secret_frame(secret: &Secret) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append(&mut out, Kind::Secret, |out| out.extend_from_slice(secret.bytes()));
    out
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
    let mut flags = plan::python_flags(&global.python);
    if configuration.of_root {
        // Packages below the home directory of root, or of the user of httpd, are no site's.
        flags.push("-s".to_string());
    }
    embedded::Options {
        flags,
        module: module_file().loaded_as.clone(),
        facts: ProcessFacts {
            process_group: String::new(),
            processes,
            threads,
            server: server::facts(),
            home: String::new(),
            interpreters: plan::interpreters(configuration, &group),
            maximum_interpreters: group.maximum_interpreters,
            run_once: false,
            reload_in_place: true,
            watcher: None,
            companions: None,
            protocol: wsgi::protocol::prepare,
            scoreboard: global.server_metrics.then(|| Arc::new(scoreboard::read) as ScoreboardSource),
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
