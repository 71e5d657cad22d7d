//! The payload of the Request frame, and the small payloads of the reply's frames.
//!
//! Written in the httpd child and read in the daemon (`Request`), and the other way round.

use super::codec::{Decoder, Encoder, Malformed};
use crate::log::Level;
use crate::request::{BodyError, BodyLength, Environ, Head, Outcome, Request, Span};
use crate::wire::question;

/// A body length of the wire that means "chunked".
const CHUNKED: u64 = u64::MAX;

/// Writes everything but the environ's bytes and the body's first bytes, which follow the frame's
/// payload as they are: `environ` then `body`.
pub fn encode_request(out: &mut Vec<u8>, request: &Request<'_>) {
    question::encode_purpose(out, request.purpose);
    let mut e = Encoder::new(out);
    e.bytes(request.script);
    e.bytes(request.application_group);
    e.bytes(request.callable);
    e.u64(request.modified.unwrap_or(0));
    e.bool(request.head);
    e.bool(request.active);
    e.bool(request.takes_files);
    e.u64(match request.body {
        BodyLength::Known(length) => length,
        BodyLength::Chunked => CHUNKED,
    });
    e.u32(u32::try_from(request.environ.0.len()).expect("httpd bounds the size of a request's head"));
}

/// The request, and the bytes of its body that travelled with it.
pub fn decode_request(payload: &[u8]) -> Result<(Request<'_>, &[u8]), Malformed> {
    let mut d = Decoder::new(payload);
    let purpose = question::decode_purpose(&mut d)?;
    let (script, application_group, callable) = (d.bytes()?, d.bytes()?, d.bytes()?);
    let modified = Some(d.u64()?).filter(|modified| *modified > 0);
    let (head, active, takes_files) = (d.bool()?, d.bool()?, d.bool()?);
    let body = match d.u64()? {
        CHUNKED => BodyLength::Chunked,
        length => BodyLength::Known(length),
    };
    let environ_length = d.u32()? as usize;
    let (environ, first) = d.rest().split_at_checked(environ_length).ok_or(Malformed)?;
    let environ = Environ(environ);
    let record = None;
    let request = Request {
        purpose,
        script,
        application_group,
        callable,
        modified,
        head,
        active,
        takes_files,
        body,
        environ,
        record,
    };
    Ok((request, first))
}

pub fn encode_head(out: &mut Vec<u8>, head: &Head) {
    let mut e = Encoder::new(out);
    e.bytes(&head.status);
    e.u32(head.pairs().count() as u32);
    for (name, value) in head.pairs() {
        e.bytes(name);
        e.bytes(value);
    }
}

/// The status line, and the headers as pairs.
pub type ReceivedHead<'a> = (&'a [u8], Vec<(&'a [u8], &'a [u8])>);

pub fn decode_head(payload: &[u8]) -> Result<ReceivedHead<'_>, Malformed> {
    let mut d = Decoder::new(payload);
    let status = d.bytes()?;
    let headers = (0..d.u32()?).map(|_| Ok((d.bytes()?, d.bytes()?))).collect::<Result<_, Malformed>>()?;
    Ok((status, headers))
}

/// Offset and length of a File frame.
pub fn encode_file(out: &mut Vec<u8>, offset: u64, length: u64) {
    let mut e = Encoder::new(out);
    e.u64(offset);
    e.u64(length);
}

pub fn decode_file(payload: &[u8]) -> Result<(u64, u64), Malformed> {
    let mut d = Decoder::new(payload);
    Ok((d.u64()?, d.u64()?))
}

pub fn encode_log(out: &mut Vec<u8>, level: Level, line: &[u8]) {
    out.push(level as u8);
    out.extend_from_slice(line);
}

pub fn decode_log(payload: &[u8]) -> Result<(Level, &[u8]), Malformed> {
    let (level, line) = payload.split_first().ok_or(Malformed)?;
    Ok((Level::from_number(*level).ok_or(Malformed)?, line))
}

/// The payload of End: how a request ended, and when it began and ended in its process.
pub fn encode_end(out: &mut Vec<u8>, outcome: Outcome, span: Span) {
    let mut e = Encoder::new(out);
    e.u32(match outcome {
        Outcome::Complete => 0,
        Outcome::Failed(status) => status.into(),
    });
    e.u64(span.begun);
    e.u64(span.ended);
}

pub fn decode_end(payload: &[u8]) -> Result<(Outcome, Span), Malformed> {
    let mut d = Decoder::new(payload);
    let outcome = match d.u32()? {
        0 => Outcome::Complete,
        status => Outcome::Failed(u16::try_from(status).map_err(|_| Malformed)?),
    };
    Ok((outcome, Span { begun: d.u64()?, ended: d.u64()? }))
}

pub fn encode_body_error(out: &mut Vec<u8>, error: &BodyError) {
    let mut e = Encoder::new(out);
    e.u32(error.status.into());
    e.bytes(error.reason.as_bytes());
}

pub fn decode_body_error(payload: &[u8]) -> Result<BodyError, Malformed> {
    let mut d = Decoder::new(payload);
    let status = u16::try_from(d.u32()?).map_err(|_| Malformed)?;
    Ok(BodyError { status, reason: d.string()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Purpose;
    use crate::request::EnvironBuilder;

    #[test]
    fn a_request_survives_the_wire() {
        let mut environ = EnvironBuilder::default();
        environ.push(b"PATH_INFO", b"/");
        let request = Request {
            purpose: Purpose::Password { user: b"alice", password: b"" },
            script: b"/srv/app.wsgi",
            application_group: b"",
            callable: b"application",
            modified: Some(1),
            head: false,
            active: true,
            takes_files: false,
            body: BodyLength::Known(4),
            environ: environ.environ(),
            record: None,
        };
        let mut payload = Vec::new();
        encode_request(&mut payload, &request);
        payload.extend_from_slice(request.environ.0);
        payload.extend_from_slice(b"body");
        assert_eq!(decode_request(&payload), Ok((request, &b"body"[..])));
    }

    #[test]
    fn a_head_keeps_order_and_duplicates() {
        let mut head = Head { status: b"200 OK".to_vec(), ..Head::default() };
        for (name, value) in [("Set-Cookie", "a=1"), ("X", ""), ("Set-Cookie", "b=2")] {
            head.headers.push(name.as_bytes(), value.as_bytes());
        }
        let mut payload = Vec::new();
        encode_head(&mut payload, &head);
        let (status, headers) = decode_head(&payload).unwrap();
        assert_eq!(status, b"200 OK");
        assert_eq!(headers, [(&b"Set-Cookie"[..], &b"a=1"[..]), (b"X", b""), (b"Set-Cookie", b"b=2")]);
    }

    #[test]
    fn an_end_survives_the_wire() {
        let span = Span { begun: 1, ended: u64::MAX };
        for outcome in [Outcome::Complete, Outcome::Failed(500)] {
            let mut payload = Vec::new();
            encode_end(&mut payload, outcome, span);
            assert_eq!(decode_end(&payload), Ok((outcome, span)));
            assert_eq!(decode_end(&payload[..19]), Err(Malformed));
        }
    }

    #[test]
    fn every_level_survives_the_wire() {
        for number in 0..6 {
            let level = Level::from_number(number).unwrap();
            let mut payload = Vec::new();
            encode_log(&mut payload, level, b"line");
            assert_eq!(decode_log(&payload), Ok((level, &b"line"[..])));
        }
        assert_eq!(decode_log(&[6]), Err(Malformed));
    }
}
