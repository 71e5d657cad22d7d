//! The spine: what happens to a request in an httpd child.
//!
//! httpd calls it for every request that reaches its handler phase. The handler checks that the request is
//! ours and may run, finds its target and makes a `Request` of it. The target's process group or the Python
//! in this child runs it, and the handler passes the answer on.

use crate::apache::RequestRec;
use crate::apache::log;
use crate::apache::module::Flow;
use crate::config::process_group::ProcessGroup;
use crate::config::settings::{Chunked, Settings};
use crate::exchange::{self, RecordFacts, Runner};
use crate::hooks::translate;
use crate::log::{Code, Message};
use crate::process::{CHILD, Child};
use crate::request::{BodyLength, Request};
use crate::site::owner;
use crate::target::{self, Target};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn handler(request: &RequestRec<'_>) -> Flow {
    if !is_ours(request.handler()) {
        return Flow::Declined;
    }
    let Some(child) = CHILD.get() else {
        // Declining would let httpd send the script's source.
        let text = "this httpd child could not be prepared (the reason is in the main error log)";
        log::request_message(request, &Message::new(Code::ChildNotPrepared, text));
        return Flow::Status(500);
    };
    #[cfg(feature = "fault-injection")]
    inject_fault(request);
    match serve(request, child) {
        Ok(flow) => flow,
        Err(error) => {
            if let Some(message) = error.message {
                log::request_message(request, &message);
            }
            Flow::Status(error.status)
        }
    }
}

fn is_ours(handler: &[u8]) -> bool {
    matches!(handler, b"wsgi-script" | b"application/x-httpd-wsgi")
}

/// A request that is answered by httpd itself, and why.
struct HttpError {
    status: u16,
    /// None where httpd has logged the reason.
    message: Option<Message>,
}

impl HttpError {
    fn new(status: u16, message: Message) -> HttpError {
        HttpError { status, message: Some(message) }
    }
}

fn serve(request: &RequestRec<'_>, child: &'static Child) -> Result<Flow, HttpError> {
    let alias = translate::alias_of(request);
    check_script(request, alias.is_some())?;
    let base = request.settings();
    let merged = alias.map(|alias| Settings::merge(base, &alias.options));
    let settings = merged.as_ref().unwrap_or(base);

    let target = find_target(request, child, settings)?;
    let (runner, script) = match target.group {
        Some(group) => {
            let defined = &child.configuration.global.groups.groups()[group];
            let script = Path::new(&target.script);
            owner::check(script, defined).map_err(|why| HttpError::new(403, why))?;
            let script = defined.seen_from_inside(script).ok_or_else(|| outside(&target, defined))?;
            (Runner::Daemon(child.clients[group].as_ref().ok_or_else(|| no_threads(&target))?), script)
        }
        None => (Runner::Here(&child.embedded), Path::new(&target.script).into()),
    };
    let length = body_length(request, settings)?;
    let gathered = exchange::gather(request, settings, length);
    let gathered = gathered.map_err(|status| body_refused(request, status))?;
    let length = gathered.whole().map_or(length, BodyLength::Known);
    let environ = exchange::environ(request, child, settings, &target, gathered.whole());
    let wsgi = Request {
        script: script.as_os_str().as_bytes(),
        application_group: target.application_group.as_bytes(),
        callable: target.callable.as_bytes(),
        modified: settings.script_reloading().then(|| request.file_modified()),
        head: request.is_head(),
        active: !settings.ignore_activity(),
        body: length,
        environ: environ.environ(),
        record: settings.pass_apache_request().then(|| request.address()).filter(|_| target.group.is_none()),
    };
    Ok(exchange::run(request, gathered, runner, &wsgi, settings))
}

