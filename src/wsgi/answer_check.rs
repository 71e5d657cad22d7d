//! What a process of a site may say for an answer, in which order and how much. Pure.
//!
//! Runs in httpd children, over the frames of a daemon: whatever runs in a daemon can write frames of its own, and
//! what the child passes on unchecked could end up in another site's answer on the same connection. The rules are
//! those that `start_response` and the senders keep (`response`).

use super::hop_by_hop::Dropped;
use super::response::{check_header, check_status};
use crate::request::Outcome;

/// Of one answer; each part is shown to it before it is passed on.
#[derive(Debug, Default)]
pub struct AnswerCheck {
    head: bool,
    file: bool,
    /// Of the body, where the head says so.
    left: Option<u64>,
}

/// Why a part may not be passed on.
pub type Violation = String;

impl AnswerCheck {
    pub fn head<'h>(
        &mut self,
        status: &[u8],
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Result<(), Violation> {
        if std::mem::replace(&mut self.head, true) {
            return Err("a second head".to_string());
        }
        check_status(status)?;
        for (name, value) in headers {
            if Dropped::default().takes(name, value) {
                return Err(format!("the header {}, which is httpd's", String::from_utf8_lossy(name)));
            }
            if let Some(length) = check_header(name, value)? {
                if self.left.replace(length).is_some_and(|other| other != length) {
                    return Err("two lengths".to_string());
                }
            }
        }
        Ok(())
    }

    pub fn data(&mut self, length: u64) -> Result<(), Violation> {
        if !self.head {
            return Err("data before a head".to_string());
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

    pub fn end(&self, outcome: Outcome) -> Result<(), Violation> {
        match outcome {
            Outcome::Complete if !self.head => Err("an end without a head".to_string()),
            Outcome::Failed(status) if !(400..=599).contains(&status) => {
                Err(format!("a failure with status {status}"))
            }
            Outcome::Complete | Outcome::Failed(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(headers: &[(&'static str, &'static str)]) -> Result<AnswerCheck, Violation> {
        let mut check = AnswerCheck::default();
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        check.head(b"200 OK", headers).map(|()| check)
    }

    #[test]
    fn an_ordinary_answer_passes() {
        let mut check = started(&[("Content-Type", "text/plain"), ("Content-Length", "5")]).unwrap();
        assert_eq!(check.data(2), Ok(()));
        assert_eq!(check.file(3), Ok(()));
        assert_eq!(check.end(Outcome::Complete), Ok(()));
        let mut endless = started(&[]).unwrap();
        assert_eq!(endless.data(u64::MAX), Ok(()));
        assert_eq!(endless.data(u64::MAX), Ok(()));
        assert_eq!(AnswerCheck::default().end(Outcome::Failed(500)), Ok(()));
    }

    #[test]
    fn what_no_application_can_say_is_a_violation() {
        assert!(started(&[("Transfer-Encoding", "chunked")]).is_err());
        assert!(started(&[("Content-Length", "5"), ("content-length", "6")]).is_err());
        assert!(started(&[("X", "a\r\nb")]).is_err());
        for status in ["101 Switching Protocols", "099 X", "1000", "600 X", ""] {
            assert!(AnswerCheck::default().head(status.as_bytes(), [].into_iter()).is_err(), "{status}");
        }
        let mut check = started(&[("Content-Length", "5")]).unwrap();
        assert!(check.head(b"200 OK", [].into_iter()).is_err());
        assert!(check.data(6).is_err());
        assert!(AnswerCheck::default().data(0).is_err() && AnswerCheck::default().file(0).is_err());
        let mut check = started(&[]).unwrap();
        assert!(check.file(1).is_ok() && check.file(1).is_err());
        assert!(AnswerCheck::default().end(Outcome::Complete).is_err());
        for status in [0, 101, 200, 304, 399, 600] {
            assert!(AnswerCheck::default().end(Outcome::Failed(status)).is_err(), "{status}");
        }
    }
}
