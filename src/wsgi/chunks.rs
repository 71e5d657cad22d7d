//! The body of an answer that came with `Transfer-Encoding: chunked`: the data without its chunks. Pure.
//!
//! Runs where applications run, as a part of `response`. A proxy written in Python passes the header on: with
//! data that its HTTP library has decoded (most do), or with the chunks as they came. The first bytes tell
//! which it is. Chunks are taken off, strictly, because httpd makes its own: none of what an application
//! calls a chunk reaches the client as one.

/// The line of a first chunk is shorter than this.
const LONGEST_FIRST_LINE: usize = 256;

/// What begins like a chunk is believed to be one when so much has come, though its end has not.
const MOST_KEPT_BACK: usize = 64 * 1024;

const NO_CHUNKS: &str = "the body that the application passed on with Transfer-Encoding: chunked begins with a chunk \
                         and then breaks the rules of RFC 9112 for chunks: pass on the data without them";

const NO_END: &str = "the body that the application passed on with Transfer-Encoding: chunked ends before its last \
                      chunk";

/// A body that was announced as chunked.
#[derive(Debug)]
pub enum Announced {
    /// What there is could be the beginning of a first chunk, or of a text with a number in its first line.
    Undecided {
        given: Vec<u8>,
        decoded: Vec<u8>,
        chunks: Chunks,
    },
    /// There are no chunks.
    Plain,
    Chunked(Chunks),
}

impl Announced {
    pub fn new() -> Announced {
        Announced::Undecided { given: Vec::new(), decoded: Vec::new(), chunks: Chunks::default() }
    }

    /// The data of the next piece; it may be kept back until more of it has come.
    pub fn data(&mut self, piece: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (given, decoded, chunks) = match self {
            Announced::Plain => return Ok(piece.to_vec()),
            Announced::Chunked(chunks) => return chunks.decode(piece),
            Announced::Undecided { given, decoded, chunks } => (given, decoded, chunks),
        };
        given.extend_from_slice(piece);
        let data = chunks.decode(piece);
        let is_whole = chunks.whole > 0;
        if (data.is_err() && !is_whole) || (!chunks.begun && given.len() >= LONGEST_FIRST_LINE) {
            let given = std::mem::take(given);
            *self = Announced::Plain;
            return Ok(given);
        }
        let data = data.map(|data| {
            decoded.extend_from_slice(&data);
            std::mem::take(decoded)
        });
        if is_whole || given.len() >= MOST_KEPT_BACK {
            *self = Announced::Chunked(std::mem::take(chunks));
            return data;
        }
        *decoded = data?;
        Ok(Vec::new())
    }

    /// After the last piece: what was kept back, which is no chunk then.
    pub fn end(&mut self) -> Result<Vec<u8>, &'static str> {
        match self {
            Announced::Undecided { given, .. } => Ok(std::mem::take(given)),
            Announced::Chunked(chunks) if chunks.state != ChunkState::Ended => Err(NO_END),
            Announced::Plain | Announced::Chunked(_) => Ok(Vec::new()),
        }
    }
}

/// Where in the chunks we are (RFC 9112, 7.1).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Start,
    Size(u64),
    /// What follows the size, up to its line's end.
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataReturn,
    DataEnd,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastEnd,
    Ended,
    Broken,
}

#[derive(Debug, Default)]
pub struct Chunks {
    state: ChunkState,
    /// The first chunk's line was whole.
    begun: bool,
    /// Chunks that were whole.
    whole: u64,
}

impl Chunks {
    /// The data in the next bytes. What was wrong once stays wrong.
    fn decode(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut data = Vec::with_capacity(bytes.len());
        while let Some((byte, rest)) = bytes.split_first() {
            if let ChunkState::Data(left) = self.state {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                data.extend_from_slice(&bytes[..most]);
                bytes = &bytes[most..];
                let left = left - most as u64;
                self.state = if left == 0 { ChunkState::DataReturn } else { ChunkState::Data(left) };
                continue;
            }
            self.state = self.after(*byte).unwrap_or(ChunkState::Broken);
            if self.state == ChunkState::Broken {
                return Err(NO_CHUNKS);
            }
            bytes = rest;
        }
        Ok(data)
    }

