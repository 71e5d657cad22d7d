//! Values to bytes and back, for frames, the scoreboard, the retained listeners and the head of a launch.
//!
//! Runs in all processes. Integers are little-endian; byte strings carry their length in four bytes in front.
//! Both ends are always the same version (the listening socket's key holds it), so there is no negotiation.
//! Orders and reports are postcard's (`control::channel`).

use std::fmt;

/// Appends values to a buffer that the caller owns and reuses.
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Encoder { out }
    }

    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A byte string. Longer than `u32::MAX` cannot be sent; callers bound their lengths far below.
    pub fn bytes(&mut self, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("a value on the wire is below 4 GiB");
        self.u32(length);
        self.out.extend_from_slice(value);
    }
}

/// The bytes did not hold the value that was expected at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed message between mod_wsgi_rs processes")
    }
}

impl std::error::Error for Malformed {}

/// Takes values from the front of a byte slice.
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { rest: bytes }
    }

    /// What has not been taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.u8()? != 0)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(value)
    }

    /// A byte string that was UTF-8 when it was written.
    pub fn string(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed)
    }

    /// Values that follow their number.
    pub fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        (0..self.u32()?).map(|_| item(self)).collect()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order() {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.u8(7);
        encoder.bool(true);
        encoder.u32(1 << 20);
        encoder.i64(-1);
        encoder.bytes(b"name");
        let mut decoder = Decoder::new(&out);
        assert_eq!(decoder.u8(), Ok(7));
        assert_eq!(decoder.bool(), Ok(true));
        assert_eq!(decoder.u32(), Ok(1 << 20));
        assert_eq!(decoder.i64(), Ok(-1));
        assert_eq!(decoder.bytes(), Ok(&b"name"[..]));
        assert!(decoder.rest().is_empty());
    }

    #[test]
    fn a_cut_message_is_malformed_not_a_panic() {
        let mut out = Vec::new();
        Encoder::new(&mut out).bytes(b"abcdef");
        for cut in 0..out.len() {
            assert_eq!(Decoder::new(&out[..cut]).bytes(), Err(Malformed));
        }
    }
}
