//! Where a redirect leads, and what may be shown there.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, LOCATION};
use url::Url;

use super::error::{ClientError, ClientErrorKind};
use super::options::Redirects;
use super::policy::Head;
use super::request::{Hop, Target, check_url, describes_body, strip};

/// The request that a redirect asks for.
///
/// # Errors
/// `Redirect`, where it must not be made.
pub(crate) fn follow(
    target: &Target,
    hop: &Hop,
    head: &Head,
    rules: &Redirects,
    on_unix_socket: bool,
) -> Result<Hop, ClientError> {
    let refuse = |why: &str| {
        ClientError::new(
            ClientErrorKind::Redirect,
            format!(
                "a redirect (status {}) was not followed: {why}",
                head.status
            ),
        )
    };
    if hop.redirects >= rules.max {
        return Err(refuse(&format!("there were {} before it", hop.redirects)));
    }
    let url = destination(hop, &head.headers).map_err(|why| refuse(&why))?;
    if hop.url.scheme() == "https" && url.scheme() == "http" {
        return Err(refuse("it leads from https to http"));
    }
    let crosses = hop.url.origin() != url.origin();
    if crosses && on_unix_socket {
        return Err(refuse("it leads away from the Unix socket"));
    }
    let foreign = hop.foreign || crosses;
    let (method, body) = order(hop, head.status);
    if foreign && body.is_some() && !rules.foreign_body {
        return Err(refuse(
            "it wants the request's body sent to another origin: allow that, or ask there directly",
        ));
    }
    let mut headers = if foreign {
        target.foreign_fields(&hop.headers)
    } else {
        hop.headers.clone()
    };
    if body.is_none() {
        let described = hop.headers.keys().filter(|name| describes_body(name));
        for name in described {
            headers.remove(name);
        }
    }
    Ok(Hop {
        url,
        method,
        headers,
        body,
        foreign,
        redirects: hop.redirects + 1,
    })
}

/// The standard's method rules: a POST that has been taken is followed by a GET, and 303 always means GET.
fn order(hop: &Hop, status: u16) -> (Method, Option<Bytes>) {
    let becomes_get = match status {
        301 | 302 => hop.method == Method::POST,
        303 => hop.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        (Method::GET, None)
    } else {
        (hop.method.clone(), hop.body.clone())
    }
}

fn destination(hop: &Hop, headers: &HeaderMap) -> Result<Url, String> {
    let location = headers
        .get(LOCATION)
        .map_or(b"".as_slice(), |value| value.as_bytes());
    if location.is_empty() {
        return Err("it does not say where to".into());
    }
    let text = String::from_utf8_lossy(location);
    let mut url = hop
        .url
        .join(&text)
        .map_err(|error| format!("it leads to {text:?}, which is not a URL ({error})"))?;
    strip(&mut url);
    check_url(&url)?;
    Ok(url)
}
