//! Writing to httpd's error log.
//!
//! Used in the httpd parent, its children and the supervisor. Text is always an argument of the
//! format "%s", never a format; httpd escapes control characters.

#![allow(unsafe_code)]

use super::index::index;
use super::request::RequestRec;
use super::server::Server;
use super::table::api;
use crate::log::{Code, Level, Message};
use std::ffi::CString;
use std::ptr;

/// httpd cuts a record at 8 KiB with everything it puts in front; longer lines are split below that.
const LONGEST: usize = 7 * 1024;

pub fn server(server: Server, level: Level, line: &[u8]) {
    for part in parts(line) {
        // SAFETY: the server record is alive; format and text are C strings that outlive the call.
        unsafe {
            (api().ap_log_error_)(
                ptr::null(),
                0,
                index(),
                number(level),
                0,
                server.as_ptr(),
                c"%s".as_ptr(),
                part.as_ptr(),
            );
        }
    }
}

pub fn server_message(to: Server, message: &Message) {
    server(to, message.level, message.to_string().as_bytes());
}

pub fn request(request: &RequestRec<'_>, level: Level, line: &[u8]) {
    for part in parts(line) {
        // SAFETY: the request record is alive; format and text are C strings that outlive the call.
        unsafe {
            (api().ap_log_rerror_)(
                ptr::null(),
                0,
                index(),
                number(level),
                0,
                request.as_ptr(),
                c"%s".as_ptr(),
                part.as_ptr(),
            );
        }
    }
}

pub fn request_panicked(of: &RequestRec<'_>) {
    let text = "a panic while a request was handled (the place is in httpd's main error log); \
                this request is answered 500, the process goes on; please report it";
    request_message(of, &Message::new(Code::RequestPanicked, text));
}

pub fn request_message(of: &RequestRec<'_>, message: &Message) {
    request(of, message.level, message.to_string().as_bytes());
}

/// Whether a line of this level would be written.
pub fn shows(of: &RequestRec<'_>, level: Level) -> bool {
    // SAFETY: the request record is alive.
    unsafe { api().ap_get_request_module_loglevel(of.as_ptr(), index()) >= number(level) }
}

fn number(level: Level) -> i32 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

/// A line as C strings that httpd does not cut: numbered when there is more than one, NUL written out.
fn parts(line: &[u8]) -> Vec<CString> {
    let clean: Vec<u8> = line
        .iter()
        .flat_map(|byte| if *byte == 0 { &b"\\x00"[..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect();
    let chunks = chunks(&clean);
    let count = chunks.len();
    let numbered = chunks.into_iter().enumerate().map(|(index, chunk)| {
        let mut part = if count > 1 { format!("({}/{count}) ", index + 1).into_bytes() } else { Vec::new() };
        part.extend_from_slice(chunk);
        CString::new(part).expect("NUL was written out")
    });
    numbered.collect()
}

/// Cuts text so that each piece fits after httpd has written bytes beyond ASCII as \\xNN.
fn chunks(text: &[u8]) -> Vec<&[u8]> {
    let (mut chunks, mut start, mut size) = (Vec::new(), 0, 0);
    for (index, byte) in text.iter().enumerate() {
        let written = if (0x20..0x7f).contains(byte) { 1 } else { 4 };
        if size + written > LONGEST {
            chunks.push(&text[start..index]);
            (start, size) = (index, 0);
        }
        size += written;
    }
    chunks.push(&text[start..]);
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_comes_in_numbered_parts_and_nul_is_written_out() {
        let short = parts(b"a\0b");
        assert_eq!(short, [CString::new("a\\x00b").unwrap()]);
        let long = parts(&vec![b'x'; LONGEST + 1]);
        assert_eq!(long.len(), 2);
        assert_eq!(long[1].as_bytes(), b"(2/2) x");
        assert_eq!(parts(&vec![0xc3; LONGEST]).len(), 4);
    }
}
