//! A daemon's answer, frame by frame, on its way to the client.
//!
//! Runs in httpd children: it reads a `Conversation` and drives an `Answer`.

use super::answer::{Answer, Cut};
use super::told::tell;
use crate::apache::module::Flow;
use crate::client::{Conversation, LogTally, Trouble};
use crate::log::{Code, Message};
use crate::request::{Outcome, Request, Span};
use crate::wire::codec::Malformed;
use crate::wire::frame::Kind;
use crate::wire::request as payload;
use crate::wsgi::answer_check::{AnswerCheck, Violation};

/// What ends an answer before its last frame.
enum AnswerEnd {
    Httpd(Cut),
    Daemon(Trouble),
}

impl From<Cut> for AnswerEnd {
    fn from(cut: Cut) -> AnswerEnd {
        AnswerEnd::Httpd(cut)
    }
}

impl From<Trouble> for AnswerEnd {
    fn from(trouble: Trouble) -> AnswerEnd {
        AnswerEnd::Daemon(trouble)
    }
}

impl From<Malformed> for AnswerEnd {
    fn from(_: Malformed) -> AnswerEnd {
        AnswerEnd::Daemon(malformed())
    }
}

impl From<Violation> for AnswerEnd {
    fn from(violation: Violation) -> AnswerEnd {
        AnswerEnd::Daemon(Trouble::Misbehaved(violation))
    }
}

/// Passes the whole answer on; the connection to the daemon is kept if it can be used again.
pub fn relay(mut answer: Answer<'_, '_>, mut conversation: Conversation<'_>, wsgi: &Request<'_>) -> Flow {
    let group = conversation.group().to_string();
    let (mut check, mut tally) = (AnswerCheck::new(wsgi.head), LogTally::default());
    let ended = frames(&mut answer, &mut conversation, &mut check, &mut tally);
    if let Some(message) = left_out(&tally, &group) {
        answer.log_message(&message);
    }
    match ended {
        Ok((outcome, span)) => {
            tell(answer.request(), &group, wsgi, conversation.run(span));
            conversation.finish();
            answer.conclude(outcome)
        }
        Err(AnswerEnd::Httpd(cut)) => answer.conclude_cut(cut),
        Err(AnswerEnd::Daemon(trouble)) => {
            let (status, message) = describe(&trouble, &group);
            answer.log_message(&message);
            answer.give_up(status)
        }
    }
}

/// Reads frames to the last one.
fn frames(
    answer: &mut Answer<'_, '_>,
    conversation: &mut Conversation<'_>,
    check: &mut AnswerCheck,
    tally: &mut LogTally,
) -> Result<(Outcome, Span), AnswerEnd> {
    let (delay, budget) = (conversation.flush_delay(), conversation.log_budget());
    loop {
        if answer.is_waiting()
            && !conversation.is_ready()
            && !conversation.is_ready_until(answer.flush_time(delay))
        {
            answer.flush()?;
        }
        let (kind, bytes) = conversation.frame(answer.incoming())?;
        match kind {
            Kind::Log => {
                let (level, line) = payload::decode_log(bytes)?;
                if budget.allows(tally, line.len()) {
                    answer.log(level, line);
                }
            }
            Kind::Head => {
                let (status, headers) = payload::decode_head(bytes)?;
                check.head(status, headers.iter().copied())?;
                answer.head(status, headers.into_iter());
            }
            Kind::File => {
                let (offset, length) = payload::decode_file(bytes)?;
                check.file(length)?;
                let file = conversation.file()?;
                answer.file(file, offset, length)?;
            }
            Kind::Data => {
                check.data(bytes.len() as u64)?;
                answer.data(bytes)?;
            }
            Kind::Want => {
                let most = bytes.try_into().map(u32::from_le_bytes).map_err(|_| Malformed)?;
                check.want(most)?;
                match answer.body(most as usize)? {
                    Ok(piece) if piece.is_empty() => conversation.send_body_end()?,
                    Ok(piece) => conversation.send_body(&piece)?,
                    Err(error) => conversation.send_body_error(&error)?,
                }
                answer.incoming().read_on();
            }
            Kind::End => {
                let (outcome, span) = payload::decode_end(bytes)?;
                check.end(outcome, conversation.has_file())?;
                return Ok((outcome, span));
            }
            other => return Err(misplaced(other).into()),
        }
    }
}

pub fn malformed() -> Trouble {
    Trouble::Misbehaved("a frame whose payload is malformed".to_string())
}

pub fn misplaced(kind: Kind) -> Trouble {
    Trouble::Misbehaved(format!("a frame of the kind {kind:?} where none may stand"))
}

/// What the log does not say of a request.
pub fn left_out(tally: &LogTally, group: &str) -> Option<Message> {
    (tally.left_out > 0).then(|| {
        let text = format!(
            "{} lines of this request were left out: processes of group '{group}' log more than 4 MiB a second, or 16 \
             MiB for a request",
            tally.left_out
        );
        Message::new(Code::LinesLeftOut, text)
    })
}

/// Status and message for a request that got no answer.
pub fn describe(trouble: &Trouble, group: &str) -> (u16, Message) {
    match trouble {
        Trouble::Unavailable(text) => (503, Message::new(Code::GroupUnavailable, text.clone())),
        Trouble::TimedOut(text) => (504, Message::new(Code::GroupSilent, text.clone())),
        Trouble::Queued(text) => (504, Message::new(Code::QueueTimeout, text.clone())),
        Trouble::Misbehaved(what) => {
            let text = format!(
                "a process of group '{group}' sent what no answer may have: {what}. Nothing of it is passed on from there; \
                 an application cannot do this by WSGI, so find out what runs in the group"
            );
            (502, Message::new(Code::AnswerRefused, text))
        }
        Trouble::Died => {
            let text = format!(
                "the process of group '{group}' that ran the request ended before the answer was complete; the \
                 reason is in the error log of the group's virtual host"
            );
            (502, Message::new(Code::ProcessLost, text))
        }
    }
}
