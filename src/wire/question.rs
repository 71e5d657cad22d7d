//! What a Request frame says of its purpose, and the payload of the Verdict frame.
//!
//! The purpose is written in the httpd child and read in the daemon, the verdict the other way round. What a
//! daemon says comes from a stranger: the child also checks that the verdict answers the purpose.

use super::codec::{Decoder, Encoder, Malformed};
use crate::question::{Purpose, Verdict};

pub fn encode_purpose(out: &mut Vec<u8>, purpose: Purpose<'_>) {
    let mut e = Encoder::new(out);
    e.u8(match purpose {
        Purpose::Application => 0,
        Purpose::Access { .. } => 1,
        Purpose::Password { .. } => 2,
        Purpose::RealmHash { .. } => 3,
        Purpose::Groups { .. } => 4,
        Purpose::Dispatch => 5,
    });
    for argument in purpose.arguments() {
        e.bytes(argument);
    }
}

pub fn decode_purpose<'a>(d: &mut Decoder<'a>) -> Result<Purpose<'a>, Malformed> {
    Ok(match d.u8()? {
        0 => Purpose::Application,
        1 => Purpose::Access { host: d.bytes()? },
        2 => Purpose::Password { user: d.bytes()?, password: d.bytes()? },
        3 => Purpose::RealmHash { user: d.bytes()?, realm: d.bytes()? },
        4 => Purpose::Groups { user: d.bytes()? },
        5 => Purpose::Dispatch,
        _ => return Err(Malformed),
    })
}

pub fn encode_verdict(out: &mut Vec<u8>, verdict: &Verdict) {
    let mut e = Encoder::new(out);
    match verdict {
        Verdict::Undecided => e.u8(0),
        Verdict::Refused => e.u8(1),
        Verdict::Granted => e.u8(2),
        Verdict::Text(text) => {
            e.u8(3);
            e.bytes(text);
        }
        Verdict::Names(names) => {
            e.u8(4);
            e.u32(names.len() as u32);
            for name in names {
                e.bytes(name);
            }
        }
        Verdict::Target(names) => {
            e.u8(5);
            for name in names {
                e.bool(name.is_some());
                e.bytes(name.as_deref().unwrap_or_default());
            }
        }
    }
}

pub fn decode_verdict(payload: &[u8]) -> Result<Verdict, Malformed> {
    let mut d = Decoder::new(payload);
    Ok(match d.u8()? {
        0 => Verdict::Undecided,
        1 => Verdict::Refused,
        2 => Verdict::Granted,
        3 => Verdict::Text(d.bytes()?.to_vec()),
        4 => {
            let names = (0..d.u32()?).map(|_| d.bytes().map(<[u8]>::to_vec));
            Verdict::Names(names.collect::<Result<_, Malformed>>()?)
        }
        5 => {
            let mut name = || Ok(Some(d.bool()?).filter(|there| *there).and(Some(d.bytes()?.to_vec())));
            Verdict::Target([name()?, name()?, name()?])
        }
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_survives_the_wire() {
        for purpose in [
            Purpose::Application,
            Purpose::Access { host: b"localhost" },
            Purpose::Password { user: b"u", password: b"\xff" },
            Purpose::RealmHash { user: b"", realm: b"r" },
            Purpose::Groups { user: b"u" },
            Purpose::Dispatch,
        ] {
            let mut payload = Vec::new();
            encode_purpose(&mut payload, purpose);
            assert_eq!(decode_purpose(&mut Decoder::new(&payload)), Ok(purpose));
        }
        assert_eq!(decode_purpose(&mut Decoder::new(&[6])), Err(Malformed));
    }

    #[test]
    fn every_verdict_survives_the_wire() {
        for verdict in [
            Verdict::Undecided,
            Verdict::Refused,
            Verdict::Granted,
            Verdict::Text(b"alice".to_vec()),
            Verdict::Names(vec![b"a".to_vec(), Vec::new()]),
            Verdict::Target([None, Some(Vec::new()), Some(b"x".to_vec())]),
        ] {
            let mut payload = Vec::new();
            encode_verdict(&mut payload, &verdict);
            assert_eq!(decode_verdict(&payload), Ok(verdict));
        }
        assert_eq!(decode_verdict(&[4, 255, 255, 255, 255]), Err(Malformed));
        assert_eq!(decode_verdict(&[]), Err(Malformed));
    }
}
