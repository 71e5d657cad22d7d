//! The environ of a request, as far as httpd knows it, and the facts that group names may be made of.
//!
//! Runs in httpd children. The rest is added where the application runs: by `daemon::worker`
//! (`mod_wsgi.daemon_start`), `wsgi::environ` (the dict and its constant part) and `wsgi::run` (`wsgi.input`,
//! `wsgi.errors`).

use super::proxy::{ProxyView, Way};
use super::ssl_variables::SSL_VARIABLES;
use crate::apache::request::{RequestRec, Table};
use crate::config::group_name;
use crate::config::settings::{MapHead, Settings};
use crate::process::Child;
use crate::question::{Purpose, SSL_VARIABLE};
use crate::request::EnvironBuilder;
use crate::target::Target;
use once_cell::unsync::OnceCell;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// What group names may be made of, for this request.
pub struct RecordFacts<'a, 'r> {
    request: &'a RequestRec<'r>,
    case_sensitive: bool,
    /// As names ask for them, which few do.
    server_name: OnceCell<String>,
    host: OnceCell<Option<String>>,
    script_name: OnceCell<String>,
}

impl<'a, 'r> RecordFacts<'a, 'r> {
    pub fn new(request: &'a RequestRec<'r>, case_sensitive: bool) -> Self {
        let (server_name, host, script_name) = Default::default();
        RecordFacts { request, case_sensitive, server_name, host, script_name }
    }

