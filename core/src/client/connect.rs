//! From a URL to a connection: name, socket, proxy, TLS.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::proxy::matcher::Intercept;
#[cfg(unix)]
use tokio::net::UnixStream;
use tower_service::Service;
use url::Url;

use super::error::{ClientError, ClientErrorKind, chain};
use super::lookup::Lookups;
use super::options::{ClientOptions, HttpVersion};
use super::proxy::{self, Proxies};
use super::request::Hop;
use super::runtime::process;
use super::socket::{Io, Socket};
use super::tls::Tls;
use super::watchdog::{Activity, Watched};
use crate::error::Result;

/// After so long without a word the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections as one source's options say.
pub(crate) struct Connector {
    pub(crate) lookups: Arc<Lookups>,
    // Of the whole connection. Here for the addresses of a name, which share it.
    limit: Option<Duration>,
    tls: Tls,
    proxies: Proxies,
    http: HttpVersion,
    unix_socket: Option<PathBuf>,
}

/// A connection that stands.
pub(crate) struct Connected {
    pub(crate) io: Io,
    pub(crate) http2: bool,
    pub(crate) remote: Option<SocketAddr>,
    /// A proxy is at the other end, and is to be told the whole URL.
    pub(crate) forward: Option<Forward>,
    pub(crate) activity: Arc<Activity>,
}

/// What a connection waits for, in case it does so in vain.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<String>);

impl Progress {
    fn wait_for(&self, what: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// In words.
    pub(crate) fn waits_for(&self) -> String {
        let what = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("it waited for {what}")
    }
}

/// What a proxy wants to see beside the URL.
pub(crate) struct Forward {
    pub(crate) authorization: Option<HeaderValue>,
}

impl Connector {
    /// # Errors
    /// `InvalidArgument`, for `ca`, `client_cert` or `proxy`.
    pub(crate) fn new(options: &ClientOptions) -> Result<Self> {
        Ok(Self {
            lookups: process().lookups.clone(),
            limit: options.connect_timeout.map(Duration::from_millis),
            tls: Tls::new(&options.tls)?,
            proxies: Proxies::new(&options.proxy)?,
            http: options.http,
            unix_socket: options.unix_socket.clone(),
        })
    }

    /// Connects to where the request goes.
    pub(crate) async fn connect(
        &self,
        hop: &Hop,
        progress: &Progress,
    ) -> std::result::Result<Connected, ClientError> {
        let secure = hop.url.scheme() == "https";
        let plain_http2 = self.http == HttpVersion::Http2;
        let mut forward = None;
        let activity = Activity::new();
        let (io, remote) = match self.proxy(&hop.url)? {
            Some(proxy) => {
                let (io, remote) = self.to_proxy(&proxy, &activity, progress).await?;
                progress.wait_for(format!("the proxy {}", proxy.uri()));
                if proxy::is_socks(&proxy) {
                    (proxy::socks(io, &proxy, &hop.url).await?, remote)
                } else if secure || plain_http2 {
                    (proxy::tunnel(io, &proxy, &hop.url).await?, remote)
                } else {
                    forward = Some(Forward {
                        authorization: proxy.basic_auth().cloned(),
                    });
                    (io, remote)
                }
            }
            None => open(self.socket(&hop.url, progress).await?, &activity),
        };
        let (io, http2) = if secure {
            let host = hop.url.host_str().unwrap_or_default();
            progress.wait_for(format!("{host} to agree on TLS"));
            self.tls.connect(io, host, hop.foreign, self.http).await?
        } else {
            (io, plain_http2)
        };
        Ok(Connected {
            io,
            http2,
            remote,
            forward,
            activity,
        })
    }

    fn proxy(&self, url: &Url) -> std::result::Result<Option<Intercept>, ClientError> {
        if self.unix_socket.is_some() {
            return Ok(None);
        }
        self.proxies.intercept(url)
    }

    async fn socket(
        &self,
        url: &Url,
        progress: &Progress,
    ) -> std::result::Result<Socket, ClientError> {
        match &self.unix_socket {
            #[cfg(unix)]
            Some(path) => {
                let place = path.to_string_lossy();
                progress.wait_for(format!("{place} to take the connection"));
                UnixStream::connect(path)
                    .await
                    .map(Socket::Unix)
                    .map_err(|error| refused(&error, &place))
            }
            _ => {
                let port = url.port_or_known_default().unwrap_or(80);
                let host = url.host_str().unwrap_or_default();
                self.tcp(host, port, progress).await
            }
        }
    }

    async fn to_proxy(
        &self,
        proxy: &Intercept,
        activity: &Arc<Activity>,
        progress: &Progress,
    ) -> std::result::Result<(Io, Option<SocketAddr>), ClientError> {
        let (host, port) = proxy::address(proxy);
        let (io, remote) = open(self.tcp(&host, port, progress).await?, activity);
        if !proxy::is_secure(proxy) {
            return Ok((io, remote));
        }
        // Not the origin that a certificate of ours is for.
        let foreign = true;
        progress.wait_for(format!("the proxy {} to agree on TLS", proxy.uri()));
        let (io, _) = self
            .tls
            .connect(io, &host, foreign, HttpVersion::Http1)
            .await?;
        Ok((io, remote))
    }

    /// Looks the host up, and tries all its addresses: both families side by side, those of one family one after the
    /// other. Each has its share of the limit, so that the last has its chance where the first are silent.
    async fn tcp(
        &self,
        host: &str,
        port: u16,
        progress: &Progress,
    ) -> std::result::Result<Socket, ClientError> {
        let place = format!("{host}:{port}");
        let uri = Uri::try_from(format!("http://{place}/"));
        let uri = uri.map_err(|error| refused(&error, &place))?;
        progress.wait_for(format!("the address of {host}"));
        let found = self.lookups.find(host, port).await;
        let addresses = found.map_err(|error| refused(&error, &place))?;
        progress.wait_for(format!("{place} to take the connection"));
        let several = addresses.len() > 1;
        let mut connector = HttpConnector::new_with_resolver(Known(addresses));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_connect_timeout(self.limit.filter(|_| several));
        match connector.call(uri).await {
            Ok(stream) => Ok(Socket::Tcp(stream.into_inner())),
            Err(error) => Err(refused(&error, &place)),
        }
    }
}

fn open(socket: Socket, activity: &Arc<Activity>) -> (Io, Option<SocketAddr>) {
    let remote = socket.remote();
    (Box::new(Watched::new(socket, activity.clone())), remote)
}

/// A resolver that has the answer.
#[derive(Clone)]
struct Known(Vec<SocketAddr>);

impl Service<Name> for Known {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

fn refused(error: &(dyn std::error::Error + 'static), place: &str) -> ClientError {
    let mut kind = ClientErrorKind::Connect;
    let mut cause = Some(error);
    while let Some(error) = cause {
        let error_of_io = error.downcast_ref::<io::Error>();
        if error_of_io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            kind = ClientErrorKind::Timeout;
        }
        cause = error.source();
    }
    ClientError::new(kind, format!("no connection to {place}: {}", chain(error)))
}