/// What there is to read. An error document's own request has no body: httpd has dealt with it.
fn body_length(request: &RequestRec<'_>, settings: &Settings) -> Result<BodyLength, HttpError> {
    if request.is_error_document() {
        return Ok(BodyLength::Known(0));
    }
    let length = request.prepare_body(settings.chunked_request() != Chunked::Off);
    let length = length.map_err(|status| body_refused(request, status))?;
    // An input filter may give more, or less, than the client announced.
    let known = length.filter(|length| *length == 0 || !request.has_input_filter());
    Ok(known.map_or(BodyLength::Chunked, BodyLength::Known))
}

/// The file must be there, be a file, and be allowed to run where no alias says so.
fn check_script(request: &RequestRec<'_>, aliased: bool) -> Result<(), HttpError> {
    let script = || String::from_utf8_lossy(request.filename()).into_owned();
    if !request.file_exists() {
        let text = format!("there is no WSGI script '{}': check the path of WSGIScriptAlias", script());
        return Err(HttpError::new(404, Message::new(Code::RequestScriptMissing, text)));
    }
    if request.file_is_directory() {
        let text = format!(
            "'{}' is a directory, not a WSGI script: name a script in it (a WSGIScriptAlias target that ends \
             with / takes the script's name from the URL)",
            script()
        );
        return Err(HttpError::new(403, Message::new(Code::RequestScriptIsDirectory, text)));
    }
    if !aliased && !request.allows_exec_cgi() {
        let text = format!(
            "'{}' may not run here: add Options +ExecCGI for its directory, or map it with WSGIScriptAlias",
            script()
        );
        return Err(HttpError::new(403, Message::new(Code::ExecCgiMissing, text)));
    }
    if request.path_info_refused() {
        let text = format!("AcceptPathInfo Off refuses what follows the script '{}' in the URL", script());
        return Err(HttpError::new(404, Message::new(Code::PathInfoRefused, text)));
    }
    Ok(())
}

fn find_target(request: &RequestRec<'_>, child: &Child, settings: &Settings) -> Result<Target, HttpError> {
    let script = String::from_utf8_lossy(request.filename()).into_owned();
    let facts = RecordFacts::new(request, child.configuration.global.case_sensitive);
    target::select(&script, settings, &child.configuration.global, &facts)
        .map_err(|refusal| HttpError::new(500, refusal.message()))
}

fn no_threads(target: &Target) -> HttpError {
    let text = format!(
        "the process group '{}' has no worker threads (threads=0): it executes service \
         scripts and serves no requests: choose another group, or give it threads=",
        target.process_group
    );
    HttpError::new(500, Message::new(Code::RequestGroupWithoutThreads, text))
}

fn outside(target: &Target, group: &ProcessGroup) -> HttpError {
    let text = format!(
        "the script '{}' is not below the chroot= of process group '{}' (WSGIDaemonProcess at {}): move it there, \
         and name it as httpd sees it",
        target.script, group.name, group.origin
    );
    HttpError::new(403, Message::new(Code::RequestScriptOutsideChroot, text))
}

/// httpd has logged the error of the framing, but not which of our directives could help.
fn body_refused(request: &RequestRec<'_>, status: u16) -> HttpError {
    let (code, text) = match status {
        411 => (
            Code::ChunkedBodyRefused,
            "the request's body is chunked: WSGIChunkedRequest On lets the application read such bodies, and with \
             Buffered it is told their length",
        ),
        413 => (Code::BodyTooLarge, "the request's body is larger than LimitRequestBody allows"),
        _ => return HttpError { status, message: None },
    };
    let text = format!(
        "{} {}: {text}",
        String::from_utf8_lossy(request.method()),
        String::from_utf8_lossy(request.uri())
    );
    HttpError::new(status, Message::new(code, text))
}

/// Shows that a panic costs one request.
#[cfg(feature = "fault-injection")]
fn inject_fault(request: &RequestRec<'_>) {
    use crate::apache::request::Table;
    if request.get(Table::HeadersIn, c"X-Fault") == Some(b"handler") {
        panic!("asked for by the header X-Fault");
    }
}
