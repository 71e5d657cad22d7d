//! Bucket brigades: the request's body in, the answer out.
//!
//! Runs in httpd children, below `exchange`.

#![allow(unsafe_code)]

use super::request::RequestRec;
use super::table::api;
use crate::request::BodyError;
use crate::sys::httpd::*;
use crate::sys::shim;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;
use std::{mem, ptr};

/// What httpd's input filters give for the body of a request.
pub struct InputFilters<'a, 'r> {
    request: &'a RequestRec<'r>,
    brigade: *mut apr_bucket_brigade,
    ended: bool,
    /// A body that broke off stays broken.
    failed: Option<BodyError>,
}

/// APR's and httpd's codes that say something about a body (apr_errno.h, http_protocol.h).
const APR_EAGAIN: i32 = libc::EAGAIN;
const APR_TIMEUP: i32 = 70007;
const APR_INCOMPLETE: i32 = 70008;
const APR_EOF: i32 = 70014;
const APR_EGENERAL: i32 = 20014;

const CLOSED: &str = "the client closed the connection before the end of the body";

impl<'a, 'r> InputFilters<'a, 'r> {
    pub fn new(request: &'a RequestRec<'r>) -> Self {
        InputFilters { request, brigade: new_brigade(request), ended: false, failed: None }
    }

    /// There is nothing to read, or nothing more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing more will come: all of it has, or it broke off.
    pub fn is_over(&self) -> bool {
        self.ended || self.failed.is_some()
    }

    /// Appends between 1 and `most` bytes, waiting for the client; 0 at the end.
    pub fn read(&mut self, most: usize, into: &mut Vec<u8>) -> Result<usize, BodyError> {
        let start = into.len();
        while into.len() == start && !self.ended {
            self.read_some(apr_read_type_e_APR_BLOCK_READ, most, into)?;
        }
        Ok(into.len() - start)
    }

    /// Appends what has arrived already, up to `most` bytes in all. What came before a break counts.
    pub fn read_ready(&mut self, most: usize, into: &mut Vec<u8>) -> Result<(), BodyError> {
        let start = into.len();
        while !self.ended && into.len() - start < most {
            let before = into.len();
            let wanted = most - (before - start);
            let read = self.read_some(apr_read_type_e_APR_NONBLOCK_READ, wanted, into);
            if read.is_err() && into.len() == start {
                return read;
            }
            if into.len() == before {
                break;
            }
        }
        Ok(())
    }

    /// Reads the rest of the body and drops it.
    pub fn discard(&mut self) -> Result<(), BodyError> {
        let mut piece = Vec::new();
        while self.read(READ_AT_ONCE, &mut piece)? > 0 {
            piece.clear();
        }
        Ok(())
    }

