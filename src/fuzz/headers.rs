//! What clients, proxies and applications say in headers and bodies.
//!
//! A part of `fuzz`.

use std::net::IpAddr;

use super::parts::{owned, texts};
use crate::config::network::Network;
use crate::config::proxy_headers::KNOWN;
use crate::exchange::hops::{address, elements, entries, parameter};
use crate::exchange::proxy::{ProxyView, Way};
use crate::request::{EnvironBuilder, Outcome};
use crate::wsgi::answer_check::AnswerCheck;
use crate::wsgi::chunks::Announced;

/// A network, and an address.
pub fn networks(input: &[u8]) {
    let Some(texts) = texts(input) else { return };
    let [network, other] = texts[..] else { return };
    let Ok(parsed) = Network::parse(network) else { return };
    let own = network.split_once('/').map_or(network, |(own, _)| own);
    if let Ok(own) = own.parse::<IpAddr>() {
        assert!(parsed.contains(own), "{network}");
    }
    if let Ok(other) = other.parse::<IpAddr>() {
        assert_eq!(parsed.contains(other), parsed.contains(other.to_canonical()));
    }
}

pub fn network_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"10.1.2.3\0::ffff:10.1.2.3",
        b"10.1.\x0010.1.2.3",
        b"10.1.0.0/255.255.0.0\x0010.2.0.0",
        b"2001:db8::/32\x002001:db8::1",
        b"10.0.0.0/8\x0011.0.0.0",
    ])
}

/// The first byte says which header proxies write and whether the proxies are known; the others are its
/// value.
pub fn forwarded(input: &[u8]) {
    let Some((choice, value)) = input.split_first() else { return };
    let header = KNOWN[usize::from(choice & 0x7f) % KNOWN.len()];
    let proxies = [Network::parse("10.0.0.0/8").expect("a network")];
    let known = choice & 0x80 != 0;
    let way = Way { listed: &KNOWN, proxies: known.then_some(&proxies[..]), peer: b"10.0.0.1" };
    let headers = [(header.name.as_bytes(), value)];
    let told = ProxyView::read(&way, headers.into_iter());
    let mut environ = EnvironBuilder::default();
    told.push(&mut environ);
    for (name, value) in environ.environ() {
        let is_address = || str::from_utf8(value).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
        assert!(name != b"REMOTE_ADDR" || is_address());
        assert!(!value.iter().any(u8::is_ascii_control));
    }
    let shown = told.shown(header.name.as_bytes(), value);
    assert!(shown.is_none_or(|shown| shown.len() <= 2 * value.len()));
    for element in elements(value).into_iter().chain(entries(value)) {
        let word = parameter(element, "for").unwrap_or_default();
        let _ = (address(&word), address(element));
    }
    // What a proxy that is known appends is the last hop, whatever a client has written before.
    if header.name == "Forwarded" {
        let all = [value, b", for=192.0.2.7"].concat();
        assert_eq!(elements(&all).last(), Some(&&b"for=192.0.2.7"[..]));
    }
}

pub fn forwarded_seeds() -> Vec<Vec<u8>> {
    let values: [&[u8]; 5] = [
        b"for=6.6.6.6;proto=http, For=\"[2001:db8::7]:80\";Proto=https;host=\"a.example:81\" ,for=10.0.0.9",
        b"6.6.6.6, 192.0.2.7,, 10.0.0.9:80",
        b"shop.example:8443",
        b"//shop//a/",
        b"https",
    ];
    let choices = (0..KNOWN.len() as u8).chain(0x80..0x80 + KNOWN.len() as u8);
    choices.flat_map(|choice| values.map(|value| [&[choice], value].concat())).collect()
}

/// The parts of an answer: each begins with its kind and ends with a zero byte.
pub fn answers(input: &[u8]) {
    let (mut check, mut length, mut sent, mut files) = (AnswerCheck::new(false), None, 0u64, 0);
    let mut heads = 0;
    for part in input.split(|byte| *byte == 0) {
        let Some((kind, rest)) = part.split_first() else { continue };
        let taken = match kind {
            b'h' => {
                let mut lines = rest.split(|byte| *byte == b'\n');
                let status = lines.next().unwrap_or_default();
                let headers = lines.filter_map(|line| {
                    let colon = line.iter().position(|byte| *byte == b':')?;
                    Some((&line[..colon], &line[colon + 1..]))
                });
                let taken = check.head(status, headers.clone());
                if taken.is_ok() {
                    heads += 1;
                    assert!(
                        (b"200"..=b"599").contains(&<&[u8; 3]>::try_from(&status[..3]).expect("a number"))
                    );
                    for (name, value) in headers {
                        assert!(!value.contains(&b'\r') && !name.eq_ignore_ascii_case(b"transfer-encoding"));
                        if name.eq_ignore_ascii_case(b"content-length") {
                            length = str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                        }
                    }
                }
                taken
            }
            b'd' | b'f' => {
                let amount = rest.iter().fold(0u64, |sum, byte| sum.wrapping_mul(251) + u64::from(*byte));
                let is_file = *kind == b'f';
                let taken = if is_file { check.file(amount) } else { check.data(amount) };
                if taken.is_ok() {
                    files += u32::from(is_file);
                    sent = sent.saturating_add(amount);
                }
                taken
            }
            _ => check.end(
                rest.first().map_or(Outcome::Complete, |byte| Outcome::Failed(u16::from(*byte) * 4)),
                false,
            ),
        };
        if taken.is_err() {
            return;
        }
        assert!(heads <= 1 && files <= 1 && length.is_none_or(|length| sent <= length));
    }
}

pub fn answer_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"h200 OK\nContent-Type:text/plain\nContent-Length:5\0d\x02\0f\x03\0e",
        b"h304 Not Modified\nETag:x\0e",
        b"h200 OK\nTransfer-Encoding:chunked\0dxxx\0e",
        b"h200 OK\0dxxxxxxxxxx\0dxxxxxxxxxx\0e\x7d",
    ])
}

/// The first byte says in which steps the others come.
pub fn chunks(input: &[u8]) {
    let Some((step, body)) = input.split_first() else { return };
    let taken = |step: usize| {
        let (mut announced, mut all) = (Announced::new(), Vec::new());
        for piece in body.chunks(step) {
            all.extend(announced.data(piece)?);
        }
        all.extend(announced.end()?);
        Ok::<_, &str>(all)
    };
    let data = taken(usize::from(*step).max(1));
    assert!(data.as_ref().is_ok_and(|data| data.len() <= body.len()) || data.is_err());
    // A longer first line is told from a text by what has come of it.
    if body.len() < 256 {
        assert_eq!(data, taken(1));
    }
}

pub fn chunk_seeds() -> Vec<Vec<u8>> {
    owned(&[
        b"\x035;a=\"b c\"\r\nhello\r\n00A  \r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"\x0712\r\n345\r\n6\r\n and what follows is a text",
        b"\xff0\r\n\r\n",
    ])
}
