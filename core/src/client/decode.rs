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

/// Codings that exist (IANA's list) and that nobody here can undo. Whatever else a server writes there (`none`,
/// `utf-8`) is no coding, and browsers pass over it, too.
const BEYOND_US: [&str; 8] = [
    "aes128gcm",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "pack200-gzip",
    "x-compress",
];

/// How a body is encoded, as `Content-Encoding` says: known before it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not at all.
    Identity,
    /// One layer of gzip.
    Gzip,
    /// One layer of Brotli.
    Brotli,
    /// One layer of Zstandard.
    Zstd,
    /// By these, which cannot be undone.
    Beyond(String),
}

impl Coding {
    /// What a head says of its body.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let named: Vec<String> = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
            .filter(|name| known(name) || BEYOND_US.contains(&name.as_str()))
            .collect();
        match named.as_slice() {
            [] => Self::Identity,
            [name] if name.ends_with("gzip") && known(name) => Self::Gzip,
            [name] if name == "br" => Self::Brotli,
            [name] if name == "zstd" => Self::Zstd,
            _ => Self::Beyond(named.join(", ")),
        }
    }

    /// What undoes it.
    ///
    /// # Errors
    /// `Decode`, where nothing here does.
    pub(crate) fn decoder(&self) -> Result<Decoder, ClientError> {
        let codec: Box<dyn DecodeV2 + Send> = match self {
            Self::Identity => return Ok(Decoder::Identity),
            Self::Gzip => Box::new(GzipDecoder::new()),
            Self::Brotli => Box::new(BrotliDecoder::new()),
            Self::Zstd => Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(
                MAX_ZSTD_WINDOW_LOG,
            )])),
            Self::Beyond(_) => return self.check().map(|()| Decoder::Identity),
        };
        Ok(Decoder::Compressed(Box::new(Compressed {
            codec,
            repeats: *self != Self::Brotli,
            flushes: *self == Self::Gzip,
            input: Bytes::new(),
            whole: true,
            output: Box::new([0; STEP]),
            full: false,
        })))
    }

    /// Whether [`Self::decoder`] has one.
    ///
    /// # Errors
    /// `Decode`, where it has none.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let Self::Beyond(names) = self else {
            return Ok(());
        };
        let message = format!(
            "the body is encoded as {names}: only one layer of gzip, br or zstd can be undone"
        );
        Err(ClientError::new(ClientErrorKind::Decode, message))
    }

    /// As much of a body as its beginning says, and as is wanted. Where the coding is none of ours, or the body is not
    /// what its head says, the bytes as they came: they are shown to people, who may still make something of them.
    pub(crate) fn expand(&self, raw: Vec<u8>, limit: usize) -> Vec<u8> {
        let Ok(Decoder::Compressed(mut decoder)) = self.decoder() else {
            return raw;
        };
        let raw = Bytes::from(raw);
        let mut text = Vec::new();
        decoder.push(raw.clone());
        while text.len() < limit {
            match decoder.step() {
                Ok(Some(piece)) => text.extend_from_slice(piece),
                Err(_) if text.is_empty() => return raw.into(),
                Ok(None) | Err(_) => break,
            }
        }
        text.truncate(limit);
        text
    }
}

fn known(name: &str) -> bool {
    matches!(name, "gzip" | "x-gzip" | "br" | "zstd")
}

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
