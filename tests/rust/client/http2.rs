//! HTTP/2, by a server of hyper's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssehub::{ClientErrorKind, ClientOptions, ClientRequest, HttpVersion, Notice};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::common::certificates::Authority;
use crate::common::{Client, eventually, options};

type Body = Channel<Bytes, std::io::Error>;
type Streams = Arc<Mutex<Vec<Sender<Bytes, std::io::Error>>>>;

/// Version, URI, last event id.
type Asked = (Version, String, Option<String>);

/// What was asked, and the streams that are open.
#[derive(Clone, Default)]
struct Hyper {
    asked: Arc<Mutex<Vec<Asked>>>,
    streams: Streams,
}

impl Hyper {
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let id = request.headers().get("last-event-id");
        self.asked.lock().unwrap().push((
            request.version(),
            request.uri().to_string(),
            id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
        ));
        let (sender, body) = Channel::new(64);
        self.streams.lock().unwrap().push(sender);
        Response::builder()
            .header("Content-Type", "text/event-stream")
            .body(body)
            .unwrap()
    }

    /// Serves on a thread of its own, for the rest of the process.
    fn serve(&self, tls: Option<TlsAcceptor>) -> SocketAddr {
        let hyper = self.clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (hyper, tls) = (hyper.clone(), tls.clone());
                    tokio::spawn(async move {
                        let service = service_fn(move |request| {
                            let answer = hyper.answer(&request);
                            async move { Ok::<_, Infallible>(answer) }
                        });
                        let builder = http2::Builder::new(TokioExecutor::new());
                        // Errors are the client leaving.
                        let _ = match tls {
                            None => {
                                builder
                                    .serve_connection(TokioIo::new(stream), service)
                                    .await
                            }
                            Some(tls) => match tls.accept(stream).await {
                                Ok(stream) => {
                                    builder
                                        .serve_connection(TokioIo::new(stream), service)
                                        .await
                                }
                                Err(_) => Ok(()),
                            },
                        };
                    });
                }
            });
        });
        address
    }

    fn stream(&self) -> Sender<Bytes, std::io::Error> {
        eventually("a stream", || !self.streams.lock().unwrap().is_empty());
        self.streams.lock().unwrap().remove(0)
    }
}

fn text(text: &str) -> Frame<Bytes> {
    Frame::data(Bytes::copy_from_slice(text.as_bytes()))
}

fn prior_knowledge() -> ClientOptions {
    ClientOptions {
        http: HttpVersion::Http2,
        ..options()
    }
}

#[test]
fn without_tls_by_prior_knowledge() {
    let hyper = Hyper::default();
    let url = format!("http://{}/x?y", hyper.serve(None));
    let client = Client::open(&ClientRequest::get(&url), prior_knowledge());
    let mut stream = hyper.stream();
    assert_eq!(client.opened().http, "HTTP/2");
    stream.try_send(text("id: 4\ndata: two\n\n")).unwrap();
    assert_eq!(client.data(), "two");
    // An end is an end, an abort is an interruption, and both come back.
    drop(stream);
    assert_eq!(client.error().kind(), ClientErrorKind::Ended);
    let stream = hyper.stream();
    client.opened();
    stream.abort(std::io::Error::other("cut"));
    assert_eq!(client.error().kind(), ClientErrorKind::Interrupted);
    let asked = hyper.asked.lock().unwrap()[1].clone();
    assert_eq!(asked, (Version::HTTP_2, url, Some("4".into())));
}

#[test]
fn over_tls_if_the_server_likes() {
    let authority = Authority::new();
    for (protocols, http) in [
        (
            vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            HttpVersion::Auto,
        ),
        (vec![b"h2".to_vec()], HttpVersion::Http2),
    ] {
        let hyper = Hyper::default();
        let mut config = authority.config(&["127.0.0.1"], false);
        config.alpn_protocols = protocols;
        let address = hyper.serve(Some(TlsAcceptor::from(Arc::new(config))));
        let client = Client::open(
            &ClientRequest::get(format!("https://{address}/")),
            ClientOptions {
                tls: authority.trusted(),
                http,
                ..options()
            },
        );
        let mut stream = hyper.stream();
        assert_eq!(client.opened().http, "HTTP/2");
        stream.try_send(text("data: both\n\n")).unwrap();
        assert_eq!(client.data(), "both");
    }
}

#[test]
fn http_1_if_asked_for() {
    let authority = Authority::new();
    let mut config = authority.config(&["127.0.0.1"], false);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server = crate::common::certificates::over_tls(config, |conn| {
        conn.request()?;
        conn.send(crate::common::HEAD)?;
        conn.until_closed();
        Ok(())
    });
    let client = Client::open(
        &ClientRequest::get(format!("https://{}/", server.address())),
        ClientOptions {
            tls: authority.trusted(),
            http: HttpVersion::Http1,
            ..options()
        },
    );
    assert_eq!(client.opened().http, "HTTP/1.1");
}

#[test]
fn closing_is_noticed_by_the_server() {
    let hyper = Hyper::default();
    let url = format!("http://{}/", hyper.serve(None));
    let client = Client::open(&ClientRequest::get(url), prior_knowledge());
    let mut stream = hyper.stream();
    client.opened();
    client.0.close();
    eventually("the server notices", || {
        stream.try_send(text(":\n")).is_err()
    });
}

#[test]
fn a_slow_host_stops_the_server() {
    let hyper = Hyper::default();
    let url = format!("http://{}/", hyper.serve(None));
    let client = Client::open(
        &ClientRequest::get(url),
        ClientOptions {
            max_queued_bytes: 100_000,
            ..prior_knowledge()
        },
    );
    let mut stream = hyper.stream();
    client.opened();
    let mut sent = 0;
    let mut refused = 0;
    // The window is what the server may send ahead; beyond it nothing is taken from it.
    while refused < 30 {
        let event = format!("data: {sent:01000}\n\n");
        if stream.try_send(text(&event)).is_ok() {
            sent += 1;
            refused = 0;
        } else {
            refused += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(sent < 5000, "it never stops");
    }
    for n in 0..sent {
        assert_eq!(client.data().parse(), Ok(n));
    }
}

#[test]
fn a_server_without_http_2() {
    let server = crate::common::Server::saying("HTTP/1.1 400 What\r\n\r\n");
    let client = Client::open(&ClientRequest::get(server.url("/")), prior_knowledge());
    let Notice::Retrying(retry) = client.next() else {
        panic!("no error")
    };
    assert!(retry.error.status().is_none());
}
