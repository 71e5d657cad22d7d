//! What a process of a site may say for an answer, in which order and how much. Pure.
//!
//! Runs in httpd children, over the frames of a daemon: whatever runs in a daemon can write frames of its own, and
//! what the child passes on unchecked could end up in another site's answer on the same connection. The rules are
//! those that `start_response` and the senders keep (`response`).

use super::hop_by_hop::Dropped;
use super::response::{bodyless, check_header, check_status};
use crate::request::{MOST_HEADERS, Outcome, local_location};

/// Of one answer; each part is shown to it before it is passed on.
#[derive(Debug)]
pub struct AnswerCheck {
    head: bool,
    file: bool,
    /// Of the body, where the head says so.
    left: Option<u64>,
    /// The client expects no body, whatever the head says of its length.
    bodyless: bool,
}

/// Why a part may not be passed on.
pub type Violation = String;

/// What a message shows of a process's words, in bytes.
const SHOWN: usize = 300;

impl AnswerCheck {
    /// `head_request`: to a request whose method is HEAD.
    pub fn new(head_request: bool) -> AnswerCheck {
        AnswerCheck { head: false, file: false, left: None, bodyless: head_request }
    }

    pub fn head<'h>(
        &mut self,
        status: &[u8],
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone,
    ) -> Result<(), Violation> {
        if std::mem::replace(&mut self.head, true) {
            return Err("a second head".to_string());
        }
        check_status(status).map_err(shortened)?;
        if headers.clone().count() > MOST_HEADERS {
            return Err(format!("more than {MOST_HEADERS} headers"));
        }
        for (name, value) in headers.clone() {
            if Dropped::default().takes(name, value) {
                return Err(format!("the header {}, which is httpd's", String::from_utf8_lossy(name)));
            }
            if let Some(length) = check_header(name, value).map_err(shortened)?
                && self.left.replace(length).is_some()
            {
                return Err("two Content-Length headers".to_string());
            }
        }
        self.bodyless |= bodyless(status) || local_location(status, headers).is_some();
        Ok(())
    }

    pub fn data(&mut self, length: u64) -> Result<(), Violation> {
        if !self.head {
            return Err("data before a head".to_string());
        }
        if length == 0 {
            return Err("data of no bytes".to_string());
        }
        let Some(left) = self.left else { return Ok(()) };
        self.left = Some(left.checked_sub(length).ok_or("more data than its Content-Length says")?);
        Ok(())
    }

    pub fn file(&mut self, length: u64) -> Result<(), Violation> {
        if std::mem::replace(&mut self.file, true) {
            return Err("a second file".to_string());
        }
        self.data(length)
    }

    /// So many bytes of the client's body are asked for.
    pub fn want(&self, most: u32) -> Result<(), Violation> {
        if most == 0 { Err("a wish for nothing".to_string()) } else { Ok(()) }
    }

    /// `descriptor`: one is left that no file frame was about.
    pub fn end(&self, outcome: Outcome, descriptor: bool) -> Result<(), Violation> {
        if descriptor {
            return Err("a descriptor without a file".to_string());
        }
        match outcome {
            Outcome::Complete if !self.head => Err("an end without a head".to_string()),
            Outcome::Complete if self.left.is_some_and(|left| left > 0) && !self.bodyless => {
                Err("less data than its Content-Length says".to_string())
            }
            Outcome::Failed(status) if !(400..=599).contains(&status) => {
                Err(format!("a failure with status {status}"))
            }
            Outcome::Complete | Outcome::Failed(_) => Ok(()),
        }
    }
}

fn shortened(mut text: String) -> Violation {
    if text.len() > SHOWN {
        let cut = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Outcome = Outcome::Complete;

    fn with_status(status: &str, headers: &[(&'static str, &'static str)]) -> Result<AnswerCheck, Violation> {
        let mut check = AnswerCheck::new(false);
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        check.head(status.as_bytes(), headers).map(|()| check)
    }

    fn started(headers: &[(&'static str, &'static str)]) -> Result<AnswerCheck, Violation> {
        with_status("200 OK", headers)
    }

    #[test]
    fn an_ordinary_answer_passes() {
        let mut check = started(&[("Content-Type", "text/plain"), ("Content-Length", "5")]).unwrap();
        assert_eq!(check.data(2), Ok(()));
        assert_eq!(check.file(3), Ok(()));
        assert_eq!(check.end(GOOD, false), Ok(()));
        let mut endless = started(&[]).unwrap();
        assert_eq!(endless.data(u64::MAX), Ok(()));
        assert_eq!(endless.data(u64::MAX), Ok(()));
        assert_eq!(AnswerCheck::new(false).end(Outcome::Failed(500), false), Ok(()));
        assert_eq!(AnswerCheck::new(false).want(1), Ok(()));
    }

    #[test]
    fn a_length_may_be_without_data_where_the_client_expects_none() {
        let length = ("Content-Length", "5");
        for (status, headers) in [
            ("304 Not Modified", vec![length]),
            ("204 No Content", vec![length]),
            ("200 OK", vec![length, ("Location", "/page")]),
        ] {
            assert_eq!(with_status(status, &headers).unwrap().end(GOOD, false), Ok(()), "{status}");
        }
        let mut check = AnswerCheck::new(true);
        let headers = [(&b"Content-Length"[..], &b"5"[..])];
        assert_eq!(check.head(b"200 OK", headers.into_iter()), Ok(()));
        assert_eq!(check.end(GOOD, false), Ok(()));
        assert!(started(&[length]).unwrap().end(GOOD, false).is_err());
        assert!(started(&[length]).unwrap().end(Outcome::Failed(500), false).is_ok());
    }

    #[test]
    fn what_no_application_can_say_is_a_violation() {
        assert!(started(&[("Transfer-Encoding", "chunked")]).is_err());
        assert!(started(&[("Content-Length", "5"), ("content-length", "5")]).is_err());
        assert!(started(&[("Content-Length", "9223372036854775808")]).is_err());
        assert!(started(&[("X", "a\r\nb")]).is_err());
        assert!(started(&vec![("X", "a"); MOST_HEADERS + 1]).is_err());
        for status in ["101 Switching Protocols", "099 X", "1000", "600 X", ""] {
            assert!(with_status(status, &[]).is_err(), "{status}");
        }
        let mut check = started(&[("Content-Length", "5")]).unwrap();
        assert!(check.head(b"200 OK", [].into_iter()).is_err());
        assert!(check.data(6).is_err() && check.data(0).is_err());
        let mut nothing = AnswerCheck::new(false);
        assert!(nothing.data(1).is_err() && nothing.file(1).is_err() && nothing.want(0).is_err());
        let mut check = started(&[]).unwrap();
        assert!(check.file(1).is_ok() && check.file(1).is_err());
        assert!(check.end(GOOD, true).is_err() && AnswerCheck::new(false).end(GOOD, false).is_err());
        for status in [0, 101, 200, 304, 399, 600] {
            assert!(AnswerCheck::new(false).end(Outcome::Failed(status), false).is_err(), "{status}");
        }
    }

    #[test]
    fn a_message_shows_little_of_what_a_process_says() {
        let status = format!("2{}", "\u{e4}".repeat(100_000));
        let violation = with_status(&status, &[]).map(drop).unwrap_err();
        assert!(violation.len() < 310 && violation.ends_with("..."), "{}", violation.len());
    }
}
