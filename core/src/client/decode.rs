//! Decompression in small steps: each gives at most one buffer's worth, whatever a few bytes expand to.

use std::io;

use bytes::Bytes;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder};
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;

use super::error::{ClientError, ClientErrorKind};

/// What one step gives at most.
const STEP: usize = 16 * 1024;
/// A window of 8 MiB is what HTTP allows (RFC 9659); without the limit a few bytes may ask for 128.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// The way from what is transferred to what is meant.
pub(crate) enum Decoder {
    /// They are the same.
    Identity,
    /// One layer of compression.
    Compressed(Box<Compressed>),
}

/// A decompressor, and what it has not seen yet.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Compressed {
    codec: Box<dyn DecodeV2 + Send>,
    // Whether one compressed stream may follow another.
    repeats: bool,
    // Whether more output is asked for by `flush`: without input, gzip's `decode` fails. The others' does not, and it
    // alone notices that the output ends the stream; of gzip, a trailer is still to come.
    flushes: bool,
    input: Bytes,
    // At the end of a compressed stream, or before the first: the body may end here.
    whole: bool,
    output: Box<[u8; STEP]>,
    // The last step filled the output: there may be more behind it.
    full: bool,
}

impl Decoder {
    /// What the answer's `Content-Encoding` asks for.
    pub(crate) fn new(headers: &HeaderMap) -> Result<Self, ClientError> {
        let named: Vec<String> = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
            .filter(|name| !name.is_empty() && name != "identity")
            .collect();
        let codec: Box<dyn DecodeV2 + Send> = match named.as_slice() {
            [] => return Ok(Self::Identity),
            [name] if name == "gzip" || name == "x-gzip" => Box::new(GzipDecoder::new()),
            [name] if name == "br" => Box::new(BrotliDecoder::new()),
            [name] if name == "zstd" => {
                Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(
                    MAX_ZSTD_WINDOW_LOG,
                )]))
            }
            _ => {
                let message = format!(
                    "the body is encoded as {}, which nobody asked for",
                    named.join(", ")
                );
                return Err(ClientError::new(ClientErrorKind::Decode, message));
            }
        };
        Ok(Self::Compressed(Box::new(Compressed {
            codec,
            repeats: named[0] != "br",
            flushes: named[0].ends_with("gzip"),
            input: Bytes::new(),
            whole: true,
            output: Box::new([0; STEP]),
            full: false,
        })))
    }
}

impl Compressed {
    /// Takes the next bytes of the body. Call [`Self::step`] until there is no more before the next.
    pub(crate) fn push(&mut self, input: Bytes) {
        self.input = input;
    }

    /// The next piece of what they mean. `None`: give it more bytes.
    pub(crate) fn step(&mut self) -> Result<Option<&[u8]>, ClientError> {
        loop {
            let (read, written) = self.advance().map_err(|error| {
                let message = format!("the body cannot be decompressed: {error}");
                ClientError::new(ClientErrorKind::Decode, message)
            })?;
            if written > 0 {
                return Ok(Some(&self.output[..written]));
            }
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether the body may end here.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole && self.input.is_empty()
    }

    fn advance(&mut self) -> io::Result<(usize, usize)> {
        if self.input.is_empty() && !self.full {
            return Ok((0, 0));
        }
        let mut input = PartialBuffer::new(&self.input[..]);
        let mut output = WriteBuffer::new_initialized(&mut self.output[..]);
        let ended = if self.input.is_empty() && self.flushes {
            self.codec.flush(&mut output)?;
            false
        } else {
            self.codec.decode(&mut input, &mut output)?
        };
        let (read, written) = (input.written_len(), output.written_len());
        self.full = output.has_no_spare_space();
        self.whole = ended || (self.whole && read == 0);
        self.input = self.input.split_off(read);
        if ended && self.repeats {
            self.codec.reinit()?;
        } else if ended && !self.input.is_empty() {
            return Err(io::Error::other("there are bytes after its end"));
        }
        Ok((read, written))
    }
}
