//! The secret of a socket: what the first frame on each connection to it must carry.
//!
//! The httpd parent makes one for each socket. Its children inherit it by their fork, the group's daemons get it
//! in their launch, and no other process has it. So a process that only has httpd's uid, such as a CGI script,
//! does not pass for httpd, and one group's secret opens no other group's socket.

use std::fmt;
use std::hint::black_box;
use std::io;

use serde::{Deserialize, Serialize};

use crate::os;

const SIZE: usize = 32;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; SIZE]);

impl Secret {
    pub fn random() -> io::Result<Secret> {
        let mut bytes = [0; SIZE];
        os::fill_with_random(&mut bytes)?;
        Ok(Secret(bytes))
    }

    /// None for bytes of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Secret> {
        bytes.try_into().ok().map(Secret)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// In the same time whatever the bytes are, so that no guess is better than another.
    pub fn is(&self, bytes: &[u8]) -> bool {
        let differs = self.0.iter().zip(bytes).fold(0, |all, (own, other)| black_box(all | (own ^ other)));
        bytes.len() == SIZE && differs == 0
    }
}

/// It never stands in a message.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_itself_only_and_not_shown() {
        let (secret, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert!(secret.is(secret.bytes()) && !secret.is(other.bytes()));
        assert!(
            !secret.is(&[])
                && !secret.is(&secret.bytes()[..31])
                && !secret.is(&[secret.bytes(), b"x"].concat())
        );
        assert_eq!(Secret::from_bytes(secret.bytes()), Some(secret.clone()));
        assert_eq!((Secret::from_bytes(b"short"), &*format!("{secret:?}")), (None, "Secret"));
    }
}
