//! From a URL to a connection: name, socket, proxy, TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Intercept;
#[cfg(unix)]
use tokio::net::UnixStream;
use tower_service::Service;
use url::Url;

use super::error::{ClientError, ClientErrorKind, chain};
use super::options::{ClientOptions, HttpVersion};
use super::proxy::{self, Proxies};
use super::request::Hop;
use super::socket::{Io, Socket};
use super::tls::Tls;
use crate::error::Result;

/// After so long without a word the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections as one source's options say.
pub(crate) struct Connector {
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
            tls: Tls::new(&options.tls)?,
            proxies: Proxies::new(&options.proxy)?,
            http: options.http,
            unix_socket: options.unix_socket.clone(),
        })
    }

    /// Connects to where the request goes.
    pub(crate) async fn connect(&self, hop: &Hop) -> std::result::Result<Connected, ClientError> {
        let secure = hop.url.scheme() == "https";
        let plain_http2 = self.http == HttpVersion::Http2;
        let mut forward = None;
        let (io, remote) = match self.proxy(&hop.url) {
            Some(proxy) => {
                let (io, remote) = self.to_proxy(&proxy).await?;
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
            None => open(self.socket(&hop.url).await?),
        };
        let (io, http2) = if secure {
            let host = hop.url.host_str().unwrap_or_default();
            self.tls.connect(io, host, hop.foreign, self.http).await?
        } else {
            (io, plain_http2)
        };
        Ok(Connected {
            io,
            http2,
            remote,
            forward,
        })
    }

    fn proxy(&self, url: &Url) -> Option<Intercept> {
        if self.unix_socket.is_some() {
            return None;
        }
        self.proxies.intercept(url)
    }

    async fn socket(&self, url: &Url) -> std::result::Result<Socket, ClientError> {
        match &self.unix_socket {
            #[cfg(unix)]
            Some(path) => UnixStream::connect(path)
                .await
                .map(Socket::Unix)
                .map_err(|error| refused(&error, &path.to_string_lossy())),
            _ => {
                let port = url.port_or_known_default().unwrap_or(80);
                tcp(url.host_str().unwrap_or_default(), port).await
            }
        }
    }

    async fn to_proxy(
        &self,
        proxy: &Intercept,
    ) -> std::result::Result<(Io, Option<SocketAddr>), ClientError> {
        let (host, port) = proxy::address(proxy);
        let (io, remote) = open(tcp(&host, port).await?);
        if !proxy::is_secure(proxy) {
            return Ok((io, remote));
        }
        // Not the origin that a certificate of ours is for.
        let foreign = true;
        let (io, _) = self
            .tls
            .connect(io, &host, foreign, HttpVersion::Http1)
            .await?;
        Ok((io, remote))
    }
}

fn open(socket: Socket) -> (Io, Option<SocketAddr>) {
    let remote = socket.remote();
    (Box::new(socket), remote)
}

/// Tries all addresses of the host, both families side by side.
async fn tcp(host: &str, port: u16) -> std::result::Result<Socket, ClientError> {
    let place = format!("{host}:{port}");
    let uri = Uri::try_from(format!("http://{place}/")).map_err(|error| refused(&error, &place))?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    match connector.call(uri).await {
        Ok(stream) => Ok(Socket::Tcp(stream.into_inner())),
        Err(error) => Err(refused(&error, &place)),
    }
}

fn refused(error: &(dyn std::error::Error + 'static), place: &str) -> ClientError {
    let message = format!("no connection to {place}: {}", chain(error));
    ClientError::new(ClientErrorKind::Connect, message)
}
