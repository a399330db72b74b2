//! Compressed bodies: every event as soon as it was flushed, and no more memory than without.

use bytes::Bytes;
use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder};
use ssehub::{ClientErrorKind, ClientOptions, Ended, Notice};

use crate::common::{Server, open, open_with, options};

const NAMES: [&str; 3] = ["gzip", "br", "zstd"];

struct Encoder(Box<dyn EncodeV2>);

impl Encoder {
    fn new(name: &str) -> Self {
        Self(match name {
            "gzip" => Box::new(GzipEncoder::new(Level::Default.into())),
            "br" => Box::new(BrotliEncoder::new(
                EncoderParams::default().quality(Level::Fastest),
            )),
            _ => Box::new(ZstdEncoder::new(3)),
        })
    }

    fn flushed(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let mut input = PartialBuffer::new(text);
        while !input.unwritten().is_empty() {
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            self.0.encode(&mut input, &mut output).unwrap();
            out.extend_from_slice(output.written());
        }
        let mut done = false;
        while !done {
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            done = self.0.flush(&mut output).unwrap();
            out.extend_from_slice(output.written());
        }
        out
    }

    fn finish(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        assert!(self.0.finish(&mut output).unwrap());
        output.written().to_vec()
    }
}

fn head(name: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {name}\r\n\r\n"
    )
}

#[test]
fn each_event_comes_when_it_is_flushed() {
    for name in NAMES {
        let (next, wanted) = std::sync::mpsc::channel();
        let wanted = std::sync::Mutex::new(wanted);
        let server = Server::new(move |conn| {
            conn.request()?;
            conn.send(head(name))?;
            let mut encoder = Encoder::new(name);
            for n in 0..3 {
                conn.send(encoder.flushed(format!("data: {n}\n\n").as_bytes()))?;
                wanted
                    .lock()
                    .unwrap()
                    .recv()
                    .map_err(std::io::Error::other)?;
            }
            conn.send(encoder.finish())
        });
        let asking = ClientOptions {
            compression: true,
            ..options()
        };
        let client = open_with(&server, asking);
        for n in 0..3 {
            assert_eq!(client.data(), n.to_string(), "{name}");
            next.send(()).unwrap();
        }
        assert_eq!(client.error().kind(), ClientErrorKind::Ended, "{name}");
        let asked = server.seen()[0].header("accept-encoding");
        assert_eq!(asked.as_deref(), Some("gzip, br, zstd"));
    }
}

#[test]
fn what_comes_compressed_unasked_is_understood() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(head("gzip"))?;
        conn.send(Encoder::new("gzip").flushed(b"data: x\n\n"))?;
        conn.until_closed();
        Ok(())
    });
    assert_eq!(open(&server).data(), "x");
    assert_eq!(
        server.seen()[0].header("accept-encoding").as_deref(),
        Some("identity")
    );
}

#[test]
fn a_bomb_is_an_event_that_is_too_large() {
    for name in NAMES {
        let mut encoder = Encoder::new(name);
        let mut bomb = encoder.flushed(b"data: ");
        bomb.extend(encoder.flushed(&vec![b'0'; 4 << 20]));
        assert!(bomb.len() < 16 * 1024, "{name}: {}", bomb.len());
        let bomb = Bytes::from(bomb);
        let server = Server::new(move |conn| {
            conn.request()?;
            conn.send(head(name))?;
            conn.send(&bomb)?;
            conn.until_closed();
            Ok(())
        });
        let small = ClientOptions {
            max_event_size: 256 * 1024,
            ..options()
        };
        let error = open_with(&server, small).error();
        assert_eq!(error.kind(), ClientErrorKind::EventTooLarge, "{name}");
    }
}

#[test]
fn a_body_that_ends_within_its_compression_is_interrupted() {
    for name in NAMES {
        let mut encoder = Encoder::new(name);
        let mut answer = head(name).into_bytes();
        answer.extend(encoder.flushed(b"data: x\n\n"));
        let server = Server::saying(answer);
        let client = open(&server);
        assert_eq!(client.data(), "x");
        assert_eq!(
            client.error().kind(),
            ClientErrorKind::Interrupted,
            "{name}"
        );
    }
}

#[test]
fn rubbish_and_encodings_beyond_us_end_it() {
    for name in ["gzip", "br", "zstd", "deflate", "compress", "gzip, br"] {
        let mut answer = head(name).into_bytes();
        answer.extend(b"\xFFdata: not compressed\n\n");
        let rest = open(&Server::saying(answer)).rest();
        let Some(Notice::Failed(error)) = rest.last() else {
            panic!("{name}: {rest:?}")
        };
        assert_eq!(error.kind(), ClientErrorKind::Decode, "{name}");
        assert!(!error.is_retryable());
    }
}

#[test]
fn what_is_no_coding_is_passed_over() {
    for name in ["none", "utf-8", "UTF-8", "identity", "chunked"] {
        let answer = format!("{}data: plain\n\n", head(name));
        assert_eq!(open(&Server::saying(answer)).data(), "plain", "{name}");
    }
}

#[test]
fn an_answer_is_judged_by_its_status_first() {
    // Neither a refusal to come back from, nor a redirect, nor the end fails for what its body is encoded with.
    let server = Server::new(|conn| {
        let seen = conn.request()?;
        conn.send(match (conn.index, seen.target.as_str()) {
            (0, _) => "HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Encoding: deflate\r\nContent-Length: 2\r\n\r\nno",
            (1, _) => {
                "HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Encoding: deflate\r\nContent-Length: 0\r\n\r\n"
            }
            _ => "HTTP/1.1 204 Nothing\r\nContent-Encoding: deflate\r\n\r\n",
        })
    });
    let rest = open(&server).rest();
    let [Notice::Retrying(retry), Notice::Ended(Ended::NoContent)] = rest.as_slice() else {
        panic!("{rest:?}")
    };
    assert_eq!(retry.error.status(), Some(503));
    let refusal = retry.error.refusal().unwrap();
    assert_eq!(refusal.body, b"no");
    assert_eq!(refusal.retry_after, Some(0));
    assert_eq!(server.seen()[2].target, "/there");
}

#[test]
fn a_compressed_refusal_can_be_read() {
    let mut encoder = Encoder::new("gzip");
    let mut answer = b"HTTP/1.1 403 No\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    answer.extend(encoder.flushed(b"not for you"));
    answer.extend(encoder.finish());
    let error = open(&Server::saying(answer)).error();
    assert_eq!(error.refusal().unwrap().body, b"not for you");
}
