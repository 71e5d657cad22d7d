//! The one door through which httpd calls us: hooks, directives, configuration records.
//!
//! `module.rs` at the top implements `Module`; the trampolines here check what C handed in, catch
//! panics, log, and turn results into the numbers each signature wants.

#![allow(unsafe_code)]

use super::auth::{self, AccessControl};
use super::brigade::OutputFilters;
use super::log;
use super::magic;
use super::process::{Lifetime, reads_for_the_first_time};
use super::request::RequestRec;
use super::server::{main_server, servers};
use super::table::{self, Record, api, bytes, copy};
use super::vector;
use crate::config::global::ServerConfig;
use crate::config::settings::Settings;
use crate::log::{Code, Message};
use crate::sys::httpd::*;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// What a request hook tells httpd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Another handler's request.
    Declined,
    /// Done with it.
    Done,
    /// httpd is to answer with this status.
    Status(u16),
}

/// Where a directive stands.
pub struct DirectivePlace {
    pub file: String,
    pub line: u32,
    /// Path of the enclosing section; None at server level.
    pub section: Option<String>,
    /// The arguments of the section of our own that encloses it.
    pub interpreters: Option<String>,
    pub in_virtual_host: bool,
    pub in_htaccess: bool,
}

/// What an httpd module is made of.
pub trait Module: AccessControl {
    fn create_server(virtual_host: bool) -> ServerConfig;

    /// One directive; an error is shown by httpd with its place. `compile` makes a regular
    /// expression that lives as long as this configuration.
    fn directive(
        name: &str,
        place: DirectivePlace,
        settings: &mut Settings,
        server: &mut ServerConfig,
        arguments: &str,
        compile: &dyn Fn(&str) -> Option<super::regex::Regex>,
    ) -> Result<(), String>;

