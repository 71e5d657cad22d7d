//! The two doors: what httpd finds in this file when it loads it as a module, and what Python finds
//! when it imports it as an extension.
//!
//! httpd's side is the module record `wsgi_module` with its directives and hooks, in the order in which httpd
//! calls them. Python's is `PyInit_mod_wsgi_rs`, whose module has the functions `serve` for daemons and
//! `embed` for the Python in an httpd child.

#![allow(unsafe_code)]

use crate::apache::RequestRec;
use crate::apache::accounts::SystemAccounts;
use crate::apache::auth::{AccessControl, Authentication, Authorization};
use crate::apache::module::{DirectivePlace, Flow, Module, command, last_command, record};
use crate::apache::process::Lifetime;
use crate::apache::regex::Regex;
use crate::apache::server::below_server_root;
use crate::config::context::Context;
use crate::config::directives::{self, Scope, TABLE};
use crate::config::global::{GlobalConfig, ServerConfig};
use crate::config::process_group::Origin;
use crate::config::settings::Settings;
use crate::daemon::serve;
use crate::hooks::{ask, child, fork, handler, listing, parent, translate};
use crate::log::{Code, Message};
use crate::process::{BUILDING, Building};
use crate::python::extension;
use crate::sys::httpd::{ACCESS_CONF, OR_AUTHCFG, OR_FILEINFO, RSRC_CONF, command_rec, module};
use crate::sys::python::PyObject;

struct Wsgi;

impl Module for Wsgi {
    /// The main server's is made first, each time httpd reads its configuration.
    fn create_server(virtual_host: bool) -> ServerConfig {
        if !virtual_host {
            *BUILDING.lock() = Building::default();
        }
        ServerConfig::default()
    }

    fn directive(
        name: &str,
        place: DirectivePlace,
        settings: &mut Settings,
        server: &mut ServerConfig,
        arguments: &str,
        compile: &dyn Fn(&str) -> Option<Regex>,
    ) -> Result<(), String> {
        let directive =
            directives::find(name).ok_or_else(|| format!("{name} is no directive of mod_wsgi_rs"))?;
        if place.in_htaccess {
            // Read while requests run: all but the directory's own settings is thrown away.
            let mut scratch = Building::default();
            return apply(directive, place, settings, server, &mut scratch, arguments, compile);
        }
        apply(directive, place, settings, server, &mut BUILDING.lock(), arguments, compile)
    }

    fn check_config() -> Result<(), Message> {
        parent::check_config()
    }

    fn post_config(lifetime: Lifetime) -> Result<(), Message> {
        parent::post_config(lifetime)
    }

    fn test_config() {
        listing::test_config();
    }

    fn pre_mpm() -> Result<(), Message> {
        fork::pre_mpm()
    }

    fn child_init(lifetime: Lifetime) {
        child::child_init(lifetime);
    }

    fn monitor() {
        fork::monitor();
    }

    fn translate_name(request: &RequestRec<'_>) -> Flow {
        translate::translate_name(request)
    }

    fn check_access(request: &RequestRec<'_>) -> Flow {
        ask::check_access(request)
    }

    fn handler(request: &RequestRec<'_>) -> Flow {
        handler::handler(request)
    }
}

impl AccessControl for Wsgi {
    fn check_password(request: &RequestRec<'_>, user: &[u8], password: &[u8]) -> Authentication {
        ask::check_password(request, user, password)
    }

    fn realm_hash(request: &RequestRec<'_>, user: &[u8], realm: &[u8]) -> Authentication {
        ask::realm_hash(request, user, realm)
    }

    fn require_group(request: &RequestRec<'_>, words: &[u8]) -> Authorization {
        ask::require_group(request, words)
    }

    fn check_groups(words: &[u8]) -> Result<(), String> {
        ask::check_groups(words)
    }
}

fn apply(
    directive: &directives::Directive,
    place: DirectivePlace,
    settings: &mut Settings,
    server: &mut ServerConfig,
    building: &mut Building,
    arguments: &str,
    compile: &dyn Fn(&str) -> Option<Regex>,
) -> Result<(), String> {
    let mut context = Context {
        settings,
        server,
        global: &mut building.global,
        origin: Origin { file: place.file, line: place.line },
        section: place.section,
        interpreters: place.interpreters,
        inside_virtual_host: place.in_virtual_host,
        in_htaccess: place.in_htaccess,
        accounts: &SystemAccounts,
        resolve_path: &below_server_root,
        notes: &mut building.notes,
    };
    directive.apply(&mut context, arguments)?;
    compile_patterns(&building.global, &mut building.regexes, directive.name(), compile)
}

fn compile_patterns(
    global: &GlobalConfig,
    regexes: &mut Vec<Regex>,
    name: &str,
    compile: &dyn Fn(&str) -> Option<Regex>,
) -> Result<(), String> {
    for pattern in &global.patterns[regexes.len()..] {
        let regex = compile(pattern).ok_or_else(|| {
            let text = format!("{name}: '{pattern}' is not a regular expression that PCRE accepts");
            Message::new(Code::DirectiveInvalid, text).to_string()
        })?;
        regexes.push(regex);
    }
    Ok(())
}

const COMMAND_COUNT: usize = TABLE.len() + 1;

const fn commands() -> [command_rec; COMMAND_COUNT] {
    let mut commands = [last_command(); COMMAND_COUNT];
    let mut index = 0;
    while index < TABLE.len() {
        let directive = &TABLE[index];
        commands[index] = command::<Wsgi>(directive.name, contexts(directive.scope), directive.usage);
        index += 1;
    }
    commands
}

/// Where httpd accepts a directive.
const fn contexts(scope: Scope) -> i32 {
    match scope {
        Scope::Global | Scope::Server => RSRC_CONF,
        Scope::ServerOrDirectory => RSRC_CONF | ACCESS_CONF,
        Scope::FileInfo => OR_FILEINFO,
        Scope::AuthConfig => OR_AUTHCFG,
    }
}

#[repr(transparent)]
struct Commands([command_rec; COMMAND_COUNT]);

// SAFETY: httpd only reads the table; its pointers are to literals and functions.
unsafe impl Sync for Commands {}

static COMMANDS: Commands = Commands(commands());

/// httpd's door. It writes the module's index and its links into the record.
#[unsafe(no_mangle)]
pub static mut wsgi_module: module = record::<Wsgi>(COMMANDS.0.as_ptr());

/// Python's door.
///
/// # Safety
///
/// CPython alone calls it, while it imports the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyInit_mod_wsgi_rs() -> *mut PyObject {
    // SAFETY: CPython imports the module.
    unsafe { extension::initialize(&[(c"serve", python_serve), (c"embed", python_embed)]) }
}

unsafe extern "C" fn python_serve(_module: *mut PyObject, _nothing: *mut PyObject) -> *mut PyObject {
    // SAFETY: CPython calls a function of the module.
    unsafe { extension::enter_function(serve::main) }
}

unsafe extern "C" fn python_embed(_module: *mut PyObject, _nothing: *mut PyObject) -> *mut PyObject {
    // SAFETY: CPython calls a function of the module.
    unsafe { extension::enter_function(child::embed) }
}
