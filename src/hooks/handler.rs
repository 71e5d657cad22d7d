//! The spine: what happens to a request in an httpd child.
//!
//! httpd calls it for every request that reaches its handler phase. The handler checks that the request is
//! ours and may run, finds its target and makes a `Request` of it. The target's process group or the Python
//! in this child runs it, and the handler passes the answer on.

use crate::apache::RequestRec;
use crate::apache::log;
use crate::apache::module::Flow;
use crate::config::settings::{Chunked, Settings};
use crate::exchange::{self, RecordFacts};
use crate::hooks::runner::{self, HttpError};
use crate::hooks::{ask, entry};
use crate::log::{Code, Message};
use crate::process::Child;
use crate::question::Purpose;
use crate::request::{BodyLength, Request};
use crate::target;
use std::os::unix::ffi::OsStrExt;

pub fn handler(request: &RequestRec<'_>) -> Flow {
    if !is_ours(request.handler()) && request.settings().handler_script(request.handler()).is_none() {
        return Flow::Declined;
    }
    // Declining would let httpd send the script's source.
    let Some(child) = runner::child(request) else { return Flow::Status(500) };
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

fn serve(request: &RequestRec<'_>, child: &'static Child) -> Result<Flow, HttpError> {
    let entry = entry::find(request)?;
    let base = entry.settings();
    let dispatch = base.dispatch_script.as_ref();
    let choice = dispatch.map(|script| ask::dispatch(request, child, script)).transpose()?;
    let chosen = choice.as_ref().map(|choice| Settings::merge(base, &choice.names));
    let settings = chosen.as_ref().unwrap_or(base);
    let facts = RecordFacts::new(request, child.configuration.global.case_sensitive);
    let facts = if entry.any_url { facts.of_script(&entry.script) } else { facts };
    let target = target::select(&entry.script, settings, &child.configuration.global, &facts);
    let target = target.map_err(|refusal| {
        let dispatched = settings.process_group() != base.process_group();
        let said = match base.dispatch_script.as_ref().filter(|_| dispatched) {
            Some(script) => format!(" (chosen by {} at {})", script.directive, script.origin),
            None => target::named_at(settings.process_group(), &request.server_config().uses),
        };
        HttpError::new(500, refusal.message(&said))
    })?;
    let allowed = choice.map_or(Ok(()), |choice| choice.check(&target, settings));
    allowed.map_err(|message| HttpError::new(500, message))?;
    let (runner, script) = runner::find(child, &target)?;
    let length = body_length(request, settings)?;
    let gathered = exchange::gather(request, settings, length);
    let gathered = gathered.map_err(|status| body_refused(request, status))?;
    let length = gathered.whole().map_or(length, BodyLength::Known);
    let environ =
        exchange::environ(request, child, settings, &target, entry.handler_script, gathered.whole());
    let wsgi = Request {
        purpose: Purpose::Application,
        script: script.as_os_str().as_bytes(),
        application_group: target.application_group.as_bytes(),
        callable: target.callable.as_bytes(),
        modified: settings.script_reloading().then_some(entry.modified),
        head: request.is_head(),
        active: !settings.ignore_activity(),
        takes_files: settings.takes_files(),
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
