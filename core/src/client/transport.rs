//! One request, one connection, one answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::uri::{Authority, PathAndQuery, Uri};
use hyper::rt::Executor;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::connect::{Connected, Connector};
use super::decode::Decoder;
use super::error::{ClientError, ClientErrorKind, chain};
use super::options::ClientOptions;
use super::policy::Head;
use super::request::Hop;
use super::runtime::process;
use super::socket::Io;
use super::tls::is_tls;
use crate::error::Result;

/// What is read at once, and the limit of a head.
const BUFFER: usize = 64 * 1024;
/// What a server may send over HTTP/2 before it is taken.
const WINDOW: u32 = 256 * 1024;

type Attempt<T> = std::result::Result<T, ClientError>;

/// Makes requests as one source's options say.
pub(crate) struct Transport {
    connector: Connector,
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
}

/// A connection that nothing was sent over yet.
pub(crate) struct Standing {
    pub(crate) connected: Connected,
    /// Milliseconds until it stood.
    pub(crate) after: u64,
}

/// The answer to a request.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) body: Body,
}

/// A body, and the connection that it comes over: dropped, it is closed.
pub(crate) struct Body {
    incoming: Incoming,
    decoder: Decoder,
    idle_timeout: Option<Duration>,
    _connection: Connection,
}

impl Transport {
    /// # Errors
    /// `InvalidArgument`, for `ca`, `client_cert` or `proxy`.
    pub(crate) fn new(options: &ClientOptions) -> Result<Self> {
        Ok(Self {
            connector: Connector::new(options)?,
            connect_timeout: options.connect_timeout.map(Duration::from_millis),
            idle_timeout: options.idle_timeout.map(Duration::from_millis),
        })
    }

    /// Makes a request over a connection of its own, and waits for the head of the answer.
    pub(crate) async fn send(&self, hop: &Hop) -> Attempt<Exchange> {
        let standing = self.stand(hop).await?;
        self.ask(hop, standing).await
    }

    /// Makes the connection alone.
    pub(crate) async fn stand(&self, hop: &Hop) -> Attempt<Standing> {
        let started = process().now();
        let connected = within(
            self.connect_timeout,
            self.connector.connect(hop),
            "no connection",
        )
        .await?;
        Ok(Standing {
            connected,
            after: process().now().saturating_sub(started),
        })
    }

    /// Makes the request over it, and waits for the head of the answer.
    pub(crate) async fn ask(&self, hop: &Hop, standing: Standing) -> Attempt<Exchange> {
        let Standing { connected, after } = standing;
        let stands = process().now();
        let remote = connected.remote;
        let connection = Connection::default();
        let response = within(
            self.idle_timeout,
            exchange(connected, hop, &connection.0),
            "no answer",
        )
        .await?;
        let (parts, incoming) = response.into_parts();
        let head = Head {
            status: parts.status.as_u16(),
            http: match parts.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            remote,
            connected_after: after,
            answered_after: process().now().saturating_sub(stands),
            headers: parts.headers,
        };
        let body = Body {
            decoder: Decoder::new(&head.headers)?,
            incoming,
            idle_timeout: self.idle_timeout,
            _connection: connection,
        };
        Ok(Exchange { head, body })
    }
}

impl Body {
    /// The next piece, decompressed. `None` at an orderly end.
    pub(crate) async fn next(&mut self) -> Attempt<Option<Bytes>> {
        loop {
            if let Decoder::Compressed(decoder) = &mut self.decoder
                && let Some(piece) = decoder.step()?
            {
                let piece = Bytes::copy_from_slice(piece);
                // What a few bytes expand to must not keep other sources waiting.
                tokio::task::coop::consume_budget().await;
                return Ok(Some(piece));
            }
            let Some(bytes) = self.receive().await? else {
                return Ok(None);
            };
            match &mut self.decoder {
                Decoder::Identity => return Ok(Some(bytes)),
                Decoder::Compressed(decoder) => decoder.push(bytes),
            }
        }
    }