    /// The state behind a byte that is not data; None where the byte is not allowed.
    fn after(&mut self, byte: u8) -> Option<ChunkState> {
        let text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        Some(match (self.state, byte) {
            (ChunkState::Start, _) => ChunkState::Size(hexadecimal(byte)?),
            (ChunkState::Size(size) | ChunkState::Extension(size), b'\r') => ChunkState::SizeEnd(size),
            (ChunkState::Size(size), b';' | b' ' | b'\t') => ChunkState::Extension(size),
            (ChunkState::Size(size), _) => ChunkState::Size(size.checked_mul(16)? + hexadecimal(byte)?),
            (ChunkState::Extension(size), _) if text => ChunkState::Extension(size),
            (ChunkState::SizeEnd(size), b'\n') => {
                self.begun = true;
                if size == 0 { ChunkState::TrailerStart } else { ChunkState::Data(size) }
            }
            (ChunkState::DataReturn, b'\r') => ChunkState::DataEnd,
            (ChunkState::DataEnd, b'\n') => {
                self.whole += 1;
                ChunkState::Start
            }
            (ChunkState::TrailerStart, b'\r') => ChunkState::LastEnd,
            (ChunkState::TrailerStart | ChunkState::TrailerName, _)
                if byte > b' ' && byte < 0x7f && byte != b':' =>
            {
                ChunkState::TrailerName
            }
            (ChunkState::TrailerName, b':') => ChunkState::TrailerValue,
            (ChunkState::TrailerValue, b'\r') => ChunkState::TrailerEnd,
            (ChunkState::TrailerValue, _) if text => ChunkState::TrailerValue,
            (ChunkState::TrailerEnd, b'\n') => ChunkState::TrailerStart,
            (ChunkState::LastEnd, b'\n') => {
                // The last one; what follows it is an error however the bytes arrive.
                self.whole += 1;
                ChunkState::Ended
            }
            _ => return None,
        })
    }
}

fn hexadecimal(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of the data, with the body given in pieces of this size.
    fn data(body: &[u8], step: usize) -> Result<Vec<u8>, &'static str> {
        let (mut announced, mut all) = (Announced::new(), Vec::new());
        for piece in body.chunks(step) {
            all.extend(announced.data(piece)?);
        }
        all.extend(announced.end()?);
        Ok(all)
    }

    #[test]
    fn chunks_are_taken_off_however_they_arrive() {
        let long = [&b"400\r\n"[..], &[b'x'; 1024], b"\r\n0\r\n\r\n"].concat();
        let bodies: [(&[u8], &[u8]); 6] = [
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5;a=\"b c\"\r\nhello\r\n00A  \r\n0123456789\r\n0\r\n\r\n", b"hello0123456789"),
            (b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-B:\r\n\r\n", b"hello"),
            (b"4\r\n5\r\n\r\r\n0\r\n\r\n", b"5\r\n\r"),
            (b"0\r\n\r\n", b""),
            (&long, &[b'x'; 1024]),
        ];
        for (body, wanted) in bodies {
            for step in 1..=body.len().min(40) {
                assert_eq!(data(body, step).as_deref(), Ok(wanted), "{step}");
            }
        }
    }

    #[test]
    fn what_has_no_chunks_is_left_alone() {
        let numbers = b"12\r\n345\r\n6\r\n and what follows is a text that is longer";
        let long_line = [&b"5;"[..], &[b'x'; 500]].concat();
        let texts: [&[u8]; 14] = [
            b"",
            b"hello",
            b"5",
            b"5\r\n",
            b"12\r\n3\r\n4\r\n",
            b"5\r",
            b"5\nhello",
            b"5\r\nhello, world",
            b"-5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"0\r\n1\r\n2\r\n",
            b"\r\n5\r\nhello\r\n0\r\n\r\n",
            numbers,
            &long_line,
        ];
        for text in texts {
            assert_eq!(
                data(text, text.len().max(1)).as_deref(),
                Ok(text),
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
        assert_eq!(data(b"fff", 1).as_deref(), Ok(&b"fff"[..]));
        assert_eq!(data(b"fff of all", 1).as_deref(), Ok(&b"fff of all"[..]));
        assert_eq!(data(&long_line, 7).as_deref(), Ok(&long_line[..]));
    }

    #[test]
    fn what_begins_with_a_chunk_must_go_on_with_them() {
        let bodies: [&[u8]; 8] = [
            b"5\r\nhello\r\nworld",
            b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"5\r\nhello\r\n11111111111111111\r\n",
            b"5\r\nhello\r\n5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\n",
            b"5\r\nhello\r\n",
            b"5\r\nhello\r\n0\r\n",
        ];
        for body in bodies {
            for step in [1, 7, body.len()] {
                assert!(data(body, step).is_err(), "{step} {:?}", String::from_utf8_lossy(body));
            }
        }
    }

    #[test]
    fn a_large_first_chunk_is_not_waited_for() {
        let mut announced = Announced::new();
        assert_eq!(announced.data(b"fffff\r\n").as_deref(), Ok(&b""[..]));
        assert_eq!(announced.data(&[b'x'; 1000]).as_deref(), Ok(&b""[..]));
        assert_eq!(announced.data(&[b'x'; MOST_KEPT_BACK]).map(|data| data.len()), Ok(1000 + MOST_KEPT_BACK));
        assert!(announced.end().is_err());
    }

    #[test]
    fn what_was_wrong_once_stays_wrong() {
        let mut announced = Announced::new();
        assert!(announced.data(b"1\r\na\r\nx").is_err());
        assert!(announced.data(b"1\r\na\r\n0\r\n\r\n").is_err());
        assert!(announced.end().is_err());
    }
}
