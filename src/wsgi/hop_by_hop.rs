//! Headers of an answer that belong to a connection: httpd sets them, not an application. Pure.
//!
//! Runs where applications run. `start_response` drops them, since proxies written in Python pass on the
//! headers that they were given. `run` logs that once for each script and header.

use crate::log::{Code, Message};
use parking_lot::Mutex;
use std::collections::HashMap;

/// RFC 9110, 7.6.1; PEP 3333, "Other HTTP Features". `Trailers` is what older texts call `Trailer`.
const NAMES: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Trailers",
    "Transfer-Encoding",
    "Upgrade",
];

/// Those that one answer had: a bit for each of the names.
#[derive(Debug, Default, Clone, Copy)]
pub struct Dropped {
    names: u16,
    /// `Transfer-Encoding` says that the body consists of chunks.
    pub chunked: bool,
}

impl Dropped {
    /// Whether a header is one of these; it is remembered.
    pub fn takes(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some(index) = NAMES.iter().position(|hop| name.eq_ignore_ascii_case(hop.as_bytes())) else {
            return false;
        };
        self.names |= 1 << index;
        if NAMES[index] == "Transfer-Encoding" {
            // Chunked is always the last coding that was applied.
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        }
        true
    }

    pub fn is_empty(self) -> bool {
        self.names == 0
    }
}

/// Which of them each script of an interpreter has been told of.
#[derive(Default)]
pub struct Told(Mutex<HashMap<Box<[u8]>, u16>>);

impl Told {
    /// Messages about the dropped headers that this script has not been told of.
    pub fn messages(&self, script: &[u8], dropped: Dropped) -> impl Iterator<Item = Message> {
        let new = {
            let mut told = self.0.lock();
            let told = told.entry(script.into()).or_default();
            let new = dropped.names & !*told;
            *told |= new;
            new
        };
        let script = String::from_utf8_lossy(script).into_owned();
        let names = NAMES.iter().enumerate().filter(move |(index, _)| new & (1 << index) != 0);
        names.map(move |(_, name)| {
            let text = format!(
                "the application '{script}' answers with the header {name}, which belongs to a single connection and \
                 is httpd's to say (PEP 3333): it is left out; do not pass it on (said once for a script and header)"
            );
            Message::new(Code::HeaderLeftOut, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_connection_are_told_from_others() {
        let mut dropped = Dropped::default();
        for name in ["Content-Type", "Location", "Connection2", ""] {
            assert!(!dropped.takes(name.as_bytes(), b"close"), "{name}");
        }
        assert!(dropped.is_empty());
        for name in ["connection", "KEEP-ALIVE", "Te", "Trailer", "trailers", "Upgrade", "Proxy-Authenticate"]
        {
            assert!(dropped.takes(name.as_bytes(), b"chunked"), "{name}");
        }
        assert!(!dropped.is_empty() && !dropped.chunked);
    }

    #[test]
    fn only_the_last_coding_says_that_there_are_chunks() {
        for (value, chunked) in [
            ("chunked", true),
            ("gzip, Chunked ", true),
            ("chunked, gzip", false),
            ("identity", false),
            ("", false),
        ] {
            let mut dropped = Dropped::default();
            assert!(dropped.takes(b"transfer-encoding", value.as_bytes()));
            assert_eq!(dropped.chunked, chunked, "{value}");
        }
    }

    #[test]
    fn each_script_is_told_once_of_each_header() {
        let told = Told::default();
        let (mut one, mut both) = (Dropped::default(), Dropped::default());
        assert!(one.takes(b"Connection", b"") && both.takes(b"Connection", b"") && both.takes(b"TE", b""));
        let count = |script: &[u8], dropped| told.messages(script, dropped).count();
        assert_eq!([count(b"a", one), count(b"a", one), count(b"a", both), count(b"b", both)], [1, 0, 1, 2]);
    }
}
