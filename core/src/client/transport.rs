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

use super::connect::{Connected, Connector, Progress};
use super::decode::{Coding, Decoder};
use super::error::{ClientError, ClientErrorKind, chain};
use super::options::ClientOptions;
use super::policy::Head;
use super::request::Hop;
use super::runtime::process;
use super::socket::Io;
use super::tls::is_tls;
use super::watchdog::Activity;
use crate::error::Result;

/// What is read at once, and the limit of a head.
const BUFFER: usize = 64 * 1024;
/// What a server may send over HTTP/2 before it is taken.
const WINDOW: u32 = 256 * 1024;

type Attempt<T> = std::result::Result<T, ClientError>;

/// Makes requests as one source's options say.
pub(crate) struct Transport {
    pub(crate) connector: Connector,
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
    coding: Coding,
    // Made when a stream is read: nobody needs to undo what a redirect or a refusal is encoded with.
    decoder: Option<Decoder>,
    watchdog: Watchdog,
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
        let connected = self.connect(hop).await?;
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
        let watchdog = Watchdog {
            activity: connected.activity.clone(),
            limit: self.idle_timeout,
        };
        let connection = Connection::default();
        let exchanged = exchange(connected, hop, &connection.0);
        let response = watchdog.watch(exchanged, "no answer").await??;
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
            incoming,
            coding: Coding::of(&head.headers),
            decoder: None,
            watchdog,
            _connection: connection,
        };
        Ok(Exchange { head, body })
    }

    async fn connect(&self, hop: &Hop) -> Attempt<Connected> {
        let progress = Progress::default();
        let connected = self.connector.connect(hop, &progress);
        let Some(limit) = self.connect_timeout else {
            return connected.await;
        };
        timeout(limit, connected).await.unwrap_or_else(|_| {
            Err(out_of_time("no connection", limit).explain(&progress.waits_for()))
        })
    }
}

impl Body {
    /// The next piece, decompressed. `None` at an orderly end.
    pub(crate) async fn next(&mut self) -> Attempt<Option<Bytes>> {
        if self.decoder.is_none() {
            self.decoder = Some(self.coding.decoder()?);
        }
        loop {
            if let Some(Decoder::Compressed(decoder)) = &mut self.decoder
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
                Some(Decoder::Compressed(decoder)) => decoder.push(bytes),
                _ => return Ok(Some(bytes)),
            }
        }
    }

    /// As much as is wanted, decompressed where that can be done. It may break off, or not come in time: what a refusal
    /// says is a courtesy.
    pub(crate) async fn beginning(&mut self, limit: usize, within: Duration) -> Vec<u8> {
        let mut raw = Vec::new();
        let reading = async {
            while raw.len() < limit
                && let Ok(Some(piece)) = self.receive().await
            {
                raw.extend_from_slice(&piece);
            }
        };
        // Out of time: what came is what there is.
        let _ = timeout(within, reading).await;
        raw.truncate(limit);
        let mut text = self.coding.expand(raw, limit);
        // It may wait long to be taken.
        text.shrink_to_fit();
        text
    }

    async fn receive(&mut self) -> Attempt<Option<Bytes>> {
        loop {
            let frame = self.watchdog.watch(self.incoming.frame(), "nothing came");
            match frame.await? {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(broken(&error, ClientErrorKind::Interrupted));
                }
                None => {
                    if let Some(Decoder::Compressed(decoder)) = &self.decoder
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

/// Bites where a connection is silent for too long.
struct Watchdog {
    activity: Arc<Activity>,
    limit: Option<Duration>,
}

impl Watchdog {
    async fn watch<T>(&self, work: impl Future<Output = T>, what: &str) -> Attempt<T> {
        let Some(limit) = self.limit else {
            return Ok(work.await);
        };
        let done = self.activity.unless_silent(limit, work).await;
        done.ok_or_else(|| out_of_time(what, limit))
    }
}

fn out_of_time(what: &str, limit: Duration) -> ClientError {
    let message = format!("{what} within {} ms", limit.as_millis());
    ClientError::new(ClientErrorKind::Timeout, message)
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
