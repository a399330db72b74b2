//! Which proxy stands before a URL, and how to get through it.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tower_service::Service;
use url::Url;

use super::error::{ClientError, ClientErrorKind, chain};
use super::options::Proxy;
use super::socket::Io;
use crate::error::{Error, Result};

/// The proxies that a source may use.
pub(crate) struct Proxies {
    matcher: Option<Matcher>,
}

impl Proxies {
    /// # Errors
    /// `InvalidArgument`, for `proxy`.
    pub(crate) fn new(proxy: &Proxy) -> Result<Self> {
        let matcher = match proxy {
            Proxy::None => None,
            Proxy::Environment => Some(Matcher::from_env()),
            Proxy::Url(url) => {
                let matcher = Matcher::builder().all(url.as_str()).build();
                let anywhere = Uri::from_static("http://host.invalid/");
                matcher
                    .intercept(&anywhere)
                    .filter(|proxy| is_http(proxy) || is_socks(proxy))
                    .ok_or_else(|| {
                        Error::invalid(
                            "proxy",
                            "not the URL of a proxy: give http://, https://, socks5:// or socks5h://host:port",
                        )
                    })?;
                Some(matcher)
            }
        };
        Ok(Self { matcher })
    }

    /// The one for this URL, if any.
    pub(crate) fn intercept(&self, url: &Url) -> Option<Intercept> {
        let uri = Uri::try_from(url.as_str()).ok()?;
        self.matcher.as_ref()?.intercept(&uri)
    }
}

fn is_http(proxy: &Intercept) -> bool {
    matches!(proxy.uri().scheme_str(), Some("http" | "https"))
}

pub(crate) fn is_socks(proxy: &Intercept) -> bool {
    matches!(proxy.uri().scheme_str(), Some("socks5" | "socks5h"))
}

/// Asks an HTTP proxy for a tunnel to the URL's host.
pub(crate) async fn tunnel(
    io: Io,
    proxy: &Intercept,
    url: &Url,
) -> std::result::Result<Io, ClientError> {
    let mut tunnel = Tunnel::new(proxy.uri().clone(), There::new(io));
    if let Some(authorization) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(authorization.clone());
    }
    let io = tunnel
        .call(destination(url)?)
        .await
        .map_err(|error| refused(proxy, &error))?;
    Ok(io.into_inner())
}

/// Asks a SOCKS proxy for the URL's host. The proxy looks the name up.
pub(crate) async fn socks(
    io: Io,
    proxy: &Intercept,
    url: &Url,
) -> std::result::Result<Io, ClientError> {
    let mut socks = SocksV5::new(proxy.uri().clone(), There::new(io));
    if let Some((user, password)) = proxy.raw_auth() {
        socks = socks.with_auth(user.to_owned(), password.to_owned());
    }
    let io = socks
        .call(destination(url)?)
        .await
        .map_err(|error| refused(proxy, &error))?;
    Ok(io.into_inner())
}

fn refused(proxy: &Intercept, error: &(dyn std::error::Error + 'static)) -> ClientError {
    let message = format!("the proxy {} does not help: {}", proxy.uri(), chain(error));
    ClientError::new(ClientErrorKind::Proxy, message)
}

/// Host and port of the proxy itself.
pub(crate) fn address(proxy: &Intercept) -> (String, u16) {
    let uri = proxy.uri();
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => 1080,
    };
    let host = uri.host().unwrap_or_default().to_owned();
    (host, uri.port_u16().unwrap_or(usual))
}

/// Whether the way to the proxy itself is to be secured.
pub(crate) fn is_secure(proxy: &Intercept) -> bool {
    proxy.uri().scheme_str() == Some("https")
}

/// Host and port, the port written out: proxies know no default.
fn destination(url: &Url) -> std::result::Result<Uri, ClientError> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    Uri::builder()
        .scheme("https")
        .authority(format!("{host}:{port}"))
        .path_and_query("/")
        .build()
        .map_err(|error| ClientError::new(ClientErrorKind::Proxy, error.to_string()))
}

/// A connector that has connected already.
struct There(Option<TokioIo<Io>>);

impl There {
    fn new(io: Io) -> Self {
        Self(Some(TokioIo::new(io)))
    }
}

impl Service<Uri> for There {
    type Response = TokioIo<Io>;
    type Error = std::io::Error;
    type Future = Ready<std::io::Result<TokioIo<Io>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        // Asked once only: a tunnel is one connection.
        ready(
            self.0
                .take()
                .ok_or_else(|| std::io::ErrorKind::NotConnected.into()),
        )
    }
}
