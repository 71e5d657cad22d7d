//! The answers that an application may give, and how far an answer has got. Pure.
//!
//! Runs where applications run. `start_response` checks the application's status and headers with it; the
//! senders ask it how much of the data may go out. The rules are PEP 3333's and RFC 9110's.

use super::chunks::Announced;
use super::hop_by_hop::Dropped;
use crate::request::{Head, local_location};

/// The answer of one request.
pub struct Response {
    head: Option<Head>,
    head_sent: bool,
    content_length: Option<u64>,
    sent: u64,
    head_request: bool,
    excess: bool,
    /// Headers that the application gave and that are left out.
    dropped: Dropped,
    /// Where one of them said that the body consists of chunks.
    announced: Option<Announced>,
    /// httpd answers with another page: no body of the application's is due.
    redirected: bool,
}

/// What to do with a piece of data.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Send the head first.
    pub head: Option<Head>,
    /// So many bytes may be sent.
    pub length: usize,
    /// This piece is the first to exceed Content-Length.
    pub excess: bool,
}

impl Response {
    pub fn new(head_request: bool) -> Response {
        Response {
            head: None,
            head_sent: false,
            content_length: None,
            sent: 0,
            head_request,
            excess: false,
            dropped: Dropped::default(),
            announced: None,
            redirected: false,
        }
    }

    pub fn started(&self) -> bool {
        self.head.is_some() || self.head_sent
    }

    pub fn head_sent(&self) -> bool {
        self.head_sent
    }

    /// Takes the head that `start_response` was given; it stays replaceable until data is sent. False
    /// when there is one already that may not be replaced: reading the arguments can run code that
    /// calls `start_response` too.
    #[must_use]
    pub fn start(&mut self, head: Head, content_length: Option<u64>, replace: bool) -> bool {
        if self.head_sent || (self.head.is_some() && !replace) {
            return false;
        }
        self.redirected = local_location(&head.status, head.pairs()).is_some();
        self.head = Some(head);
        self.content_length = content_length;
        self.announced = None;
        true
    }

    /// Headers that were left out of the head that was just taken.
    pub fn leave_out(&mut self, dropped: Dropped) {
        self.dropped = dropped;
        self.announced = dropped.chunked.then(Announced::new);
    }

    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Whether the data may have chunks around it.
    pub fn may_have_chunks(&self) -> bool {
        self.announced.is_some()
    }

    /// The data of a piece that may have chunks around it; None where it is the data.
    pub fn without_chunks(&mut self, piece: &[u8]) -> Option<Result<Vec<u8>, &'static str>> {
        let announced = self.announced.as_mut()?;
        let data = announced.data(piece);
        match (announced, &mut self.head) {
            (Announced::Plain, _) => self.announced = None,
            // RFC 9112, 6.3: where there are chunks, Content-Length says nothing.
            (Announced::Chunked(_), Some(head)) => {
                head.remove(b"Content-Length");
                self.content_length = None;
            }
            _ => {}
        }
        Some(data)
    }

    /// After the last piece: what `without_chunks` has kept back.
    pub fn kept_back(&mut self) -> Result<Vec<u8>, &'static str> {
        self.announced.take().map_or(Ok(Vec::new()), |mut announced| announced.end())
    }

    /// The only piece of a body of one piece: without Content-Length, its own length is it.
    pub fn derive_content_length(&mut self, length: usize) {
        let Some(head) = self.head.as_mut() else { return };
        if self.content_length.is_some() || bodyless(&head.status) || (self.head_request && length == 0) {
            return;
        }
        if self.announced.is_some() {
            return;
        }
        head.headers.push(b"Content-Length", length.to_string().as_bytes());
        self.content_length = Some(length as u64);
    }

    /// Accounts for data that is to be sent. None when `start_response` was not called.
    pub fn piece(&mut self, length: usize) -> Option<Piece> {
        if !self.started() {
            return None;
        }
        let room = self.content_length.map_or(u64::MAX, |announced| announced.saturating_sub(self.sent));
        let allowed = usize::try_from(room).unwrap_or(usize::MAX).min(length);
        let excess = allowed < length && !self.excess;
        self.excess |= excess;
        self.sent += allowed as u64;
        Some(Piece { head: self.take_head(), length: allowed, excess })
    }

    /// Whether more data came than Content-Length announced: PEP 3333 lets the server stop there.
    pub fn is_exceeded(&self) -> bool {
        self.excess
    }

    /// The head, if it has not been sent yet.
    pub fn take_head(&mut self) -> Option<Head> {
        let head = self.head.take()?;
        self.head_sent = true;
        self.head_request |= bodyless(&head.status);
        Some(head)
    }

    /// How many bytes are missing at the end of the body, of how many announced.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let announced = self.content_length.filter(|_| !self.head_request && !self.redirected)?;
        (self.sent < announced).then(|| (announced - self.sent, announced))
    }
}

pub(super) fn bodyless(status: &[u8]) -> bool {
    matches!(status.get(..3), Some(b"204" | b"304"))
}