    /// One look at the input filters. Nothing is appended when nothing has come, and at the end.
    fn read_some(&mut self, how: apr_read_type_e, most: usize, into: &mut Vec<u8>) -> Result<(), BodyError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let read = match self.get(how, most) {
            Ok(0) => self.take(into),
            Ok(APR_EAGAIN) if how == apr_read_type_e_APR_NONBLOCK_READ => Ok(()),
            Ok(status) => Err(self.error(status)),
            Err(error) => Err(error),
        };
        self.failed = read.clone().err();
        read
    }

    /// The next part of the body into the brigade; an APR status.
    fn get(&self, how: apr_read_type_e, most: usize) -> Result<i32, BodyError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // SAFETY: the record is alive, and so is its chain of input filters.
        let filters = unsafe { (*self.request.as_ptr()).input_filters };
        let mut sink = Sink::default();
        // SAFETY: filters and brigade belong to this request.
        let status = sink.catching(self.request, || unsafe {
            api().ap_get_brigade(filters, self.brigade, ap_input_mode_t_AP_MODE_READBYTES, how, most)
        });
        if sink.status != 0 {
            return Err(BodyError {
                status: u16::try_from(sink.status).unwrap_or(400),
                reason: match sink.status {
                    HTTP_REQUEST_ENTITY_TOO_LARGE => "it is larger than LimitRequestBody allows".to_string(),
                    _ => "its chunks are malformed".to_string(),
                },
            });
        }
        Ok(status)
    }

    /// Moves the brigade's data out of it.
    fn take(&mut self, into: &mut Vec<u8>) -> Result<(), BodyError> {
        loop {
            // SAFETY: the brigade is alive; a bucket is deleted before the next is asked for.
            let bucket = unsafe { shim::wsgi_brigade_first(self.brigade) };
            if bucket.is_null() {
                return Ok(());
            }
            // SAFETY: the bucket is alive until it is deleted below.
            let (kind, metadata) = unsafe { ((*bucket).type_, shim::wsgi_bucket_is_metadata(bucket) != 0) };
            if ptr::eq(kind, api().apr_bucket_type_eos) {
                self.ended = true;
            }
            if !metadata {
                let (mut data, mut length) = (ptr::null(), 0);
                // SAFETY: reads a data bucket; the data stays valid until the bucket is deleted.
                let status = unsafe { shim::wsgi_bucket_read(bucket, &mut data, &mut length) };
                if status != 0 {
                    return Err(self.error(status));
                }
                if length > 0 {
                    // SAFETY: pointer and length are what the bucket gave.
                    into.extend_from_slice(unsafe { std::slice::from_raw_parts(data.cast(), length) });
                }
            }
            // SAFETY: the first bucket of our brigade; it is not used again.
            unsafe { shim::wsgi_bucket_delete(bucket) };
        }
    }

    fn error(&self, status: i32) -> BodyError {
        let http = match status {
            // SAFETY: only maps a number.
            _ if !self.request.is_aborted() => unsafe {
                api().ap_map_http_request_error(status, HTTP_BAD_REQUEST)
            },
            _ => 0,
        };
        let (status_code, reason) = match status {
            APR_TIMEUP => (408, "the client did not send the body in time".to_string()),
            APR_EOF | libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE => (0, CLOSED.to_string()),
            // In the middle of a chunk: it may still read an answer.
            APR_INCOMPLETE => (u16::try_from(http).unwrap_or(400), CLOSED.to_string()),
            _ => (u16::try_from(http).unwrap_or(400), RequestRec::describe_status(status)),
        };
        BodyError { status: status_code, reason }
    }
}

/// Catches the answer that httpd's input filter gives by itself when a chunked body is wrong: what to
/// answer is the application's to decide.
#[derive(Default)]
struct Sink {
    /// Of the error that was caught.
    status: i32,
}

/// A structure for httpd to read. Another httpd's may have more fields than that of the headers, and finds
/// zeros.
#[repr(C)]
struct Roomy<T> {
    structure: T,
    more: [u64; 16],
}

impl Sink {
    /// Runs `read` with this in the place of the request's output filters.
    fn catching(&mut self, request: &RequestRec<'_>, read: impl FnOnce() -> i32) -> i32 {
        // SAFETY: a filter record and a filter of zeros are valid: nothing in them is used but what is
        // set below.
        let (mut record, mut filter) =
            unsafe { (mem::zeroed::<Roomy<ap_filter_rec_t>>(), mem::zeroed::<Roomy<ap_filter_t>>()) };
        record.structure.filter_func.out_func = Some(sink);
        filter.structure.frec = (&raw mut record).cast();
        filter.structure.ctx = (&raw mut *self).cast();
        let sink = (&raw mut filter).cast();
        // SAFETY: the record is alive; only `read` uses the filters meanwhile.
        let filters = unsafe { mem::replace(&mut (*request.as_ptr()).output_filters, sink) };
        let status = read();
        // SAFETY: as above; they are put back before anything else is sent.
        unsafe { (*request.as_ptr()).output_filters = filters };
        status
    }
}

