use bytes::Bytes;
use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder};

use super::super::decode::{Coding, Compressed, Decoder};
use super::super::error::ClientErrorKind;
use super::fields;

const NAMES: [&str; 3] = ["gzip", "br", "zstd"];

/// Compresses pieces, each flushed, as a server does with events.
fn compress(name: &str, pieces: &[&[u8]], finish: bool) -> Vec<u8> {
    let mut encoder: Box<dyn EncodeV2> = match name {
        "gzip" => Box::new(GzipEncoder::new(Level::Default.into())),
        "br" => Box::new(BrotliEncoder::new(EncoderParams::default())),
        _ => Box::new(ZstdEncoder::new(3)),
    };
    let mut compressed = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    for piece in pieces {
        let mut input = PartialBuffer::new(*piece);
        while !input.unwritten().is_empty() {
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            encoder.encode(&mut input, &mut output).unwrap();
            compressed.extend_from_slice(output.written());
        }
        let mut done = false;
        while !done {
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            done = encoder.flush(&mut output).unwrap();
            compressed.extend_from_slice(output.written());
        }
    }
    let mut done = !finish;
    while !done {
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        done = encoder.finish(&mut output).unwrap();
        compressed.extend_from_slice(output.written());
    }
    compressed
}

fn coding(name: &'static str) -> Coding {
    Coding::of(&fields(&[("content-encoding", name)]))
}

fn decoder(name: &'static str) -> Compressed {
    match coding(name).decoder() {
        Ok(Decoder::Compressed(decoder)) => *decoder,
        _ => panic!("no decoder for {name}"),
    }
}

/// Everything that a body in these pieces means.
fn expand<'a>(name: &'static str, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let mut decoder = decoder(name);
    let mut text = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(step) = decoder.step().unwrap() {
            assert!(step.len() <= 16 * 1024);
            text.extend_from_slice(step);
        }
    }
    (text, decoder.is_whole())
}

#[test]
fn what_was_flushed_comes_out_at_once() {
    for name in NAMES {
        let compressed = compress(name, &[b"data: 1\n\n"], false);
        let (text, whole) = expand(name, [compressed.as_slice()]);
        assert_eq!(text, b"data: 1\n\n", "{name}");
        assert!(!whole, "{name}");
    }
}

#[test]
fn cut_anywhere_or_everywhere() {
    // More than one step, so that cuts fall between output that is pending and input that is not there.
    let long: Vec<u8> = (0..10_000_u32)
        .flat_map(|n| (n % 97).to_le_bytes())
        .collect();
    for name in NAMES {
        let compressed = compress(name, &[b"data: 1\n\n", &long, b"data: 2\n\n"], true);
        let expected = [b"data: 1\n\n", long.as_slice(), b"data: 2\n\n"].concat();
        for at in 0..=compressed.len() {
            let (before, after) = compressed.split_at(at);
            let (text, whole) = expand(name, [before, after]);
            assert!(text == expected && whole, "{name} cut at {at}");
        }
        let (text, whole) = expand(name, compressed.chunks(1));
        assert!(text == expected && whole, "{name} byte by byte");
    }
}

#[test]
fn a_cut_body_is_not_whole() {
    for name in NAMES {
        let compressed = compress(name, &[b"data: 1\n\n"], true);
        for at in 1..compressed.len() {
            let (_, whole) = expand(name, [&compressed[..at]]);
            assert!(!whole, "{name} cut at {at}");
        }
        assert!(expand(name, []).1, "{name}: an empty body");
    }
}

#[test]
fn one_stream_may_follow_another() {
    for name in ["gzip", "zstd"] {
        let twice = [
            compress(name, &[b"data: 1\n\n"], true),
            compress(name, &[b"data: 2\n\n"], true),
        ]
        .concat();
        for size in [1, 7, twice.len()] {
            let (text, whole) = expand(name, twice.chunks(size));
            assert_eq!(text, b"data: 1\n\ndata: 2\n\n", "{name}");
            assert!(whole, "{name}");
        }
    }
}

#[test]
fn a_bomb_goes_off_in_small_steps() {
    let zeros = vec![0; 16 << 20];
    for name in NAMES {
        let bomb = compress(name, &[&zeros], true);
        assert!(bomb.len() < 64 * 1024, "{name}");
        let mut decoder = decoder(name);
        decoder.push(bomb.into());
        let mut total = 0;
        while let Some(step) = decoder.step().unwrap() {
            assert!(step.len() <= 16 * 1024);
            total += step.len();
        }
        assert_eq!(total, zeros.len(), "{name}");
    }
}

#[test]
fn rubbish_is_an_error() {
    for name in NAMES {
        let mut decoder = decoder(name);
        decoder.push(Bytes::from_static(
            b"\xFFdata: this is no compressed stream at all\n\n",
        ));
        let error = loop {
            match decoder.step() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{name} took it"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ClientErrorKind::Decode);
        assert!(!error.is_retryable());
    }
}

#[test]
fn a_window_of_more_than_8_mib_is_refused() {
    // A frame's head that asks for a window of 128 MiB (RFC 8878, 3.1.1.1.2: exponent 17).
    let mut decoder = decoder("zstd");
    decoder.push(Bytes::from_static(b"\x28\xB5\x2F\xFD\x00\x88\x01\x00\x00"));
    assert!(decoder.step().is_err());
}

#[test]
fn names_of_encodings() {
    // What is no coding is passed over, as browsers do; all of these are seen in the wild.
    for identity in [
        "identity", "", "Identity", "none", "utf-8", "UTF8", "chunked", "*", "br2",
    ] {
        assert_eq!(coding(identity), Coding::Identity, "{identity}");
        assert!(matches!(coding(identity).decoder(), Ok(Decoder::Identity)));
    }
    for known in ["GZIP", "x-gzip", " br ", "identity, zstd", "utf-8, gzip"] {
        let decoder = coding(known).decoder();
        assert!(matches!(decoder, Ok(Decoder::Compressed(_))), "{known}");
    }
    for beyond in ["compress", "Deflate", "gzip, br", "dcb", "none, deflate"] {
        let error = coding(beyond).check().unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Decode);
        assert!(!error.is_retryable());
        assert!(coding(beyond).decoder().is_err(), "{beyond}");
    }
    let message = coding("gzip, Deflate").check().unwrap_err().to_string();
    assert!(message.contains("encoded as gzip, deflate"), "{message}");
}

#[test]
fn the_beginning_of_a_body_is_read_as_well_as_can_be() {
    for name in NAMES {
        let compressed = compress(name, &[b"not today"], true);
        assert_eq!(coding(name).expand(compressed.clone(), 100), b"not today");
        assert_eq!(coding(name).expand(compressed.clone(), 3), b"not");
        // Cut, and not compressed at all.
        let flushed = compress(name, &[b"not today"], false);
        assert_eq!(coding(name).expand(flushed, 100), b"not today", "{name}");
        let plain = b"\xFF<html>not today".to_vec();
        assert_eq!(coding(name).expand(plain.clone(), 100), plain, "{name}");
        assert_eq!(
            coding("deflate").expand(compressed.clone(), 100),
            compressed
        );
        // However much it expands to, no more than is wanted.
        let bomb = compress(name, &[&vec![0; 1 << 20]], true);
        assert_eq!(coding(name).expand(bomb, 70_000).len(), 70_000, "{name}");
    }
}
