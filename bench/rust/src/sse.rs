//! The client's half of the wire: response head, chunked framing, and the two numbers in each
//! event. Written apart from ssehub on purpose: a server must not be judged by its own parser.

use memchr::memchr;

/// The two numbers that every event of the benchmark carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Grows by one per event; 0 in a private message.
    pub seq: u64,
    /// `CLOCK_MONOTONIC` at the publish call, in nanoseconds.
    pub published_ns: u64,
}

impl Stamp {
    /// Whether the event is for one client alone.
    pub fn is_private(self) -> bool {
        self.seq == 0
    }

    /// Reads `{"seq":1,"ts":2,...`, which all servers write in this form.
    fn from_data(data: &[u8]) -> Option<Self> {
        let (seq, rest) = number(data.trim_ascii_start().strip_prefix(b"{\"seq\":")?);
        let (published_ns, _) = number(rest.strip_prefix(b",\"ts\":")?);
        Some(Self { seq, published_ns })
    }
}

/// The leading decimal digits and what follows them.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..digits].iter().fold(0_u64, |value, digit| {
        value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    (value, &text[digits..])
}

/// Where one response stands.
#[derive(Default)]
enum Part {
    /// In the head; holds what arrived of it.
    #[default]
    Head,
    /// In a body that ends with the connection.
    Plain,
    /// Before a chunk's payload: the line with its size.
    Size(usize),
    /// Inside a chunk's payload, so many bytes to go.
    Payload(usize),
    /// The line break after a payload, so many bytes to go.
    Break(usize),
    /// After the last chunk.
    End,
}

/// Decodes one response, fed in pieces of any size.
#[derive(Default)]
pub struct Decoder {
    part: Part,
    head: Vec<u8>,
    line: Vec<u8>,
    pending: Option<Stamp>,
}

impl Decoder {
    /// Whether a correct head has arrived.
    pub fn is_open(&self) -> bool {
        !matches!(self.part, Part::Head)
    }

    /// Takes bytes from the socket and calls `each` once per complete event.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Stamp),
    ) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Head => bytes = self.push_head(bytes)?,
                Part::Plain => {
                    self.push_body(bytes, &mut each);
                    return Ok(());
                }
                Part::Size(size) => {
                    let byte = bytes[0];
                    bytes = &bytes[1..];
                    if byte == b'\n' {
                        self.part = if *size == 0 {
                            Part::End
                        } else {
                            Part::Payload(*size)
                        };
                    } else if byte != b'\r' {
                        let digit = char::from(byte).to_digit(16).ok_or("bad chunk size")?;
                        *size = *size * 16 + digit as usize;
                    }
                }
                Part::Payload(left) => {
                    let (payload, rest) = bytes.split_at(bytes.len().min(*left));
                    *left -= payload.len();
                    if *left == 0 {
                        self.part = Part::Break(2);
                    }
                    self.push_body(payload, &mut each);
                    bytes = rest;
                }
                Part::Break(left) => {
                    let skipped = bytes.len().min(*left);
                    *left -= skipped;
                    if *left == 0 {
                        self.part = Part::Size(0);
                    }
                    bytes = &bytes[skipped..];
                }
                Part::End => return Err("bytes after the end of the stream"),
            }
        }
        Ok(())
    }

    fn push_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else {
            return Ok(&[]);
        };
        let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ") {
            return Err("the status is not 200");
        }
        if !head.contains("\r\ncontent-type: text/event-stream") {
            return Err("the content type is not text/event-stream");
        }
        self.part = if head.contains("\r\ntransfer-encoding: chunked") {
            Part::Size(0)
        } else {
            Part::Plain
        };
        self.head = Vec::new();
        Ok(&bytes[end + 4 - before..])
    }

    fn push_body(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Stamp)) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.line.is_empty() {
                end_line(&bytes[..end], &mut self.pending, each);
            } else {
                self.line.extend_from_slice(&bytes[..end]);
                end_line(&self.line, &mut self.pending, each);
                self.line.clear();
            }
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
    }
}

/// Lines end with LF or CRLF here; no server under test writes a lone CR.
fn end_line(line: &[u8], pending: &mut Option<Stamp>, each: &mut impl FnMut(Stamp)) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        if let Some(stamp) = pending.take() {
            each(stamp);
        }
    } else if let Some(stamp) = line.strip_prefix(b"data:").and_then(Stamp::from_data) {
        *pending = Some(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Stamp};

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n";

    fn decode(response: &str, piece: usize) -> Result<Vec<Stamp>, &'static str> {
        let mut decoder = Decoder::default();
        let mut stamps = Vec::new();
        for bytes in response.as_bytes().chunks(piece) {
            decoder.push(bytes, |stamp| stamps.push(stamp))?;
        }
        Ok(stamps)
    }

    #[test]
    fn finds_the_events_of_chunked_and_plain_bodies_in_any_pieces() {
        let body = ": hi\r\n\r\ndata: {\"seq\":7,\"ts\":12}\r\n\r\nid: 1\n\ndata:{\"seq\":8,\"ts\":13,\"pad\":\"\"}\n\n";
        let (first, second) = body.split_at(30);
        let chunked = format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\n",
            first.len(),
            second.len()
        );
        let plain = format!("{HEAD}Connection: close\r\n\r\n{body}");
        let expected = [(7, 12), (8, 13)].map(|(seq, published_ns)| Stamp { seq, published_ns });
        for response in [chunked, plain] {
            for piece in 1..response.len() {
                assert_eq!(
                    decode(&response, piece).unwrap(),
                    expected,
                    "pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn refuses_other_responses() {
        assert!(decode("HTTP/1.1 503 Busy\r\n\r\n", 9).is_err());
        assert!(decode("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", 9).is_err());
    }
}