    fn check_config() -> Result<(), Message>;
    /// Not called on the first of httpd's two passes at start.
    fn post_config(generation: Lifetime) -> Result<(), Message>;
    /// Called where httpd only tests its configuration, after `check_config`.
    fn test_config();
    /// Called at a first start and a hard restart, not at a graceful one.
    fn pre_mpm() -> Result<(), Message>;
    fn child_init(child: Lifetime);
    /// Called in the parent every few seconds.
    fn monitor();
    fn translate_name(request: &RequestRec<'_>) -> Flow;
    /// Whether the request may go on, before its user is known.
    fn check_access(request: &RequestRec<'_>) -> Flow;
    fn handler(request: &RequestRec<'_>) -> Flow;
}

/// The module record that LoadModule finds.
pub const fn record<M: Module>(commands: *const command_rec) -> module {
    module {
        version: MODULE_MAGIC_NUMBER_MAJOR,
        minor_version: 0,
        module_index: -1,
        name: c"mod_wsgi.c".as_ptr(),
        dynamic_load_handle: ptr::null_mut(),
        next: ptr::null_mut(),
        magic: MODULE_MAGIC_COOKIE as _,
        rewrite_args: None,
        create_dir_config: Some(vector::create_directory),
        merge_dir_config: Some(vector::merge_directory),
        create_server_config: Some(create_server::<M>),
        merge_server_config: Some(vector::merge_server),
        cmds: commands,
        register_hooks: Some(register_hooks::<M>),
        flags: 0,
    }
}

/// A row of the command table; `scope` is made of httpd's RSRC_CONF, ACCESS_CONF and OR_ bits.
pub const fn command<M: Module>(name: &'static CStr, scope: c_int, usage: &'static CStr) -> command_rec {
    command_rec {
        name: name.as_ptr(),
        func: cmd_func { raw_args: Some(directive::<M>) },
        cmd_data: ptr::null_mut(),
        req_override: scope,
        args_how: cmd_how_RAW_ARGS,
        errmsg: usage.as_ptr(),
    }
}

/// The end of a command table.
pub const fn last_command() -> command_rec {
    command_rec {
        name: ptr::null(),
        func: cmd_func { raw_args: None },
        cmd_data: ptr::null_mut(),
        req_override: 0,
        args_how: cmd_how_RAW_ARGS,
        errmsg: ptr::null(),
    }
}

unsafe extern "C" fn register_hooks<M: Module>(pool: *mut apr_pool_t) {
    let lacks = |error| format!("this httpd lacks a function of 2.4 that the module needs: {error}");
    if let Err(text) = table::load().map_err(lacks).and_then(|()| magic::check()) {
        // It may be that nothing of httpd can be called, its log included.
        eprintln!("{}", Message::new(Code::HttpdTooOld, text));
        std::process::exit(1);
    }
    static AFTER_ALIAS: [Name; 2] = [Name(c"mod_alias.c".as_ptr()), Name(ptr::null())];
    static BEFORE_USERDIR: [Name; 3] =
        [Name(c"mod_userdir.c".as_ptr()), Name(c"mod_vhost_alias.c".as_ptr()), Name(ptr::null())];
    let (after_alias, before_userdir) = (AFTER_ALIAS.as_ptr().cast(), BEFORE_USERDIR.as_ptr().cast());
    let (none, middle) = (ptr::null(), APR_HOOK_MIDDLE);
    // SAFETY: httpd is registering hooks; the functions have the signatures of their hooks, the
    // names live for ever.
    unsafe {
        api().ap_hook_check_config(Some(check_config::<M>), none, none, middle);
        api().ap_hook_test_config(Some(test_config::<M>), none, none, middle);
        api().ap_hook_post_config(Some(post_config::<M>), none, none, APR_HOOK_LAST);
        api().ap_hook_pre_mpm(Some(pre_mpm::<M>), none, none, APR_HOOK_LAST);
        api().ap_hook_monitor(Some(monitor::<M>), none, none, middle);
        api().ap_hook_child_init(Some(child_init::<M>), none, none, middle);
        api().ap_hook_translate_name(Some(translate_name::<M>), after_alias, before_userdir, middle);
        // A script may decide by the URL, which a request inside another has of its own.
        let per_uri = AP_AUTH_INTERNAL_PER_URI as c_int;
        api().ap_hook_check_access(Some(check_access::<M>), none, none, middle, per_uri);
        api().ap_hook_handler(Some(handler::<M>), none, none, middle);
    }
    auth::register::<M>(pool);
}

#[repr(transparent)]
struct Name(*const c_char);

// SAFETY: the pointers are to string literals.
unsafe impl Sync for Name {}

unsafe extern "C" fn create_server<M: Module>(pool: *mut apr_pool_t, server: *mut server_rec) -> *mut c_void {
    // SAFETY: httpd hands in a live server record.
    let virtual_host = unsafe { (*server).is_virtual } != 0;
    vector::create_server(pool, || M::create_server(virtual_host))
}

unsafe extern "C" fn directive<M: Module>(
    parameters: *mut cmd_parms,
    mut section: *mut c_void,
    arguments: *const c_char,
) -> *const c_char {
    // SAFETY: httpd hands in live parameters for the length of the call.
    let parameters = unsafe { &mut *parameters };
    // SAFETY: a directive is always called with its row and its place.
    let (command, directive) = unsafe { (&*parameters.cmd, &*parameters.directive) };
    let first_child = directive.first_child;
    // SAFETY: the server is the one whose configuration is being read.
    let in_virtual_host = unsafe { (*parameters.server).is_virtual } != 0;
    // SAFETY: only asks for the context of these parameters.
    let in_htaccess = !unsafe { api().ap_check_cmd_context(parameters, NOT_IN_HTACCESS as u32) }.is_null();
    let place = DirectivePlace {
        file: text(directive, directive.filename),
        line: u32::try_from(directive.line_num).unwrap_or(0),
        section: (!parameters.path.is_null()).then(|| text(parameters, parameters.path)),
        interpreters: own_section(directive).map(|section| text(section, section.args)),
        in_virtual_host,
        in_htaccess,
    };
    let (name, arguments) = (text(command, command.name), text(parameters, arguments));
    let pool = parameters.pool;
    // SAFETY: httpd calls a directive of ours with our entry.
    let settings = unsafe { vector::section(&mut section) };
    // A .htaccess file is read while requests run, and its directives do not change the server's
    // configuration.
    let mut scratch = ServerConfig::default();
    let server = if in_htaccess {
        &mut scratch
    } else {
        // SAFETY: one thread reads the configuration, and has no other use of the server meanwhile.
        vector::being_read(unsafe { &mut *parameters.server })
    };
    let inside = if is_section(command) { first_child } else { ptr::null_mut() };
    let compile = |pattern: &str| super::regex::Regex::compile(pool, pattern);
    let result =
        catch_unwind(AssertUnwindSafe(|| M::directive(&name, place, settings, server, &arguments, &compile)));
    match result {
        // SAFETY: a section of ours: httpd reads what is in it, each directive through this door.
        Ok(Ok(())) if !inside.is_null() => unsafe {
            let context = parameters.context;
            api().ap_walk_config(inside, parameters, context)
        },
        Ok(Ok(())) => ptr::null(),
        Ok(Err(error)) => copy(pool, error.as_bytes()),
        Err(_) => {
            let text = "a panic while the directive was read; please report it";
            copy(pool, Message::new(Code::DirectivePanicked, text).to_string().as_bytes())
        }
    }
}

fn text<R: Record>(record: &R, string: *const c_char) -> String {
    String::from_utf8_lossy(bytes(record, string).unwrap_or_default()).into_owned()
}

fn is_section(command: &command_rec) -> bool {
    bytes(command, command.name).is_some_and(|name| name.starts_with(b"<"))
}

/// The section around a directive, if that is one of ours.
fn own_section(directive: &ap_directive_t) -> Option<&ap_directive_t> {
    // SAFETY: a directive's parent, where it has one, lives as long as the tree they are in.
    let parent = unsafe { directive.parent.as_ref() }?;
    let name = bytes(parent, parent.directive)?;
    name.to_ascii_lowercase().starts_with(b"<wsgi").then_some(parent)
}

unsafe extern "C" fn check_config<M: Module>(
    _configuration: *mut apr_pool_t,
    _log: *mut apr_pool_t,
    _temporary: *mut apr_pool_t,
    _server: *mut server_rec,
) -> c_int {
    if servers().any(|server| server.config().broken || server.defaults().broken) {
        return start_hook("check_config", || panic!("what was read of the configuration is not complete"));
    }
    start_hook("check_config", M::check_config)
}

unsafe extern "C" fn post_config<M: Module>(
    configuration: *mut apr_pool_t,
    _log: *mut apr_pool_t,
    _temporary: *mut apr_pool_t,
    _server: *mut server_rec,
) -> c_int {
    if reads_for_the_first_time() {
        return OK;
    }
    start_hook("post_config", || M::post_config(Lifetime::new(configuration)))
}

unsafe extern "C" fn test_config<M: Module>(_configuration: *mut apr_pool_t, _server: *mut server_rec) {
    // The panic's message is on httpd's standard error; nothing runs.
    let _ = catch_unwind(AssertUnwindSafe(M::test_config));
}

unsafe extern "C" fn pre_mpm<M: Module>(_process: *mut apr_pool_t, _kind: ap_scoreboard_e) -> c_int {
    start_hook("pre_mpm", M::pre_mpm)
}

fn start_hook(name: &str, hook: impl FnOnce() -> Result<(), Message>) -> c_int {
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(Ok(())) => OK,
        Ok(Err(message)) => {
            log::server_message(main_server(), &message);
            HTTP_INTERNAL_SERVER_ERROR
        }
        Err(_) => {
            let message = Message::new(Code::StartPanicked, format!("a panic in {name}; please report it"));
            log::server_message(main_server(), &message);
            HTTP_INTERNAL_SERVER_ERROR
        }
    }
}

unsafe extern "C" fn monitor<M: Module>(_pool: *mut apr_pool_t, _server: *mut server_rec) -> c_int {
    // The panic's message is in the log; the parent goes on.
    let _ = catch_unwind(AssertUnwindSafe(M::monitor));
    DECLINED
}

unsafe extern "C" fn child_init<M: Module>(pool: *mut apr_pool_t, _server: *mut server_rec) {
    if catch_unwind(AssertUnwindSafe(|| M::child_init(Lifetime::new(pool)))).is_err() {
        let message = Message::new(Code::StartPanicked, "a panic in child_init; please report it");
        log::server_message(main_server(), &message);
    }
}

unsafe extern "C" fn translate_name<M: Module>(request: *mut request_rec) -> c_int {
    request_hook(request, M::translate_name)
}

unsafe extern "C" fn check_access<M: Module>(request: *mut request_rec) -> c_int {
    request_hook(request, M::check_access)
}

unsafe extern "C" fn handler<M: Module>(request: *mut request_rec) -> c_int {
    request_hook(request, M::handler)
}

/// A panic costs the request: 500, or a cut connection when the answer had begun.
fn request_hook(request: *mut request_rec, hook: fn(&RequestRec<'_>) -> Flow) -> c_int {
    let request = RequestRec::new(&request);
    if request.settings().broken {
        log::request_panicked(&request);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    match catch_unwind(AssertUnwindSafe(|| hook(&request))) {
        Ok(Flow::Declined) => DECLINED,
        Ok(Flow::Done) => OK,
        Ok(Flow::Status(status)) => status.into(),
        Err(_) => {
            log::request_panicked(&request);
            // An answer that has begun must not look complete.
            if request.has_begun() {
                OutputFilters::new(&request, None).cut();
                OK
            } else {
                HTTP_INTERNAL_SERVER_ERROR
            }
        }
    }
}
