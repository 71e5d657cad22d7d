//! What crosses between httpd's children and daemons, which a site can write itself.
//!
//! A part of `fuzz`. What is decoded is encoded again: both must mean the same.

use super::parts::owned;
use crate::log::Level;
use crate::question::{Purpose, Verdict};
use crate::request::{BodyError, BodyLength, EnvironBuilder, Head, Outcome, Request, Span};
use crate::scoreboard::{ProcessScore, Scoreboard, WorkerScore};
use crate::wire::codec::{Decoder, Malformed};
use crate::wire::frame::{self, HEADER, Inbox, Kind, Sender};
use crate::wire::question::{decode_purpose, decode_verdict, encode_purpose, encode_verdict};
use crate::wire::request::*;
use crate::wire::scoreboard::{decode_scoreboard, encode_scoreboard};

/// What a buffer of encoded bytes becomes.
fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// The first byte says who sends and in which steps the others arrive. However that is, the frames are the same,
/// as far as all of them are that side's.
pub fn frames(input: &[u8]) {
    let Some((step, mut stream)) = input.split_first() else { return };
    let from = if *step < 128 { Sender::Daemon } else { Sender::Child };
    let (mut inbox, all) = (Inbox::new(from), stream);
    for piece in all.chunks(usize::from(*step % 128).max(1)) {
        let space = inbox.space();
        assert!(space.len() >= piece.len() && space.len() <= 2 * all.len() + (128 << 10));
        space[..piece.len()].copy_from_slice(piece);
        inbox.received(piece.len());
        loop {
            let has_frame = inbox.has_frame();
            let expected = frame::peek(stream);
            let Ok(found) = inbox.next() else { return assert!(has_frame && is_refused(from, expected)) };
            assert_eq!(found.is_some(), has_frame);
            let Some((kind, payload)) = found else { break };
            assert_eq!(expected, Ok(Some((kind, payload.len()))));
            assert_eq!(stream[..HEADER], frame::header(kind, payload.len()));
            assert_eq!(&stream[HEADER..][..payload.len()], payload);
            stream = &stream[HEADER + payload.len()..];
        }
        inbox.shrink();
    }
    assert_eq!(inbox.is_empty(), stream.is_empty());
}

fn is_refused(from: Sender, announced: Result<Option<(Kind, usize)>, Malformed>) -> bool {
    announced.map_or(true, |found| found.is_some_and(|(kind, _)| kind.sender() != from))
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    let answer = encoded(|out| {
        frame::append(out, Kind::Hello, |out| out.extend_from_slice(&[1; 12]));
        frame::append(out, Kind::Log, |out| encode_log(out, Level::Error, b"line\n"));
        frame::append(out, Kind::Head, |out| encode_head(out, &head()));
        frame::append(out, Kind::Data, |out| out.extend_from_slice(b"hello"));
        frame::append(out, Kind::Want, |out| out.extend_from_slice(&[0, 1, 0, 0]));
        frame::append(out, Kind::File, |out| encode_file(out, 1, 2));
        frame::append(out, Kind::End, |out| encode_end(out, Outcome::Complete, Span { begun: 1, ended: 2 }));
        frame::append(out, Kind::Verdict, |out| out.extend_from_slice(b"abc"));
        frame::append(out, Kind::GiveBack, |_| ());
    });
    let request = encoded(|out| {
        for kind in [Kind::Request, Kind::Body, Kind::BodyEnd, Kind::BodyFailed] {
            frame::append(out, kind, |out| out.extend_from_slice(b"abc"));
        }
    });
    [(0, &answer), (3, &answer), (9, &answer), (137, &request)]
        .map(|(step, frames)| [&[step], &frames[..]].concat())
        .to_vec()
}

pub fn requests(input: &[u8]) {
    let Ok((request, body)) = decode_request(input) else { return };
    let again = encoded(|out| {
        encode_request(out, &request);
        out.extend_from_slice(request.environ.0);
        out.extend_from_slice(body);
    });
    assert_eq!(decode_request(&again), Ok((request.clone(), body)));
    let mut builder = EnvironBuilder::default();
    request.environ.for_each(|(name, value)| builder.push(name, value));
    assert!(builder.environ().0.len() <= request.environ.0.len());
    assert!(builder.environ().eq(request.environ));
    let _ = request.purpose.arguments();
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    let mut environ = EnvironBuilder::default();
    environ.push(b"PATH_INFO", b"/a");
    environ.push(b"HTTP_X", b"");
    let request = |body| Request {
        purpose: Purpose::Password { user: b"alice", password: b"" },
        script: b"/srv/app.wsgi",
        application_group: b"",
        callable: b"application",
        modified: Some(1),
        head: false,
        active: true,
        takes_files: true,
        body,
        environ: environ.environ(),
        record: None,
    };
    [BodyLength::Known(4), BodyLength::Chunked]
        .map(|body| {
            encoded(|out| {
                encode_request(out, &request(body));
                out.extend_from_slice(environ.environ().0);
                out.extend_from_slice(b"body");
            })
        })
        .to_vec()
}