unsafe extern "C" fn sink(filter: *mut ap_filter_t, brigade: *mut apr_bucket_brigade) -> apr_status_t {
    // SAFETY: `catching` lent the sink for the length of the read.
    let sink = unsafe { &mut *(*filter).ctx.cast::<Sink>() };
    // SAFETY: the brigade is alive; an error bucket's data is an ap_bucket_error.
    unsafe {
        let first = shim::wsgi_brigade_first(brigade);
        if !first.is_null() && ptr::eq((*first).type_, api().ap_bucket_type_error) {
            sink.status = (*(*first).data.cast::<ap_bucket_error>()).status;
        }
        api().apr_brigade_cleanup(brigade.cast());
    }
    APR_EGENERAL
}

/// An answer on its way through httpd's output filters.
pub struct OutputFilters<'a, 'r> {
    request: &'a RequestRec<'r>,
    brigade: *mut apr_bucket_brigade,
    /// How long the client may go without reading; None leaves that to httpd.
    silence: Option<Duration>,
}

/// How much of a file is read at a time.
const READ_AT_ONCE: usize = 256 * 1024;

/// Nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aborted {
    /// The client is gone.
    ByClient,
    /// The client did not read for too long.
    OutOfTime,
    /// A filter has refused.
    ByFilter,
    /// A filter has given the client an error of this status in the place of the answer.
    Answered(u16),
}

impl<'a, 'r> OutputFilters<'a, 'r> {
    pub fn new(request: &'a RequestRec<'r>, silence: Option<Duration>) -> Self {
        OutputFilters { request, brigade: new_brigade(request), silence }
    }

    fn insert(&self, bucket: *mut apr_bucket) {
        // SAFETY: brigade and bucket are alive, and the bucket is in no brigade yet.
        unsafe { shim::wsgi_brigade_insert_tail(self.brigade, bucket) }
    }

    fn allocator(&self) -> *mut apr_bucket_alloc_t {
        // SAFETY: the request's connection is alive.
        unsafe { (*(*self.request.as_ptr()).connection).bucket_alloc }
    }

    /// Passes data on, and with `flush` all the way to the client.
    pub fn data(&self, pieces: &[&[u8]], flush: bool) -> Result<(), Aborted> {
        self.insert_data(pieces);
        if flush {
            self.insert_flush();
        }
        self.pass()
    }

    /// Data, and the end of the answer.
    pub fn end(&self, pieces: &[&[u8]]) -> Result<(), Aborted> {
        self.insert_data(pieces);
        self.insert_end();
        self.pass()
    }

    /// The same, all the way to the client while the handler goes on.
    pub fn end_at_once(&self, pieces: &[&[u8]]) -> Result<(), Aborted> {
        self.insert_data(pieces);
        self.insert_flush();
        self.insert_end();
        self.pass()
    }

