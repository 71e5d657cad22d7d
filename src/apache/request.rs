//! A request record of httpd, with safe accessors.
//!
//! Used in httpd children by the request hooks and `exchange`. The wrapper borrows the record for
//! the length of a hook; strings set on it are copied into its pool.

#![allow(unsafe_code)]

use super::server::Server;
use super::table::{api, bytes, copy};
use super::vector;
use crate::config::global::ServerConfig;
use crate::config::settings::Settings;
use crate::os;
use crate::sys::httpd::*;
use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::marker::PhantomData;
use std::num::NonZero;
use std::os::fd::BorrowedFd;
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

pub struct RequestRec<'r> {
    record: *mut request_rec,
    /// Our handler has passed data to the output filters.
    begun: Cell<bool>,
    borrowed: PhantomData<&'r mut request_rec>,
}

/// One of the tables of a request.
#[derive(Clone, Copy)]
pub enum Table {
    HeadersIn,
    HeadersOut,
    /// Sent with httpd's own error documents too.
    ErrHeadersOut,
    SubprocessEnv,
    Notes,
}

impl<'r> RequestRec<'r> {
    /// For the length of the hook that httpd has called with this record.
    pub(super) fn new(record: &'r *mut request_rec) -> RequestRec<'r> {
        RequestRec { record: *record, begun: Cell::new(false), borrowed: PhantomData }
    }

    pub(super) fn as_ptr(&self) -> *mut request_rec {
        self.record
    }

    pub(super) fn pool(&self) -> *mut apr_pool_t {
        self.record().pool
    }

    /// For an application that wants to hand it to a C extension of its own.
    pub fn address(&self) -> NonZero<usize> {
        NonZero::new(self.record.expose_provenance()).expect("httpd calls no hook without a request")
    }

    pub(super) fn record(&self) -> &request_rec {
        // SAFETY: httpd keeps the record alive for the length of the hook; no exclusive reference to
        // it is ever made.
        unsafe { &*self.record }
    }

    pub(super) fn connection(&self) -> &conn_rec {
        // SAFETY: a request's connection outlives it.
        unsafe { &*self.record().connection }
    }

    pub fn server(&self) -> Server {
        Server::new(self.record().server)
    }

    /// Our configuration of the request's server.
    pub fn server_config(&self) -> &ServerConfig {
        // SAFETY: a request's server outlives it.
        vector::of_server(unsafe { &*self.record().server })
    }

    /// Our settings for this request, all sections merged.
    pub fn settings(&self) -> &Settings {
        vector::of_request(self.record())
    }

    /// A string of the request's, or one that httpd gives out for it.
    pub(super) fn text(&self, string: *const c_char) -> Option<&[u8]> {
        bytes(self.record(), string)
    }

    pub fn handler(&self) -> &[u8] {
        self.text(self.record().handler).unwrap_or_default()
    }

    pub fn method(&self) -> &[u8] {
        self.text(self.record().method).unwrap_or_default()
    }

    pub fn protocol(&self) -> &[u8] {
        self.text(self.record().protocol).unwrap_or_default()
    }

    pub fn uri(&self) -> &[u8] {
        self.text(self.record().uri).unwrap_or_default()
    }

    /// The request's target as the client sent it.
    pub fn unparsed_uri(&self) -> &[u8] {
        self.text(self.record().unparsed_uri).unwrap_or_default()
    }

    /// Method, target and protocol as the client sent them.
    pub fn request_line(&self) -> &[u8] {
        self.text(self.record().the_request).unwrap_or_default()
    }

    /// URL and query of the request that was redirected to this one inside httpd.
    pub fn redirected_from(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let previous = self.record().prev;
        if previous.is_null() {
            return None;
        }
        // SAFETY: a request that was redirected lives as long as the one it became.
        let previous = unsafe { &*previous };
        Some((bytes(previous, previous.uri)?, bytes(previous, previous.args)))
    }

    /// Whether an output filter that works on content, like mod_deflate's, is in the chain.
    pub fn has_content_filter(&self) -> bool {
        let filter = self.record().output_filters;
        // SAFETY: a request's chain of output filters is never empty, and each filter has a record.
        let kind = unsafe { (*(*filter).frec).ftype };
        kind < ap_filter_type_AP_FTYPE_PROTOCOL
    }

    pub fn filename(&self) -> &[u8] {
        self.text(self.record().filename).unwrap_or_default()
    }

    pub fn path_info(&self) -> &[u8] {
        self.text(self.record().path_info).unwrap_or_default()
    }

    pub fn query(&self) -> &[u8] {
        self.text(self.record().args).unwrap_or_default()
    }

    pub fn user(&self) -> Option<&[u8]> {
        self.text(self.record().user)
    }

    /// The user that the application and other modules see from now on.
    pub fn set_user(&self, user: &[u8]) {
        let user = copy(self.pool(), user);
        // SAFETY: the record is alive and its user is the authentication's to set; the string is in its pool.
        unsafe { (*self.record).user = user }
    }

    pub fn auth_type(&self) -> Option<&[u8]> {
        self.text(self.record().ap_auth_type)
    }

    pub fn is_head(&self) -> bool {
        self.record().header_only != 0
    }

    pub fn started(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.record().request_time).unwrap_or(0))
    }

    /// What the file system said about the filename: whether it exists, and is a directory.
    pub fn file_exists(&self) -> bool {
        self.record().finfo.filetype != apr_filetype_e_APR_NOFILE
    }

    /// When the file was modified, in microseconds since the epoch.
    pub fn file_modified(&self) -> u64 {
        u64::try_from(self.record().finfo.mtime).unwrap_or(0)
    }

    pub fn file_is_directory(&self) -> bool {
        self.record().finfo.filetype == apr_filetype_e_APR_DIR
    }

    pub fn path_info_refused(&self) -> bool {
        self.record().used_path_info == AP_REQ_REJECT_PATH_INFO && !self.path_info().is_empty()
    }

    pub fn allows_exec_cgi(&self) -> bool {
        // SAFETY: the record is alive.
        unsafe { api().ap_allow_options(self.record) & OPT_EXECCGI != 0 }
    }

    pub fn expects_continue(&self) -> bool {
        self.record().expecting_100 != 0
    }

    /// As in a URL: an IPv6 address has its brackets.
    pub fn server_name(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is in its pool or the configuration's.
        self.text(unsafe { api().ap_get_server_name_for_url(self.record) }).unwrap_or_default()
    }

    /// What SERVER_SOFTWARE says, as much as `ServerTokens` allows.
    pub fn server_banner(&self) -> &[u8] {
        // SAFETY: takes nothing; the string lives as long as the configuration, which outlives the request.
        self.text(unsafe { api().ap_get_server_banner() }).unwrap_or_default()
    }

    pub fn server_port(&self) -> u16 {
        // SAFETY: the record is alive.
        unsafe { api().ap_get_server_port(self.record) }
    }

    pub fn scheme(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is a literal or in its pool.
        self.text(unsafe { api().ap_run_http_scheme(self.record) }).unwrap_or_default()
    }

    pub fn document_root(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is in its pool or the configuration's.
        self.text(unsafe { api().ap_document_root(self.record) }).unwrap_or_default()
    }

    pub fn context_document_root(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is in its pool or the configuration's.
        self.text(unsafe { api().ap_context_document_root(self.record) }).unwrap_or_default()
    }

    pub fn context_prefix(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is in its pool.
        self.text(unsafe { api().ap_context_prefix(self.record) }).unwrap_or_default()
    }

    /// The client's address as mod_remoteip or the connection has it, and the port of the connection.
    pub fn client(&self) -> (&[u8], u16) {
        let address = self.connection().client_addr;
        // SAFETY: httpd sets the address when it accepts the connection.
        let port = if address.is_null() { 0 } else { unsafe { (*address).port } };
        (self.text(self.record().useragent_ip).unwrap_or_default(), port)
    }

    /// The name of the client's host, if httpd is to look it up (`HostnameLookups`); else its address.
    pub fn client_host(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is in its pool, or its connection's.
        let name = unsafe { api().ap_get_useragent_host(self.record, REMOTE_NAME, std::ptr::null_mut()) };
        self.text(name).unwrap_or_default()
    }

    /// httpd's line below its own pages, as `ServerSignature` says.
    pub fn server_signature(&self) -> &[u8] {
        // SAFETY: the record is alive; the result is in its pool.
        self.text(unsafe { api().ap_psignature(c"".as_ptr(), self.record) }).unwrap_or_default()
    }

    /// The local address and port of the connection.
    pub fn local(&self) -> (&[u8], u16) {
        let connection = self.connection();
        let address = connection.local_addr;
        // SAFETY: httpd sets the address when it accepts the connection.
        let port = if address.is_null() { 0 } else { unsafe { (*address).port } };
        (bytes(connection, connection.local_ip).unwrap_or_default(), port)
    }

    /// httpd's log id of the request, made now if nothing was logged yet.
    pub fn log_id(&self) -> &[u8] {
        if self.record().log_id.is_null() {
            // SAFETY: connection, request and the field to fill belong together.
            unsafe {
                let field = &raw mut (*self.record).log_id;
                api().ap_run_generate_log_id(self.record().connection, self.record, field);
            }
        }
        self.text(self.record().log_id).unwrap_or_default()
    }

    pub fn connection_log_id(&self) -> Option<&[u8]> {
        bytes(self.connection(), self.connection().log_id)
    }

    /// Which of the alias's characters of the URL are path info: where SCRIPT_NAME ends in the URI.
    pub fn script_name_length(&self) -> usize {
        let (uri, path_info) = (self.record().uri, self.record().path_info);
        if self.path_info().is_empty() {
            return self.uri().len();
        }
        // SAFETY: both are C strings of this request.
        let length = unsafe { api().ap_find_path_info(uri, path_info) };
        usize::try_from(length).unwrap_or(0).min(self.uri().len())
    }

    fn table(&self, table: Table) -> *mut apr_table_t {
        let record = self.record();
        match table {
            Table::HeadersIn => record.headers_in,
            Table::HeadersOut => record.headers_out,
            Table::ErrHeadersOut => record.err_headers_out,
            Table::SubprocessEnv => record.subprocess_env,
            Table::Notes => record.notes,
        }
    }

    /// An entry of a table; names are compared without regard to case.
    pub fn get(&self, table: Table, name: &CStr) -> Option<&[u8]> {
        // SAFETY: the table belongs to the request; the name is a C string.
        self.text(unsafe { api().apr_table_get(self.table(table), name.as_ptr()) })
    }

    pub fn entries(&self, table: Table) -> impl Iterator<Item = (&[u8], &[u8])> {
        // SAFETY: the table belongs to the request and is alive.
        let array = unsafe { &*api().apr_table_elts(self.table(table)) };
        let count = usize::try_from(array.nelts).unwrap_or(0);
        (0..count).filter_map(move |index| {
            // SAFETY: the array has `nelts` entries of this type.
            let entry = unsafe { &*array.elts.cast::<apr_table_entry_t>().add(index) };
            Some((self.text(entry.key)?, self.text(entry.val).unwrap_or_default()))
        })
    }

    /// Adds an entry beside any of the same name.
    pub fn add(&self, table: Table, name: &[u8], value: &[u8]) {
        let pool = self.record().pool;
        // SAFETY: the table belongs to the request; both strings are copies in its pool.
        unsafe { api().apr_table_addn(self.table(table), copy(pool, name), copy(pool, value)) }
    }

    pub fn set(&self, table: Table, name: &CStr, value: &[u8]) {
        let pool = self.record().pool;
        let name = copy(pool, name.to_bytes());
        // SAFETY: the table belongs to the request; both strings are copies in its pool.
        unsafe { api().apr_table_setn(self.table(table), name, copy(pool, value)) }
    }

    /// Leaves notes for httpd's logs, of names that the request has no note of yet. There is a NUL between one
    /// value and the next.
    pub fn notes<const N: usize>(&self, names: [&'static CStr; N], values: &[u8]) {
        let (copied, mut offset) = (copy(self.pool(), values), 0);
        for (name, value) in names.into_iter().zip(values.split(|byte| *byte == 0)) {
            // SAFETY: the table belongs to the request; the name lives for ever. The value begins within the copy
            // or at the NUL that ends it, and the copy lives in the request's pool.
            unsafe { api().apr_table_addn(self.record().notes, name.as_ptr(), copied.add(offset)) }
            offset += value.len() + 1;
        }
    }

    /// Maps the request to a file that this handler serves.
    pub fn map_to(&self, filename: &[u8], handler: &CStr) {
        let pool = self.record().pool;
        let (filename, handler) = (copy(pool, filename), copy(pool, handler.to_bytes()));
        // SAFETY: the record is alive and these fields are a translate hook's to set; the strings are
        // in its pool.
        unsafe {
            (*self.record).filename = filename;
            (*self.record).handler = handler;
        }
        // As for mod_alias's ScriptAlias: mod_mime_magic and the like leave such requests alone.
        self.set(Table::Notes, c"alias-forced-type", c"wsgi-script".to_bytes());
    }

    /// Whether this is httpd's own request for the answer to another that failed (`ErrorDocument`).
    pub fn is_error_document(&self) -> bool {
        let previous = self.record().prev;
        // SAFETY: a request that was redirected lives as long as the one it became.
        !previous.is_null() && unsafe { (*previous).status } >= HTTP_BAD_REQUEST
    }

    /// Whether the answer is a part of another request's, as where mod_include asks for it: the body is the
    /// other's.
    pub fn is_part_of_another(&self) -> bool {
        !self.record().main.is_null()
    }

    /// Whether something beside httpd's own framing is between the client's body and us.
    pub fn has_input_filter(&self) -> bool {
        self.record().input_filters != self.record().proto_input_filters
    }

    /// `CGIPassAuth`.
    pub fn passes_authorization(&self) -> bool {
        vector::core_of_request(self.record()).cgi_pass_auth() == AP_CGI_PASS_AUTH_ON as u32
    }

    /// Takes back what httpd has guessed about the content from the name of the script.
    pub fn forget_content_headers(&self) {
        // SAFETY: the record is alive and the answer is the handler's to write.
        unsafe {
            (*self.record).content_languages = std::ptr::null_mut();
            (*self.record).content_encoding = std::ptr::null();
            api().ap_set_content_type(self.record, std::ptr::null());
        }
    }

    /// Prepares to read the body: checks its framing and `LimitRequestBody`. The error is a status.
    pub fn prepare_body(&self, allow_chunked: bool) -> Result<Option<u64>, u16> {
        let policy = if allow_chunked { REQUEST_CHUNKED_DECHUNK } else { REQUEST_CHUNKED_ERROR };
        // SAFETY: the record is alive; called once, before the body is read.
        let status = unsafe { api().ap_setup_client_block(self.record, policy) };
        if status != OK {
            return Err(u16::try_from(status).unwrap_or(400));
        }
        if self.is_chunked() {
            return Ok(None);
        }
        let length = u64::try_from(self.record().remaining).unwrap_or(0);
        if self.body_limit().is_some_and(|limit| length > limit) {
            return Err(413);
        }
        Ok(Some(length))
    }

    /// As httpd has it now.
    pub fn status(&self) -> i32 {
        self.record().status
    }

    /// `LimitRequestBody`.
    pub fn body_limit(&self) -> Option<u64> {
        // SAFETY: the record is alive.
        let limit = unsafe { api().ap_get_limit_req_body(self.record) };
        u64::try_from(limit).ok().filter(|limit| *limit > 0)
    }

    /// Whether the client sends its body in chunks; known once `prepare_body` was called.
    pub fn is_chunked(&self) -> bool {
        self.record().read_chunked != 0
    }

    /// The folder that APR chooses for temporary files: `TMPDIR`, /tmp …, the first that may be written to.
    pub fn temporary_folder(&self) -> io::Result<PathBuf> {
        let mut folder = std::ptr::null();
        // SAFETY: writes a pointer to a string in the request's pool.
        let status = unsafe { api().apr_temp_dir_get(&mut folder, self.record().pool) };
        match self.text(folder).filter(|_| status == 0) {
            Some(folder) => Ok(PathBuf::from(OsStr::from_bytes(folder))),
            None => Err(io::Error::other(format!(
                "there is no folder for temporary files: {}",
                Self::describe_status(status)
            ))),
        }
    }

    pub fn set_status(&self, status: u16, line: &[u8]) {
        let line = copy(self.record().pool, line);
        // SAFETY: the record is alive and the answer is the handler's to write.
        unsafe {
            (*self.record).status = status.into();
            (*self.record).status_line = line;
        }
    }

    pub fn set_content_type(&self, value: &[u8]) {
        let value = copy(self.record().pool, value);
        // SAFETY: the record is alive; the string is in its pool.
        unsafe { api().ap_set_content_type(self.record, value) }
    }

    pub fn set_content_length(&self, length: i64) {
        // SAFETY: the record is alive.
        unsafe { api().ap_set_content_length(self.record, length) }
    }

    /// Answers with another page of this server, subject to all that is configured for it. Its request is a
    /// GET without a body; this one's has been read. Nothing of the answer may have been sent.
    pub fn redirect_inside(&self, location: &[u8], content_type: Option<&[u8]>) {
        for name in [c"Content-Length", c"Transfer-Encoding"] {
            // SAFETY: the table belongs to the request; the name is a C string.
            unsafe { api().apr_table_unset(self.table(Table::HeadersIn), name.as_ptr()) };
        }
        // As the record's own it could name a handler: httpd before 2.4.60 takes it for one. Here the page's
        // own type goes before it.
        if let Some(content_type) = content_type {
            self.set(Table::ErrHeadersOut, c"Content-Type", content_type);
        }
        let location = copy(self.record().pool, location);
        // SAFETY: the record is alive and the answer is the handler's to write.
        unsafe {
            (*self.record).status = HTTP_OK;
            (*self.record).method = c"GET".as_ptr();
            (*self.record).method_number = M_GET;
        }
        // SAFETY: the record is alive, the location a C string in its pool.
        unsafe { api().ap_internal_redirect(location, self.record) }
    }

    /// Makes sure that the connection ends with this answer.
    pub fn close_connection(&self) {
        // SAFETY: the connection is alive and served by this thread.
        unsafe { (*self.record().connection).keepalive = ap_conn_keepalive_e_AP_CONN_CLOSE };
    }

    /// The client's socket; None for a stream of HTTP/2, which has none of its own.
    pub(super) fn socket(&self) -> Option<*mut apr_socket_t> {
        // SAFETY: the connection is alive.
        self.connection()
            .master
            .is_null()
            .then(|| unsafe { api().ap_get_conn_socket(self.record().connection) })
    }

    /// Where the client's data comes from; None for a stream of HTTP/2, which mod_http2 reads by itself.
    pub fn client_descriptor(&self) -> Option<BorrowedFd<'_>> {
        let socket = self.socket().filter(|socket| !socket.is_null())?;
        let mut descriptor = -1;
        // SAFETY: writes the number of the connection's socket.
        let status = unsafe { api().apr_os_sock_get(&mut descriptor, socket) };
        // SAFETY: the socket stays open as long as its connection, which outlives the request.
        (status == 0 && descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// Whether the client's connection surely takes so much data without waiting, with an answer's head.
    pub fn client_takes(&self, size: usize) -> bool {
        const HEAD: usize = 4 * 1024;
        self.client_descriptor().is_some_and(|client| os::has_room(client, size + HEAD))
    }

    /// Whether all output filters are of those that httpd has for every answer, and TLS: others may wait (as
    /// mod_ratelimit's), or have another request run (mod_include's).
    pub fn only_known_filters(&self) -> bool {
        let mut next = self.record().output_filters;
        // SAFETY: a chain's filters and their records live as long as the request.
        while let Some(filter) = unsafe { next.as_ref() } {
            // SAFETY: as above.
            let kind = unsafe { (*filter.frec).ftype };
            if kind != ap_filter_type_AP_FTYPE_PROTOCOL && kind < ap_filter_type_AP_FTYPE_CONNECTION {
                return false;
            }
            next = filter.next;
        }
        true
    }

    pub fn is_aborted(&self) -> bool {
        self.connection().aborted != 0
    }

    pub(super) fn mark_begun(&self) {
        self.begun.set(true);
    }

    /// Whether a part of the answer has gone to the filters.
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// The text of an APR status.
    pub fn describe_status(status: i32) -> String {
        let mut buffer = [0u8; 256];
        // SAFETY: writes at most the given size, with a NUL.
        unsafe { api().apr_strerror(status, buffer.as_mut_ptr().cast(), buffer.len()) };
        let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
        CString::from(text).to_string_lossy().into_owned()
    }
}