/// Checks a status line: three digits from 200 to 599, then nothing or a blank and a reason phrase.
pub fn check_status(status: &[u8]) -> Result<(), String> {
    let shown = String::from_utf8_lossy(status);
    let digits = status.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let Some(digits) = digits else {
        return Err(format!("status {shown:?} does not begin with three digits, as in '200 OK'"));
    };
    if !(b"200"..=b"599").contains(&<&[u8; 3]>::try_from(digits).expect("three digits")) {
        return Err(format!("status {shown:?} is not one of 200 to 599, which a final answer must have"));
    }
    if status.len() > 3 && status[3] != b' ' {
        return Err(format!("status {shown:?} has no blank between code and reason phrase"));
    }
    if status.iter().any(|byte| byte.is_ascii_control()) {
        return Err(format!("status {shown:?} contains a control character"));
    }
    Ok(())
}

/// Checks one header; gives the number if it is Content-Length.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<Option<u64>, String> {
    let shown = || String::from_utf8_lossy(name);
    if name.is_empty() {
        return Err("a header has an empty name".into());
    }
    if name.len() > usize::from(u16::MAX) {
        return Err(format!(
            "the name of a header has {} bytes; httpd reads names of up to 8190",
            name.len()
        ));
    }
    if let Some(byte) = name.iter().find(|byte| !is_token(**byte)) {
        let byte = char::from(*byte);
        return Err(format!(
            "header name {:?} contains {byte:?}, which RFC 9110 does not allow in a name",
            shown()
        ));
    }
    if let Some(byte) = value.iter().find(|byte| is_control(**byte)) {
        let byte = char::from(*byte);
        return Err(format!(
            "the value of header {:?} contains {byte:?}; a header is one line of text",
            shown()
        ));
    }
    if name.eq_ignore_ascii_case(b"content-length") {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits);
        // httpd counts with a sign.
        return match text.and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => Ok(Some(number.unsigned_abs())),
            None => Err(format!("Content-Length is {:?}, not a number", String::from_utf8_lossy(value))),
        };
    }
    Ok(None)
}

/// A control character other than the tab, which header values may contain.
fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// A character of an RFC 9110 token.
fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: &str) -> Head {
        Head { status: status.into(), ..Head::default() }
    }

    #[test]
    fn statuses() {
        for good in ["200 OK", "404 Not Found", "599", "200 ", "200 Gr\u{fc}n"] {
            assert_eq!(check_status(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in
            ["", "20", "OK", "100 Continue", "600 X", "999 X", "200OK", "200 a\r\nb", "2 00", "200 a\tb"]
        {
            assert!(check_status(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers() {
        assert_eq!(check_header(b"Content-Type", b"text/plain"), Ok(None));
        assert_eq!(check_header(b"content-length", b"12"), Ok(Some(12)));
        assert_eq!(check_header(b"X", "\u{fc}\t".as_bytes()), Ok(None));
        let bad: [(&str, &str); 7] = [
            ("", "x"),
            ("A B", "x"),
            ("A:", "x"),
            ("A", "x\r\nB: y"),
            ("A", "\0"),
            ("Content-Length", "-1"),
            ("Content-Length", "+1"),
        ];
        for (name, value) in bad {
            assert!(check_header(name.as_bytes(), value.as_bytes()).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn the_head_goes_out_once_and_excess_is_cut() {
        let mut response = Response::new(false);
        assert_eq!(response.piece(1), None);
        assert!(response.start(head("200 OK"), Some(4), false));
        let first = response.piece(3).unwrap();
        assert!(first.head.is_some());
        assert_eq!((first.length, first.excess), (3, false));
        assert_eq!(response.missing(), Some((1, 4)));
        assert_eq!(response.piece(3), Some(Piece { head: None, length: 1, excess: true }));
        assert_eq!(response.piece(3), Some(Piece { head: None, length: 0, excess: false }));
        assert_eq!(response.missing(), None);
    }

    #[test]
    fn a_head_is_replaced_only_with_leave_and_only_before_data() {
        let mut response = Response::new(false);
        assert!(response.start(head("200 OK"), None, false));
        assert!(!response.start(head("500 Oops"), None, false));
        assert!(response.start(head("500 Oops"), None, true));
        assert_eq!(response.piece(1).unwrap().head, Some(head("500 Oops")));
        assert!(!response.start(head("200 OK"), None, true));
    }

    #[test]
    fn content_length_is_derived_only_where_there_is_a_body() {
        for (status, request_is_head, length, derived) in [
            ("200 OK", false, 5, Some(5)),
            ("200 OK", true, 5, Some(5)),
            ("200 OK", true, 0, None),
            ("304 Not Modified", false, 0, None),
        ] {
            let mut response = Response::new(request_is_head);
            assert!(response.start(head(status), None, false));
            response.derive_content_length(length);
            assert_eq!(response.content_length, derived, "{status}");
        }
    }

    #[test]
    fn nothing_is_missing_where_no_body_is_due() {
        for (status, request_is_head) in [("200 OK", true), ("304 Not Modified", false)] {
            let mut response = Response::new(request_is_head);
            assert!(response.start(head(status), Some(10), false));
            response.take_head();
            assert_eq!(response.missing(), None, "{status}");
        }
    }
}
