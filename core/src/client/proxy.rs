//! Which proxy stands before a URL, and how to get through it.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::{Request, Response, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use url::{Host, Url};

use super::error::{ClientError, ClientErrorKind, Refusal, chain};
use super::options::Proxy;
use super::policy::plain;
use super::socket::Io;
use super::socks;
use crate::error::{Error, Result};

const SUPPORTED: &str = "give http://, https://, socks5:// or socks5h://host:port";
/// The limit of what a proxy answers before it is a tunnel.
const MAX_HEAD: usize = 16 * 1024;

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
                        Error::invalid("proxy", format!("not the URL of a proxy: {SUPPORTED}"))
                    })?;
                Some(matcher)
            }
        };
        Ok(Self { matcher })
    }

    /// The one for this URL, if any.
    ///
    /// # Errors
    /// `Proxy`, where the environment names one that nobody here can speak to. Going past it is no way out: it is there
    /// for a reason.
    pub(crate) fn intercept(
        &self,
        url: &Url,
    ) -> std::result::Result<Option<Intercept>, ClientError> {
        let (Some(matcher), Ok(uri)) = (&self.matcher, Uri::try_from(url.as_str())) else {
            return Ok(None);
        };
        match matcher.intercept(&uri) {
            Some(proxy) if !is_http(&proxy) && !is_socks(&proxy) => Err(unspeakable(url, &proxy)),
            proxy => Ok(proxy),
        }
    }
}

fn unspeakable(url: &Url, proxy: &Intercept) -> ClientError {
    let scheme = proxy.uri().scheme_str().unwrap_or_default();
    let names = match url.scheme() {
        "https" => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let start = format!("{scheme}://");
    let says_so = |name: &&str| std::env::var(name).is_ok_and(|value| value.starts_with(&start));
    let name = names.into_iter().find(says_so).unwrap_or("the environment");
    let message = format!("{name} names a {scheme}:// proxy, which is not supported: {SUPPORTED}");
    ClientError::new(ClientErrorKind::Proxy, message).retryable(false)
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
    let failed = |error: hyper::Error| refused(proxy, &chain(&error));
    let request = order(proxy, url).map_err(|error| refused(proxy, &error.to_string()))?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(io))
        .await
        .map_err(failed)?;
    let mut connection = Some(Box::pin(connection.with_upgrades()));
    let mut agreed = pin!(async {
        let response = sender.send_request(request).await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(no_tunnel(proxy, &response));
        }
        hyper::upgrade::on(response).await.map_err(failed)
    });
    let tunnel = poll_fn(|context| {
        // Its errors come out of the request, too.
        if let Some(running) = &mut connection
            && running.as_mut().poll(context).is_ready()
        {
            connection = None;
        }
        agreed.as_mut().poll(context)
    });
    Ok(Box::new(TokioIo::new(tunnel.await?)))
}

fn order(proxy: &Intercept, url: &Url) -> hyper::http::Result<Request<Empty<Bytes>>> {
    let host = url.host_str().unwrap_or_default();
    // The port is written out: proxies know no default.
    let place = format!("{host}:{}", port(url));
    let mut request = Request::connect(&place).header(HOST, &place);
    if let Some(authorization) = proxy.basic_auth() {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    request.body(Empty::new())
}

/// What it means when a proxy answers, but not with a tunnel.
fn no_tunnel(proxy: &Intercept, response: &Response<Incoming>) -> ClientError {
    let status = response.status().as_u16();
    let why = match status {
        407 if proxy.basic_auth().is_none() => {
            ", it wants a login: put user and password into its URL, http://user:password@host:port"
        }
        407 => ", it does not accept user and password",
        _ => "",
    };
    // It has understood, and does not want to; or it cannot, now.
    let retryable = !(400..500).contains(&status) || matches!(status, 408 | 425 | 429);
    refused(proxy, &format!("it answered with status {status}{why}"))
        .retryable(retryable)
        .with_refusal(Refusal {
            status,
            headers: plain(response.headers()),
            body: Vec::new(),
            retry_after: None,
        })
}

/// Asks a SOCKS proxy for the URL's host. The proxy looks the name up.
pub(crate) async fn socks(
    mut io: Io,
    proxy: &Intercept,
    url: &Url,
) -> std::result::Result<Io, ClientError> {
    let host = url.host().unwrap_or(Host::Domain(""));
    match socks::connect(&mut io, proxy.raw_auth(), &host, port(url)).await {
        Ok(()) => Ok(io),
        Err(why) => Err(refused(proxy, &why.why).retryable(why.retryable)),
    }
}

fn refused(proxy: &Intercept, why: &str) -> ClientError {
    let message = format!("the proxy {} does not help: {why}", proxy.uri());
    ClientError::new(ClientErrorKind::Proxy, message)
}

fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(443)
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
