//! Between httpd's request record and a daemon: environ out, frames in, answer on its way.
//!
//! Runs in httpd children, called by `hooks::handler`. While the application runs, this is the loop
//! that reads frames: it sets the head, passes data to the output filters, logs lines, and reads the
//! client's body when the application asks for it.

use crate::apache::brigade::{Aborted, Input, Output};
use crate::apache::log;
use crate::apache::module::Flow;
use crate::apache::request::{Request, Table};
use crate::apache::server;
use crate::config::group_name;
use crate::config::settings::{MapHead, Settings};
use crate::daemon::client::{Client, Conversation, Trouble};
use crate::log::{Level, Message};
use crate::process::Child;
use crate::request::{BodyError, BodyLength, EnvironBuilder, Outcome, Request as WsgiRequest};
use crate::target::Target;
use crate::wire::codec::Malformed;
use crate::wire::frame::Kind;
use crate::wire::request as payload;
use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// A body up to this size travels with the request if it has arrived.
const TRAVELLING_BODY: u64 = 64 * 1024;

/// The most that is read of the body for one Want.
const LARGEST_PIECE: usize = 256 * 1024;

/// Small pieces of the answer are gathered up to this size.
const GATHERED: usize = 16 * 1024;

/// What group names may be made of, for this request.
pub struct Facts<'a, 'r> {
    request: &'a Request<'r>,
    case_sensitive: bool,
    server_name: String,
    host: Option<String>,
    script_name: String,
}

impl<'a, 'r> Facts<'a, 'r> {
    pub fn new(request: &'a Request<'r>, case_sensitive: bool) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Facts {
            request,
            case_sensitive,
            server_name: request.server().name(),
            host: request.get(Table::HeadersIn, c"Host").map(text),
            script_name: text(&script_name(request)),
        }
    }
}

impl group_name::Facts for Facts<'_, '_> {
    fn server_name(&self) -> &str {
        &self.server_name
    }

    fn server_port(&self) -> u16 {
        self.request.server_port()
    }

    fn host_header(&self) -> Option<&str> {
        self.host.as_deref()
    }

    fn script_name(&self) -> &str {
        &self.script_name
    }

    fn environment(&self, name: &str) -> Option<String> {
        let c_name = std::ffi::CString::new(name).ok()?;
        let found = self.request.get(Table::Notes, &c_name);
        let found = found.or_else(|| self.request.get(Table::SubprocessEnv, &c_name));
        found.map(|value| String::from_utf8_lossy(value).into_owned()).or_else(|| std::env::var(name).ok())
    }

    fn case_sensitive(&self) -> bool {
        self.case_sensitive
    }
}

fn script_name(request: &Request<'_>) -> Vec<u8> {
    single_slashes(&request.uri()[..request.script_name_length()]).into_owned()
}

/// Several slashes in a row count as one.
fn single_slashes(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.windows(2).any(|pair| pair == b"//") {
        return Cow::Borrowed(path);
    }
    let mut collapsed = path.to_vec();
    collapsed.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
    Cow::Owned(collapsed)
}

/// Everything about the request that the application gets to see.
pub fn environ(request: &Request<'_>, child: &Child, settings: &Settings, target: &Target) -> EnvironBuilder {
    let mut environ = EnvironBuilder::with_capacity(2048);
    // What SetEnv, mod_rewrite, mod_ssl and redirects have set; the variables below win.
    for (name, value) in request.entries(Table::SubprocessEnv) {
        if name != b"HTTPS" {
            environ.push(name, value);
        }
    }
    push_headers(&mut environ, request, settings);
    push_connection(&mut environ, request);
    push_request(&mut environ, request, settings);
    push_own(&mut environ, request, child, target);
    environ
}

