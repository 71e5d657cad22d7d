//! What supervisors and daemons tell each other, and what one parent leaves to the next.
//!
//! A part of `fuzz`. A site can write reports of its own; the others come from this module.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::parts::owned;
use crate::config::interpreter::InterpreterOptions;
use crate::config::process_group::{Origin, ProcessGroup};
use crate::config::server_facts::ServerFacts;
use crate::control::launch::Launch;
use crate::control::listener::retained;
use crate::control::message::{LONGEST_REPORT, Loads, Order, Report, Work};
use crate::control::reason::Reason;
use crate::control::secret::Secret;
use crate::log::{Code, Message};
use crate::os;
use crate::script::{Holder, Holding, Preload};
use crate::wire::codec::Encoder;

fn encoded(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("the value was read, and can be written")
}

/// Writes what was read, which may cut it, and reads that: from then on it stays as it is. Bytes, because not
/// every number equals itself.
fn again<T: Serialize + DeserializeOwned>(input: &[u8]) -> Option<Vec<u8>> {
    let bytes = encoded(&postcard::from_bytes::<T>(input).ok()?);
    let read: T = postcard::from_bytes(&bytes).expect("what was written can be read");
    assert_eq!(encoded(&read), bytes);
    Some(bytes)
}

pub fn reports(input: &[u8]) {
    if let Some(bytes) = again::<Report>(input) {
        assert!(bytes.len() <= LONGEST_REPORT);
    }
}

pub fn report_seeds() -> Vec<Vec<u8>> {
    let script = "/srv/blog/wsgi.py".to_string();
    let long = "é".repeat(3_000);
    let code = Code::from_number(315).expect("the message of a process of another build");
    let holding = |by| Holding { what: "port 9100".to_string(), by };
    [
        Report::Ready { loads: Loads { loaded: 3, failed: 1, forgotten: 2 }, python: [3, 9, 2] },
        Report::Loaded { script: script.clone(), application_group: "a".into(), loaded: 1 },
        Report::Held { script: script.clone(), holding: holding(Holder::OfGroup(4711)) },
        Report::Held { script: long.clone(), holding: holding(Holder::Stranger) },
        Report::Reload { path: script.clone(), modified: -1 },
        Report::ReloadRequired { path: script },
        Report::Failed(Message::new(code, long)),
        Report::Renew(Reason::CpuTimeLimit),
        Report::Heard,
        Report::Born(4711),
        Report::AskScoreboard,
    ]
    .iter()
    .map(encoded)
    .collect()
}

/// The daemon receives into a buffer of sixteen bytes.
pub fn orders(input: &[u8]) {
    if let Some(bytes) = again::<Order>(input) {
        assert!(bytes.len() <= 16);
    }
}

pub fn order_seeds() -> Vec<Vec<u8>> {
    let work = Work { thread: u32::MAX, number: u32::MAX };
    [
        Order::Serve,
        Order::Drain(Reason::MaximumRequests),
        Order::Stop(Reason::Shutdown),
        Order::Interrupt(work),
        Order::Expire(work),
        Order::ShowStacks,
    ]
    .iter()
    .map(encoded)
    .collect()
}

/// What follows the build.
pub fn launch(input: &[u8]) {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).bytes(os::build().as_bytes());
    bytes.extend_from_slice(input);
    let Ok(launch) = Launch::decode(&bytes) else { return };
    let written = launch.encode().expect("what was read can be written");
    let read = Launch::decode(&written).expect("what was written can be read");
    assert_eq!(read.encode().expect("as before"), written);
    assert!(Launch::decode(input).is_err(), "no build, or another");
}

pub fn launch_seeds() -> Vec<Vec<u8>> {
    let mut group = ProcessGroup::new("blog", Origin { file: "site.conf".into(), line: 3 });
    group.home = Some("/srv/blog".into());
    group.env.push(("NAME".into(), "value".into()));
    let own = InterpreterOptions { own_gil: true, switch_interval: 0.01, ..InterpreterOptions::default() };
    let preload = Preload {
        script: "/srv/blog/wsgi.py".into(),
        application_group: String::new(),
        callable: Some("application".into()),
    };
    let launch = Launch {
        group,
        slot: 1,
        generation: 3,
        httpd_uid: 33,
        secret: Secret::from_bytes(&[7; 32]).expect("32 bytes"),
        server: ServerFacts {
            version: [2, 4, 57],
            description: "Apache".into(),
            mpm_name: "event".into(),
            build_date: "2026-11-12".into(),
            processes: 16,
            threads: 25,
        },
        socket_timeout: Duration::from_secs(60),
        interpreters: vec![(None, InterpreterOptions::default()), (Some("own".into()), own)],
        finish: true,
        template: false,
        preload: vec![preload.clone()],
        learned: vec![preload],
    };
    vec![encoded(&launch)]
}

pub fn retained(input: &[u8]) {
    if let Ok((_, records)) = retained::read(input) {
        // Each takes some room in what was read.
        assert!(records.len() <= input.len() / 32);
    }
}

pub fn retained_seeds() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    [retained::FORM, 7, 2].into_iter().for_each(|number| encoder.u32(number));
    for descriptor in [5, -1] {
        encoder.bytes(b"blog");
        encoder.bytes(b"/run/wsgi");
        encoder.u32(100);
        encoder.i64(33);
        encoder.bytes(b"1001");
        encoder.bytes(b"0.1.0");
        encoder.bytes(b"/run/wsgi.1.1.sock");
        [descriptor; 3].into_iter().for_each(|number| encoder.i64(number));
    }
    owned(&[&out, &out[..4]])
}
