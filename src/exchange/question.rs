//! A question to a script, from an httpd child to the process that has the script, and its verdict back.
//!
//! Runs in httpd children. What a daemon says is checked: one verdict that answers the question, and log lines.

use super::body::ClientBody;
use super::relay::{describe, left_out, malformed, misplaced};
use super::stock::Stock;
use crate::apache::RequestRec;
use crate::apache::log;
use crate::client::{Client, LogTally, Trouble};
use crate::log::{Code, Message};
use crate::question::Verdict;
use crate::request::{Outcome, Request};
use crate::wire::codec::Malformed;
use crate::wire::frame::Kind;
use crate::wire::question::decode_verdict;
use crate::wire::request::{decode_end, decode_log};

/// What the script has said, if that answers the question. Without a verdict the reason is the message, or in
/// the log already.
pub fn checked(question: &Request<'_>, verdict: Option<Verdict>) -> Result<Verdict, Option<Message>> {
    match verdict {
        Some(verdict) if verdict.answers(question.purpose) => Ok(verdict),
        Some(_) => {
            let text = "the process that was asked gave an answer that no script may give; access is refused";
            Err(Some(Message::new(Code::VerdictMalformed, text)))
        }
        None => Err(None),
    }
}

/// Asks a process of a group. None where it gave no verdict, for a reason that is in the log.
pub fn ask_daemon(
    request: &RequestRec<'_>,
    client: &Client,
    question: &Request<'_>,
) -> Result<Option<Verdict>, Message> {
    let mut tally = LogTally::default();
    let mut frames = || -> Result<Option<Verdict>, Trouble> {
        let mut nothing = ClientBody::new(request, question.body, Stock::default());
        let mut conversation = client.open(question, &[], &mut nothing)?;
        let mut verdict = None;
        let wrong = |_: Malformed| malformed();
        loop {
            match conversation.frame(&mut nothing)? {
                (Kind::Log, bytes) => {
                    let (level, line) = decode_log(bytes).map_err(wrong)?;
                    if client.log_budget.allows(&mut tally, line.len()) {
                        log::request(request, level, line);
                    }
                }
                (Kind::Verdict, bytes) if verdict.is_none() => {
                    verdict = Some(decode_verdict(bytes).map_err(wrong)?);
                }
                (Kind::End, bytes) => {
                    let (outcome, _) = decode_end(bytes).map_err(wrong)?;
                    conversation.finish();
                    return Ok(verdict.filter(|_| outcome == Outcome::Complete));
                }
                (other, _) => return Err(misplaced(other)),
            }
        }
    };
    let said = frames();
    if let Some(message) = left_out(&tally, &client.group.name) {
        log::request_message(request, &message);
    }
    said.map_err(|trouble| describe(&trouble, &client.group.name).1)
}