    /// The data must outlive the `pass` that follows; a filter that keeps it makes a copy.
    fn insert_data(&self, pieces: &[&[u8]]) {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            // SAFETY: pointer and length describe the piece, which outlives the pass.
            let bucket = unsafe {
                api().apr_bucket_transient_create(piece.as_ptr().cast(), piece.len(), self.allocator())
            };
            self.insert(bucket);
        }
    }

    fn insert_flush(&self) {
        // SAFETY: the allocator is the connection's.
        self.insert(unsafe { api().apr_bucket_flush_create(self.allocator()) });
    }

    fn insert_end(&self) {
        // SAFETY: the allocator is the connection's.
        self.insert(unsafe { api().apr_bucket_eos_create(self.allocator()) });
    }

    /// Adds a part of a file to what is passed on next, to be sent by sendfile where `sendfile` allows and
    /// the client's connection can, and read otherwise.
    pub fn file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        sendfile: bool,
    ) -> Result<(), Aborted> {
        // SAFETY: the request's pool is alive.
        let pool = unsafe { (*self.request.as_ptr()).pool };
        let mut flags = APR_FOPEN_READ | APR_FOPEN_BINARY;
        if sendfile {
            flags |= APR_FOPEN_SENDFILE_ENABLED;
        }
        let mut number = file.as_raw_fd();
        let (mut lent, mut own) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: wraps the open descriptor, which stays the caller's.
        let status = unsafe { api().apr_os_file_put(&mut lent, &mut number, flags, pool) };
        // SAFETY: makes a file of its own, which APR closes when it has been sent.
        if status != 0 || unsafe { api().apr_file_dup(&mut own, lent, pool) } != 0 {
            return Err(Aborted::ByFilter);
        }
        let (offset, length) = (i64::try_from(offset), i64::try_from(length));
        let (Ok(offset), Ok(length)) = (offset, length) else { return Err(Aborted::ByFilter) };
        let Ok(length) = usize::try_from(length) else { return Err(Aborted::ByFilter) };
        // SAFETY: file and pool are alive; the bucket holds the file from here on.
        let bucket = unsafe { api().apr_bucket_file_create(own, offset, length, pool, self.allocator()) };
        // A mapped file that the site shortens would end this process, and with it other sites' requests.
        // SAFETY: the bucket was just made.
        unsafe { api().apr_bucket_file_enable_mmap(bucket, 0) };
        // SAFETY: as above.
        unsafe { api().apr_bucket_file_set_buf_size(bucket, READ_AT_ONCE) };
        self.insert(bucket);
        Ok(())
    }

    /// The end of an answer that is not complete: HTTP/1.1 gets no last chunk and the connection
    /// closes, HTTP/2 a reset of the stream.
    pub fn cut(&self) {
        // SAFETY: the pool is the request's, the allocator the connection's; no text is given.
        let bucket = unsafe {
            let pool = (*self.request.as_ptr()).pool;
            api().ap_bucket_error_create(HTTP_BAD_GATEWAY, ptr::null(), pool, self.allocator())
        };
        self.insert(bucket);
        self.insert_end();
        self.request.close_connection();
        // SAFETY: the record is alive; filters of the content, which may have failed, are left out, and
        // no cache may take the answer for whole.
        let filters = unsafe {
            (*self.request.as_ptr()).no_cache = 1;
            (*self.request.as_ptr()).proto_output_filters
        };
        // When this fails too, no receiver is left to tell.
        let _ = self.pass_to(filters);
    }

    fn pass(&self) -> Result<(), Aborted> {
        // SAFETY: the record is alive, and so is its chain of output filters.
        self.pass_to(unsafe { (*self.request.as_ptr()).output_filters })
    }

    fn pass_to(&self, filters: *mut ap_filter_t) -> Result<(), Aborted> {
        self.request.mark_begun();
        // SAFETY: filters and brigade belong to this request.
        let status = self.limited(|| unsafe { api().ap_pass_brigade(filters, self.brigade) });
        // SAFETY: the brigade is ours; what a filter wanted to keep it has taken.
        unsafe { api().apr_brigade_cleanup(self.brigade.cast()) };
        if self.request.is_aborted() {
            return Err(if status == APR_TIMEUP { Aborted::OutOfTime } else { Aborted::ByClient });
        }
        match status {
            0 => Ok(()),
            // What `ap_die` has sent is whole; a filter that only refuses leaves the record as it is.
            300..600 if self.request.status() == status => Err(Aborted::Answered(status as u16)),
            _ => Err(Aborted::ByFilter),
        }
    }

    /// Runs `pass` with the limit of this answer in the place of the one that httpd has set.
    fn limited(&self, pass: impl FnOnce() -> apr_status_t) -> apr_status_t {
        let Some((limit, socket)) = self.silence.zip(self.request.socket()) else { return pass() };
        let limit = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
        let mut before = 0;
        // SAFETY: the socket lives as long as the connection, which this thread serves.
        unsafe { api().apr_socket_timeout_get(socket, &mut before) };
        // SAFETY: as above.
        unsafe { api().apr_socket_timeout_set(socket, limit) };
        let status = pass();
        // SAFETY: as above; one whose client is gone stays open until the connection ends.
        unsafe { api().apr_socket_timeout_set(socket, before) };
        status
    }
}

fn new_brigade(request: &RequestRec<'_>) -> *mut apr_bucket_brigade {
    // SAFETY: pool and allocator live as long as the request, and so does the brigade.
    unsafe {
        let record = &*request.as_ptr();
        api().apr_brigade_create(record.pool, (*record.connection).bucket_alloc)
    }
}