    async fn receive(&mut self) -> Attempt<Option<Bytes>> {
        loop {
            let frame = within(
                self.idle_timeout,
                async { Ok(self.incoming.frame().await) },
                "nothing came",
            )
            .await?;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(broken(&error, ClientErrorKind::Interrupted));
                }
                None => {
                    if let Decoder::Compressed(decoder) = &self.decoder
                        && !decoder.is_whole()
                    {
                        return Err(ClientError::new(
                            ClientErrorKind::Interrupted,
                            "the body ended in the middle of its compressed data",
                        ));
                    }
                    return Ok(None);
                }
            }
        }
    }
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Attempt<T>>,
    what: &str,
) -> Attempt<T> {
    let Some(limit) = limit else {
        return work.await;
    };
    timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("{what} within {} ms", limit.as_millis());
        Err(ClientError::new(ClientErrorKind::Timeout, message))
    })
}

async fn exchange(connected: Connected, hop: &Hop, tasks: &Tasks) -> Attempt<Response<Incoming>> {
    let lost = |error: hyper::Error| broken(&error, ClientErrorKind::Connect);
    let request = request(hop, &connected)?;
    let io: TokioIo<Io> = TokioIo::new(connected.io);
    if connected.http2 {
        let (mut sender, connection) = http2::Builder::new(tasks.clone())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(io)
            .await
            .map_err(lost)?;
        tasks.spawn(connection);
        sender.send_request(request).await.map_err(lost)
    } else {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(io)
            .await
            .map_err(lost)?;
        tasks.spawn(connection);
        sender.send_request(request).await.map_err(lost)
    }
}

fn request(hop: &Hop, connected: &Connected) -> Attempt<Request<Full<Bytes>>> {
    let odd = |error: hyper::http::Error| {
        ClientError::new(ClientErrorKind::Protocol, format!("no request: {error}"))
    };
    let whole = Uri::try_from(hop.url.as_str()).map_err(|error| odd(error.into()))?;
    let mut headers = hop.headers.clone();
    let uri = if connected.http2 {
        // HTTP/2 has the host in the URI only.
        let mut parts = whole.into_parts();
        if let Some(host) = headers.remove(HOST) {
            parts.authority = Authority::try_from(host.as_bytes())
                .ok()
                .or(parts.authority);
        }
        Uri::from_parts(parts).map_err(|error| odd(error.into()))?
    } else {
        if let (false, Some(authority)) = (headers.contains_key(HOST), whole.authority()) {
            let host = HeaderValue::from_str(authority.as_str());
            headers.insert(HOST, host.map_err(|error| odd(error.into()))?);
        }
        match &connected.forward {
            Some(forward) => {
                if let Some(authorization) = &forward.authorization {
                    headers.insert(PROXY_AUTHORIZATION, authorization.clone());
                }
                whole
            }
            None => whole
                .path_and_query()
                .cloned()
                .unwrap_or(PathAndQuery::from_static("/"))
                .into(),
        }
    };
    let mut request = Request::new(Full::new(hop.body.clone().unwrap_or_default()));
    *request.method_mut() = hop.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What a failure of HTTP means: `otherwise` where the connection was cut.
fn broken(error: &hyper::Error, otherwise: ClientErrorKind) -> ClientError {
    let mut kind = if error.is_parse() {
        ClientErrorKind::Protocol
    } else {
        otherwise
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // A server says that it does not like our certificate in place of an answer.
        if error.downcast_ref().is_some_and(is_tls) {
            kind = ClientErrorKind::Tls;
        }
        cause = error.source();
    }
    ClientError::new(kind, format!("the connection failed: {}", chain(error)))
}

/// The tasks of one connection.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Tasks {
    fn spawn<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        // Errors of the connection come out of the request and the body, too.
        let task = tokio::spawn(task).abort_handle();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(task);
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

/// Ends the tasks of a connection, and its socket with them, at once: nobody waits for a farewell that the other end
/// may not read.
#[derive(Default)]
struct Connection(Tasks);

impl Drop for Connection {
    fn drop(&mut self) {
        let tasks = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        for task in &*tasks {
            task.abort();
        }
    }
}