    /// For a script that answers for any number of URLs, as those of `WSGIHandlerScript` and
    /// `WSGIScriptAliasMatch` do: each would have an interpreter of its own.
    pub fn of_script(self, script: &str) -> Self {
        RecordFacts { script_name: OnceCell::with_value(script.to_string()), ..self }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl group_name::RequestFacts for RecordFacts<'_, '_> {
    fn server_name(&self) -> &str {
        self.server_name.get_or_init(|| self.request.server().name())
    }

    /// A client may write any port into its `Host` header, and each would make a name of its own: what is
    /// none of the server's counts as the one that the client is connected to.
    fn server_port(&self) -> u16 {
        let (told, (_, local)) = (self.request.server_port(), self.request.local());
        let known = [80, 443, local, self.request.server().port()];
        if known.contains(&told) { told } else { local }
    }

    fn host_header(&self) -> Option<&str> {
        let host = || self.request.get(Table::HeadersIn, c"Host").map(text);
        self.host.get_or_init(host).as_deref()
    }

    fn script_name(&self) -> &str {
        self.script_name.get_or_init(|| text(&script_name(self.request)))
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

fn script_name(request: &RequestRec<'_>) -> Vec<u8> {
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

/// Everything about the request that the application gets to see. `handler_script` is that of
/// `WSGIHandlerScript`, or empty; `gathered` is the length of a body that was gathered.
pub fn environ(
    request: &RequestRec<'_>,
    child: &Child,
    settings: &Settings,
    target: &Target,
    handler_script: &str,
    gathered: Option<u64>,
) -> EnvironBuilder {
    let mut environ = EnvironBuilder::with_capacity(2048);
    let view = proxy_view(request, settings);
    push_subprocess(&mut environ, request);
    push_headers(&mut environ, request, credentials_pass(request, settings), gathered, &view);
    push_connection(&mut environ, request);
    push_request(&mut environ, request, settings);
    environ.push(b"wsgi.url_scheme", if is_https(request) { b"https" } else { b"http" });
    push_own(&mut environ, request, child);
    environ.push(b"mod_wsgi.callable_object", target.callable.as_bytes());
    environ.push(b"mod_wsgi.handler_script", handler_script.as_bytes());
    push_times(&mut environ, request, target);
    view.push(&mut environ);
    environ
}

/// What proxies tell of the client.
fn proxy_view(request: &RequestRec<'_>, settings: &Settings) -> ProxyView {
    let Some(listed) = &settings.proxy_headers else { return ProxyView::default() };
    let way = Way { listed, proxies: settings.proxies.as_deref(), peer: request.client().0 };
    let headers: Vec<(&[u8], &[u8])> = request.entries(Table::HeadersIn).collect();
    ProxyView::read(&way, headers.iter().copied())
}

/// What a script sees that is asked something. For dispatch it is what the application will see, as far as that
/// is known before a target is chosen. For access control it is less: no credentials, and nothing that SetEnvIf
/// or mod_rewrite have set.
pub fn environ_of_question(
    request: &RequestRec<'_>,
    child: &Child,
    settings: &Settings,
    purpose: Purpose<'_>,
) -> EnvironBuilder {
    let mut environ = EnvironBuilder::with_capacity(2048);
    if purpose == Purpose::Dispatch {
        let view = proxy_view(request, settings);
        push_subprocess(&mut environ, request);
        push_headers(&mut environ, request, credentials_pass(request, settings), None, &view);
        push_connection(&mut environ, request);
        push_request(&mut environ, request, settings);
        push_own(&mut environ, request, child);
        environ.push(b"mod_wsgi.handler_script", b"");
        view.push(&mut environ);
    } else {
        push_access(&mut environ, request);
        push_ssl(&mut environ, request);
    }
    environ
}

fn push_access(environ: &mut EnvironBuilder, request: &RequestRec<'_>) {
    push_headers(environ, request, false, None, &ProxyView::default());
    push_server(environ, request);
    environ.push(b"SERVER_SIGNATURE", request.server_signature());
    let script_name = script_name(request);
    environ.push(b"REQUEST_METHOD", request.method());
    environ.push(b"REQUEST_URI", original_uri(request.request_line(), request.unparsed_uri()));
    environ.push(b"SERVER_PROTOCOL", request.protocol());
    environ.push(b"QUERY_STRING", request.query());
    environ.push(b"SCRIPT_NAME", &script_name);
    environ.push(b"PATH_INFO", &single_slashes(request.path_info()));
}

/// For `mod_ssl.is_https` and `mod_ssl.var_lookup`, which a script cannot call in another process.
fn push_ssl(environ: &mut EnvironBuilder, request: &RequestRec<'_>) {
    if !request.is_https() {
        return;
    }
    let mut name = Vec::with_capacity(64);
    for variable in SSL_VARIABLES {
        if let Some(value) = request.ssl_variable(variable).filter(|value| !value.is_empty()) {
            name.clear();
            name.extend_from_slice(SSL_VARIABLE);
            name.extend_from_slice(variable.to_bytes());
            environ.push(&name, value);
        }
    }
}

/// `WSGIPassAuthorization`, or httpd's own `CGIPassAuth`.
fn credentials_pass(request: &RequestRec<'_>, settings: &Settings) -> bool {
    settings.pass_authorization() || request.passes_authorization()
}

/// The client's headers; a name with anything but letters, digits and hyphens could pass for another.
fn push_headers(
    environ: &mut EnvironBuilder,
    request: &RequestRec<'_>,
    credentials: bool,
    gathered: Option<u64>,
    view: &ProxyView,
) {
    if let Some(length) = gathered {
        environ.push(b"CONTENT_LENGTH", length.to_string().as_bytes());
    }
    let own_framing = request.is_error_document() || gathered.is_some();
    let mut variable = Vec::with_capacity(64);
    for (name, value) in request.entries(Table::HeadersIn) {
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            continue;
        }
        let Some(value) = view.shown(name, value) else { continue };
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if own_framing && (is("Content-Length") || is("Transfer-Encoding")) {
            continue;
        }
        if is("Content-Type") || is("Content-Length") {
            environ.push(if is("Content-Type") { b"CONTENT_TYPE" } else { b"CONTENT_LENGTH" }, value);
            continue;
        }
        // HTTP_PROXY would steer the application's own requests (httpoxy).
        let secret = is("Authorization") || is("Proxy-Authorization");
        if is("Proxy") || (secret && !credentials) {
            continue;
        }
        variable.clear();
        variable.extend_from_slice(b"HTTP_");
        variable.extend(name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
        environ.push(&variable, value);
    }
}

/// What SetEnv, mod_rewrite, mod_ssl and redirects have set; the other variables win.
fn push_subprocess(environ: &mut EnvironBuilder, request: &RequestRec<'_>) {
    for (name, value) in request.entries(Table::SubprocessEnv) {
        if name != b"HTTPS" {
            environ.push(name, value);
        }
    }
}

/// The two ends of the connection.
fn push_server(environ: &mut EnvironBuilder, request: &RequestRec<'_>) {
    let (client, client_port) = request.client();
    let (local, _) = request.local();
    let server = request.server();
    environ.push(b"SERVER_SOFTWARE", request.server_banner());
    environ.push(b"SERVER_NAME", request.server_name());
    environ.push(b"SERVER_ADDR", local);
    environ.push(b"SERVER_PORT", request.server_port().to_string().as_bytes());
    environ.push(b"SERVER_ADMIN", server.admin());
    environ.push(b"REMOTE_ADDR", client);
    environ.push(b"REMOTE_PORT", client_port.to_string().as_bytes());
    environ.push(b"DOCUMENT_ROOT", request.document_root());
}

fn push_connection(environ: &mut EnvironBuilder, request: &RequestRec<'_>) {
    push_server(environ, request);
    let (local, local_port) = request.local();
    environ.push(b"CONTEXT_DOCUMENT_ROOT", request.context_document_root());
    environ.push(b"CONTEXT_PREFIX", request.context_prefix());
    environ.push(b"REQUEST_SCHEME", request.scheme());
    environ.push(b"mod_wsgi.listener_host", local);
    environ.push(b"mod_wsgi.listener_port", local_port.to_string().as_bytes());
}

/// By mod_ssl, or by the variable that administrators set behind a proxy that ends TLS.
fn is_https(request: &RequestRec<'_>) -> bool {
    let told = request.get(Table::SubprocessEnv, c"HTTPS");
    request.is_https() || told.is_some_and(|value| value == b"1" || value.eq_ignore_ascii_case(b"on"))
}

fn push_request(environ: &mut EnvironBuilder, request: &RequestRec<'_>, settings: &Settings) {
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

fn push_own(environ: &mut EnvironBuilder, request: &RequestRec<'_>, child: &Child) {
    environ.push(b"mod_wsgi.request_handler", request.handler());
    environ.push(b"mod_wsgi.request_id", request.log_id());
    if let Some(id) = request.connection_log_id() {
        environ.push(b"mod_wsgi.connection_id", id);
    }
    environ.push(b"mod_wsgi.server_pid", child.pid.to_string().as_bytes());
}

fn push_times(environ: &mut EnvironBuilder, request: &RequestRec<'_>, target: &Target) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    environ.push(b"mod_wsgi.request_start", request.started().as_micros().to_string().as_bytes());
    if target.group.is_some() {
        environ.push(b"mod_wsgi.queue_start", now.as_micros().to_string().as_bytes());
    } else {
        environ.push(b"mod_wsgi.queue_start", b"0");
        environ.push(b"mod_wsgi.daemon_start", b"0");
    }
}

/// `WSGIMapHEADToGET`: an output filter may need the body to know the headers that GET would have.
fn map_to_get(request: &RequestRec<'_>, settings: &Settings) -> bool {
    match settings.map_head_to_get() {
        MapHead::On => true,
        MapHead::Off => false,
        MapHead::Auto => request.has_content_filter(),
    }
}

/// The target of the request line, as the client sent it.
fn original_uri<'a>(request_line: &'a [u8], unparsed: &'a [u8]) -> &'a [u8] {
    request_line.split(|byte| *byte == b' ').nth(1).unwrap_or(unparsed)
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
        assert_eq!(original_uri(b"GET http://host/a?b HTTP/1.1", b""), b"http://host/a?b");
        assert_eq!(original_uri(b"OPTIONS * HTTP/1.1", b""), b"*");
        assert_eq!(original_uri(b"", b"/x"), b"/x");
    }
}