/// The client's headers; a name with anything but letters, digits and hyphens could pass for another.
fn push_headers(environ: &mut EnvironBuilder, request: &Request<'_>, settings: &Settings) {
    let mut variable = Vec::with_capacity(64);
    for (name, value) in request.entries(Table::HeadersIn) {
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            continue;
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if request.is_error_document() && (is("Content-Length") || is("Transfer-Encoding")) {
            continue;
        }
        if is("Content-Type") || is("Content-Length") {
            environ.push(if is("Content-Type") { b"CONTENT_TYPE" } else { b"CONTENT_LENGTH" }, value);
            continue;
        }
        // HTTP_PROXY would steer the application's own requests (httpoxy).
        let secret = is("Authorization") || is("Proxy-Authorization");
        if is("Proxy") || (secret && !settings.pass_authorization() && !request.passes_authorization()) {
            continue;
        }
        variable.clear();
        variable.extend_from_slice(b"HTTP_");
        variable.extend(name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
        environ.push(&variable, value);
    }
}

fn push_connection(environ: &mut EnvironBuilder, request: &Request<'_>) {
    let (client, client_port) = request.client();
    let (local, local_port) = request.local();
    let server = request.server();
    environ.push(b"SERVER_SOFTWARE", server::banner());
    environ.push(b"SERVER_NAME", request.server_name());
    environ.push(b"SERVER_ADDR", local);
    environ.push(b"SERVER_PORT", request.server_port().to_string().as_bytes());
    environ.push(b"SERVER_ADMIN", server.admin());
    environ.push(b"REMOTE_ADDR", client);
    environ.push(b"REMOTE_PORT", client_port.to_string().as_bytes());
    environ.push(b"DOCUMENT_ROOT", request.document_root());
    environ.push(b"CONTEXT_DOCUMENT_ROOT", request.context_document_root());
    environ.push(b"CONTEXT_PREFIX", request.context_prefix());
    environ.push(b"REQUEST_SCHEME", request.scheme());
    environ.push(b"wsgi.url_scheme", if is_https(request) { b"https" } else { b"http" });
    environ.push(b"mod_wsgi.listener_host", local);
    environ.push(b"mod_wsgi.listener_port", local_port.to_string().as_bytes());
}

/// By mod_ssl, or by the variable that administrators set behind a proxy that ends TLS.
fn is_https(request: &Request<'_>) -> bool {
    let told = request.get(Table::SubprocessEnv, c"HTTPS");
    request.is_https() || told.is_some_and(|value| value == b"1" || value.eq_ignore_ascii_case(b"on"))
}

fn push_request(environ: &mut EnvironBuilder, request: &Request<'_>, settings: &Settings) {
    let script_name = script_name(request);
    let path_info = single_slashes(request.path_info());
    let as_get = request.is_head() && map_to_get(request, settings);
    environ.push(b"REQUEST_METHOD", if as_get { b"GET" } else { request.method() });
    environ.push(b"REQUEST_URI", original_uri(request.request_line(), request.unparsed_uri()));
    environ.push(b"SERVER_PROTOCOL", request.protocol());
    environ.push(b"QUERY_STRING", request.query());
    environ.push(b"SCRIPT_NAME", &script_name);
    environ.push(b"PATH_INFO", &path_info);
    environ.push(b"SCRIPT_FILENAME", request.filename());
    environ.push(b"mod_wsgi.script_name", &script_name);
    environ.push(b"mod_wsgi.path_info", &path_info);
    if let Some(user) = request.user() {
        environ.push(b"REMOTE_USER", user);
    }
    if let Some(auth_type) = request.auth_type() {
        environ.push(b"AUTH_TYPE", auth_type);
    }
    if let Some((uri, query)) = request.redirected_from() {
        environ.push(b"REDIRECT_URL", uri);
        if let Some(query) = query {
            environ.push(b"REDIRECT_QUERY_STRING", query);
        }
    }
}

fn push_own(environ: &mut EnvironBuilder, request: &Request<'_>, child: &Child, target: &Target) {
    environ.push(b"mod_wsgi.callable_object", target.callable.as_bytes());
    environ.push(b"mod_wsgi.request_handler", request.handler());
    environ.push(b"mod_wsgi.handler_script", b"");
    environ.push(b"mod_wsgi.request_id", request.log_id());
    if let Some(id) = request.connection_log_id() {
        environ.push(b"mod_wsgi.connection_id", id);
    }
    environ.push(b"mod_wsgi.server_pid", child.pid.to_string().as_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    environ.push(b"mod_wsgi.request_start", request.started().as_micros().to_string().as_bytes());
    environ.push(b"mod_wsgi.queue_start", now.as_micros().to_string().as_bytes());
}

/// `WSGIMapHEADToGET`: an output filter may need the body to know the headers that GET would have.
fn map_to_get(request: &Request<'_>, settings: &Settings) -> bool {
    match settings.map_head_to_get() {
        MapHead::On => true,
        MapHead::Off => false,
        MapHead::Auto => request.has_content_filter(),
    }
}

/// The path and query of the request line, as the client sent them.
fn original_uri<'a>(request_line: &'a [u8], unparsed: &'a [u8]) -> &'a [u8] {
    let target = request_line.split(|byte| *byte == b' ').nth(1).unwrap_or(unparsed);
    if target.starts_with(b"/") {
        return target;
    }
    // An absolute URI: what follows the host.
    let scheme_end = target.windows(3).position(|part| part == b"://");
    let Some(host) = scheme_end.map(|end| end + 3) else { return target };
    match target[host..].iter().position(|byte| *byte == b'/') {
        Some(path) => &target[host + path..],
        None => b"/",
    }
}

/// Sends the request to its process group and the answer to the client.
pub fn run(request: &Request<'_>, client: &Client, wsgi: &WsgiRequest<'_>, settings: &Settings) -> Flow {
    let mut input = Input::new(request);
    let mut first = Vec::new();
    let travels = matches!(wsgi.body, BodyLength::Known(length) if length > 0 && length <= TRAVELLING_BODY);
    if travels && !request.expects_continue() {
        // A body that breaks here breaks again when the application reads it.
        let _ = input.read_ready(TRAVELLING_BODY as usize, &mut first);
    }
    match client.open(wsgi, &first) {
        Ok(conversation) => {
            let output = Output::new(request);
            let answer = Answer {
                request,
                output,
                input,
                error_override: settings.error_override(),
                sendfile: settings.enable_sendfile(),
                gathered: Vec::new(),
                length_known: false,
                begun: false,
                waiting: false,
            };
            answer.relay(conversation)
        }
        Err(trouble) => {
            let (status, message) = describe(&trouble, client);
            log::request(request, Level::Error, message.to_string().as_bytes());
            Flow::Status(status)
        }
    }
}

/// An answer on its way.
struct Answer<'a, 'r> {
    request: &'a Request<'r>,
    output: Output<'a, 'r>,
    input: Input<'a, 'r>,
    error_override: bool,
    /// `WSGIEnableSendfile`.
    sendfile: bool,
    /// Data that waits for more, or for the end.
    gathered: Vec<u8>,
    /// The answer has a Content-Length.
    length_known: bool,
    /// Data was passed to the output filters, and with it the head.
    begun: bool,
    /// Passed on but not flushed to the client.
    waiting: bool,
}

/// What ends the loop early.
enum Cut {
    Client,
    /// An output filter failed.
    Filter,
    Daemon(Trouble),
}

impl From<Trouble> for Cut {
    fn from(trouble: Trouble) -> Cut {
        Cut::Daemon(trouble)
    }
}

impl From<Aborted> for Cut {
    fn from(aborted: Aborted) -> Cut {
        match aborted {
            Aborted::ByClient => Cut::Client,
            Aborted::ByFilter => Cut::Filter,
        }
    }
}

impl From<Malformed> for Cut {
    fn from(_: Malformed) -> Cut {
        Cut::Daemon(Trouble::Died)
    }
}

impl Answer<'_, '_> {
    fn relay(mut self, mut conversation: Conversation<'_>) -> Flow {
        let group = conversation.group().to_string();
        match self.frames(&mut conversation) {
            Ok((Outcome::Complete, overridden)) => {
                conversation.finish();
                if let Some(status) = overridden {
                    return Flow::Status(status);
                }
                self.finish();
                Flow::Done
            }
            Ok((Outcome::Failed(status), _)) => {
                conversation.finish();
                self.give_up(status)
            }
            Err(Cut::Client) => {
                let text = "the client closed the connection before it had the whole answer";
                log::request(self.request, Level::Info, Message::new(221, text).to_string().as_bytes());
                Flow::Done
            }
            Err(Cut::Filter) => {
                let text = "an output filter of httpd failed; the answer is cut so that the client can tell";
                log::request(self.request, Level::Error, Message::new(223, text).to_string().as_bytes());
                self.output.cut();
                Flow::Done
            }
            Err(Cut::Daemon(trouble)) => {
                let (status, message) = describe_for(&trouble, &group);
                log::request(self.request, Level::Error, message.to_string().as_bytes());
                self.give_up(status)
            }
        }
    }

    /// The end of a complete answer. One whose length the application did not say goes out chunked
    /// however its pieces arrived: httpd would say Content-Length if it saw the data with its end.
    fn finish(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let passed = if self.length_known || gathered.is_empty() {
            self.output.end(&[&gathered])
        } else {
            self.output.data(&[&gathered], false).and_then(|()| self.output.end(&[]))
        };
        // Whether the client still took the end is its own affair.
        let _ = passed;
    }

    /// Answers with an error, or cuts the answer that has begun so that the client can tell.
    fn give_up(&mut self, status: u16) -> Flow {
        if !self.begun && self.gathered.is_empty() {
            return Flow::Status(status);
        }
        if self.output.data(&[&self.gathered], false).is_ok() {
            self.output.cut();
        }
        Flow::Done
    }

    /// Reads frames to the last one. The second value is the status of an answer that
    /// `WSGIErrorOverride` replaces by httpd's own.
    fn frames(&mut self, conversation: &mut Conversation<'_>) -> Result<(Outcome, Option<u16>), Cut> {
        let mut overridden = None;
        loop {
            if !conversation.is_ready() {
                self.flush()?;
            }
            let (kind, bytes) = conversation.frame()?;
            match kind {
                Kind::Log => {
                    let (level, line) = payload::decode_log(bytes)?;
                    log::request(self.request, level, line);
                }
                Kind::Head => {
                    let (status_line, headers) = payload::decode_head(bytes)?;
                    let status = status_number(status_line).ok_or(Malformed)?;
                    if self.error_override && status >= 400 {
                        overridden = Some(status);
                        self.headers_for_error(&headers);
                    } else {
                        self.head(status, status_line, &headers);
                    }
                }
                Kind::File => {
                    let (offset, length) = payload::decode_file(bytes)?;
                    let file = conversation.file()?;
                    if overridden.is_none() {
                        self.file(file, offset, length)?;
                    }
                }
                Kind::Data if overridden.is_some() => {}
                Kind::Data => self.data(bytes)?,
                Kind::Want => {
                    let most = bytes.try_into().map(u32::from_le_bytes).map_err(|_| Malformed)?;
                    self.body(conversation, most as usize)?;
                }
                Kind::End => return Ok((payload::decode_outcome(bytes)?, overridden)),
                _ => return Err(Malformed.into()),
            }
        }
    }

    fn head(&mut self, status: u16, line: &[u8], headers: &[(&[u8], &[u8])]) {
        self.request.set_status(status, line);
        self.request.forget_content_headers();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(b"Content-Type") {
                self.request.set_content_type(value);
                continue;
            }
            if name.eq_ignore_ascii_case(b"Content-Length") {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                if let Some(length) = length {
                    self.length_known = true;
                    self.request.set_content_length(length);
                    continue;
                }
            }
            self.request.add(Table::HeadersOut, name, value);
        }
    }

    /// What of an overridden answer's headers is not about the body that httpd replaces.
    fn headers_for_error(&self, headers: &[(&[u8], &[u8])]) {
        for (name, value) in headers {
            if !name.to_ascii_lowercase().starts_with(b"content-") {
                self.request.add(Table::ErrHeadersOut, name, value);
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        if self.gathered.len() + bytes.len() <= GATHERED {
            self.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.begun = true;
        self.waiting = true;
        self.output.data(&[&self.gathered, bytes], false)?;
        self.gathered.clear();
        Ok(())
    }

    fn file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<(), Cut> {
        if !self.gathered.is_empty() {
            self.output.data(&[&self.gathered], false)?;
            self.gathered.clear();
        }
        self.begun = true;
        self.waiting = true;
        Ok(self.output.file(file, offset, length, self.sendfile)?)
    }

    /// The application pauses: what is there goes to the client.
    fn flush(&mut self) -> Result<(), Cut> {
        if self.gathered.is_empty() && !self.waiting {
            return Ok(());
        }
        self.begun = true;
        self.waiting = false;
        self.output.data(&[&self.gathered], true)?;
        self.gathered.clear();
        Ok(())
    }

    fn body(&mut self, conversation: &mut Conversation<'_>, most: usize) -> Result<(), Cut> {
        let (mut piece, most) = (Vec::new(), most.min(LARGEST_PIECE));
        let ready = self.input.read_ready(most, &mut piece);
        if piece.is_empty() {
            // The client may wait for what the application has said so far.
            self.flush()?;
        }
        let read = match ready {
            Ok(()) if piece.is_empty() => self.input.read(most, &mut piece),
            Ok(()) => Ok(piece.len()),
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => conversation.send_body_end()?,
            Ok(_) => conversation.send_body(&piece)?,
            Err(error) => {
                self.log_body_error(&error);
                conversation.send_body_error(&error)?;
            }
        }
        Ok(())
    }

    fn log_body_error(&self, error: &BodyError) {
        let message = Message::new(222, format!("the request's body could not be read on: {error}"));
        log::request(self.request, Level::Info, message.to_string().as_bytes());
    }
}

fn status_number(line: &[u8]) -> Option<u16> {
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

fn describe(trouble: &Trouble, client: &Client) -> (u16, Message) {
    describe_for(trouble, &client.group)
}

fn describe_for(trouble: &Trouble, group: &str) -> (u16, Message) {
    match trouble {
        Trouble::Unavailable(text) => (503, Message::new(231, text.clone())),
        Trouble::TimedOut(text) => (504, Message::new(232, text.clone())),
        Trouble::Died => {
            let text = format!(
                "the process of group '{group}' that ran the request ended before the answer was complete; the \
                 reason is in the error log of the group's virtual host"
            );
            (502, Message::new(233, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_collapsed() {
        assert_eq!(&*single_slashes(b"/a/b"), b"/a/b");
        assert_eq!(&*single_slashes(b"//a///b/"), b"/a/b/");
    }

    #[test]
    fn the_uri_is_the_clients() {
        assert_eq!(original_uri(b"GET //a%20b?x=1 HTTP/1.1", b""), b"//a%20b?x=1");
        assert_eq!(original_uri(b"GET http://host/a?b HTTP/1.1", b""), b"/a?b");
        assert_eq!(original_uri(b"GET http://host HTTP/1.1", b""), b"/");
        assert_eq!(original_uri(b"OPTIONS * HTTP/1.1", b""), b"*");
        assert_eq!(original_uri(b"", b"/x"), b"/x");
    }
}