const PURPOSES: [Purpose<'_>; 6] = [
    Purpose::Application,
    Purpose::Access { host: b"localhost" },
    Purpose::Password { user: b"u", password: b"p" },
    Purpose::RealmHash { user: b"u", realm: b"r" },
    Purpose::Groups { user: b"u" },
    Purpose::Dispatch,
];

pub fn questions(input: &[u8]) {
    let Ok(purpose) = decode_purpose(&mut Decoder::new(input)) else { return };
    let again = encoded(|out| encode_purpose(out, purpose));
    assert!(input.starts_with(&again) && !format!("{purpose:?}").is_empty());
}

pub fn question_seeds() -> Vec<Vec<u8>> {
    PURPOSES.map(|purpose| encoded(|out| encode_purpose(out, purpose))).to_vec()
}

pub fn verdicts(input: &[u8]) {
    let Ok(verdict) = decode_verdict(input) else { return };
    assert_eq!(decode_verdict(&encoded(|out| encode_verdict(out, &verdict))), Ok(verdict.clone()));
    let answered = PURPOSES.iter().filter(|purpose| verdict.answers(**purpose)).count();
    assert!(answered <= 3 && !verdict.answers(Purpose::Application));
}

pub fn verdict_seeds() -> Vec<Vec<u8>> {
    [
        Verdict::Undecided,
        Verdict::Refused,
        Verdict::Granted,
        Verdict::Text(vec![b'a'; 32]),
        Verdict::Names(vec![b"a".to_vec(), Vec::new()]),
        Verdict::Target([None, Some(Vec::new()), Some(b"x".to_vec())]),
    ]
    .map(|verdict| encoded(|out| encode_verdict(out, &verdict)))
    .to_vec()
}

fn head() -> Head {
    head_of(b"200 OK", [(&b"Content-Length"[..], &b"5"[..]), (b"X", b"")])
}

fn head_of<'h>(status: &[u8], pairs: impl IntoIterator<Item = (&'h [u8], &'h [u8])>) -> Head {
    let mut head = Head { status: status.to_vec(), ..Head::default() };
    pairs.into_iter().for_each(|(name, value)| head.headers.push(name, value));
    head
}

pub fn heads(input: &[u8]) {
    let Ok((status, headers)) = decode_head(input) else { return };
    if headers.iter().all(|(name, _)| u16::try_from(name.len()).is_ok()) {
        let again = encoded(|out| encode_head(out, &head_of(status, headers)));
        assert!(input.starts_with(&again));
    }
}

pub fn head_seeds() -> Vec<Vec<u8>> {
    vec![encoded(|out| encode_head(out, &head()))]
}

/// The first byte says of which kind the payload is.
pub fn payloads(input: &[u8]) {
    let Some((kind, payload)) = input.split_first() else { return };
    let again = match kind {
        0 => decode_file(payload).map(|(offset, length)| encoded(|out| encode_file(out, offset, length))),
        1 => decode_log(payload).map(|(level, line)| encoded(|out| encode_log(out, level, line))),
        2 => decode_end(payload).map(|(outcome, span)| encoded(|out| encode_end(out, outcome, span))),
        _ => decode_body_error(payload).map(|error| encoded(|out| encode_body_error(out, &error))),
    };
    if let Ok(again) = again {
        assert!(payload.starts_with(&again));
    }
}

pub fn payload_seeds() -> Vec<Vec<u8>> {
    let error = BodyError { status: 408, reason: "too slow".to_string() };
    vec![
        encoded(|out| encode_file(out, 1, 2)),
        encoded(|out| encode_log(out, Level::Info, b"line\n")),
        encoded(|out| encode_end(out, Outcome::Failed(500), Span { begun: 1, ended: 2 })),
        encoded(|out| encode_body_error(out, &error)),
    ]
    .into_iter()
    .zip(0..)
    .map(|(payload, kind)| [&[kind], &payload[..]].concat())
    .collect()
}

pub fn scoreboard(input: &[u8]) {
    let Ok(scoreboard) = decode_scoreboard(input) else { return };
    assert_eq!(decode_scoreboard(&encode_scoreboard(&scoreboard)), Ok(scoreboard));
}

pub fn scoreboard_seeds() -> Vec<Vec<u8>> {
    let worker = WorkerScore {
        thread_num: 3,
        generation: 1,
        status: b'W',
        access_count: 17,
        bytes_served: 1 << 40,
        start_time: 5,
        stop_time: 0,
        last_used: 6,
        client: b"::1".to_vec(),
        request: b"GET / HTTP/1.1".to_vec(),
        vhost: b"blog".to_vec(),
    };
    let process = ProcessScore { pid: 4711, generation: 1, quiescing: true, workers: vec![worker] };
    let scoreboard = Scoreboard {
        server_limit: 2,
        thread_limit: 64,
        running_generation: 1,
        restart_time: 1,
        current_time: 2,
        processes: vec![process],
    };
    owned(&[&encode_scoreboard(&scoreboard)])
}
