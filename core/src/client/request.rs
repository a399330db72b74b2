//! From what the caller wants to what goes on the wire: the checks, and the fields that the client adds.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

use super::options::{ClientRequest, Headers};
use crate::error::{Error, Result};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A longer id would be refused with the whole request, at each attempt.
const MAX_ID: usize = 4096;
/// Fields that say where a message ends, or how the connection is used: they are the client's own.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields that describe the body.
const DESCRIPTIONS: [&str; 10] = [
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "digest",
    "repr-digest",
];

/// One request to one place: the first of an attempt, or what a redirect makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// Without credentials and fragment.
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// Another origin was passed on the way: nothing that the caller meant for the first may be shown.
    pub(crate) foreign: bool,
    /// The redirects on the way.
    pub(crate) redirects: u32,
}

/// A request that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) method: Method,
    headers: HeaderMap,
    body: Option<Bytes>,
    compression: bool,
}

impl Target {
    /// Checks a request. Returns it, and the id to start from.
    ///
    /// # Errors
    /// `InvalidArgument`, with the name of the part that is at fault.
    pub(crate) fn new(request: &ClientRequest, compression: bool) -> Result<(Self, String)> {
        let mut url = parse(&request.url)?;
        let mut headers = fields(&request.headers)?;
        if let Some(credentials) = take_credentials(&mut url)
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, credentials);
        }
        let method = Method::from_bytes(request.method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| Error::invalid("method", "not a method of HTTP: give GET, POST ..."))?;
        // Whoever sets the field means the option.
        let from_header = headers.remove(LAST_EVENT_ID);
        let last_event_id = match (&request.last_event_id, from_header) {
            (Some(id), _) => id.clone(),
            (None, Some(id)) => String::from_utf8_lossy(id.as_bytes()).into_owned(),
            (None, None) => String::new(),
        };
        let target = Self {
            url,
            method,
            headers,
            body: request.body.clone(),
            compression,
        };
        Ok((target, last_event_id))
    }

    /// The first request of an attempt.
    pub(crate) fn hop(&self, more: &HeaderMap, last_event_id: &str) -> Hop {
        let mut headers = self.own_fields();
        for set in [&self.headers, more] {
            for name in set.keys() {
                headers.remove(name);
            }
            for (name, value) in set {
                headers.append(name.clone(), value.clone());
            }
        }
        if let Some(id) = transportable(last_event_id) {
            headers.insert(LAST_EVENT_ID, id);
        }
        Hop {
            url: self.url.clone(),
            method: self.method.clone(),
            headers,
            body: self.body.clone(),
            foreign: false,
            redirects: 0,
        }
    }

    /// What a foreign origin is shown of a request's fields: those that every request of ours has, and those without
    /// which its body cannot be understood.
    pub(crate) fn foreign_fields(&self, headers: &HeaderMap) -> HeaderMap {
        let mut shown = self.own_fields();
        for (name, value) in headers {
            if describes_body(name) {
                shown.append(name.clone(), value.clone());
            }
        }
        shown
    }

    fn own_fields(&self) -> HeaderMap {
        let encoding = if self.compression {
            "gzip, br, zstd"
        } else {
            "identity"
        };
        HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("text/event-stream")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (ACCEPT_ENCODING, HeaderValue::from_static(encoding)),
            (
                USER_AGENT,
                HeaderValue::from_static(concat!("ssehub/", env!("CARGO_PKG_VERSION"))),
            ),
        ])
    }
}

fn parse(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid("url", format!("not an absolute URL ({error}): {text:?}"))
    })?;
    check_url(&url).map_err(|message| Error::invalid("url", message))?;
    Ok(url)
}

/// Whether this client can go there; if not, why.
pub(crate) fn check_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http: and https: URLs can be streams");
    }
    if Uri::try_from(url.as_str()).is_err() {
        return Err("the URL has characters that HTTP cannot carry, or is too long");
    }
    Ok(())
}

/// Takes user and password out of a URL, as a value for `Authorization`.
fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    let user: Vec<u8> = percent_decode_str(url.username()).collect();
    let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
    strip(url);
    if user.is_empty() && password.is_empty() {
        return None;
    }
    let pair = [user, b":".to_vec(), password].concat();
    let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Takes off what is not for the wire, nor for logs.
pub(crate) fn strip(url: &mut Url) {
    // These fail for URLs without a host only.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
}

/// Checks header fields that a caller gives.
///
/// # Errors
/// `InvalidArgument`, for `headers`.
pub(crate) fn fields(given: &Headers) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::invalid("headers", format!("not a name of a header field: {name:?}"))
        })?;
        if OURS.contains(&known.as_str()) {
            return Err(Error::invalid(
                "headers",
                format!("{name} is set by the client itself: remove it"),
            ));
        }
        if known == PROXY_AUTHORIZATION {
            return Err(Error::invalid(
                "headers",
                "Proxy-Authorization would go to the server: put user and password into the proxy's URL, \
                 http://user:password@host:port",
            ));
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| {
            Error::invalid(
                "headers",
                format!("the value of {name} has a control character: remove it"),
            )
        })?;
        headers.append(known, value);
    }
    Ok(headers)
}

/// Whether a field says something of the body that it comes with: it goes where the body goes.
pub(crate) fn describes_body(name: &HeaderName) -> bool {
    DESCRIPTIONS.contains(&name.as_str())
}

/// An id as a header value, if it can be one: no request is worth failing for an odd id.
fn transportable(id: &str) -> Option<HeaderValue> {
    if id.is_empty() || id.len() > MAX_ID {
        return None;
    }
    HeaderValue::from_bytes(id.as_bytes()).ok()
}
