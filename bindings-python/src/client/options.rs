//! Requests and options, from the plain values of `client/options.py`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use pyo3::prelude::*;
use ssehub::{
    ClientOptions, ClientRequest, HttpVersion, Proxy, Reconnect, Redirects, StopOn, TlsOptions,
    When,
};

use crate::error::argument;

/// Header fields: names, and values as on the wire.
pub(crate) type PlainHeaders = Vec<(String, Vec<u8>)>;

/// What is asked of the server.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PlainRequest {
    url: String,
    method: String,
    headers: PlainHeaders,
    body: Option<Vec<u8>>,
    last_event_id: Option<String>,
}

/// Everything else. Times are in milliseconds.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a dict of Python's, where each has its name"
)]
pub(crate) struct PlainOptions {
    reconnect: PlainReconnect,
    redirects: PlainRedirects,
    stop_on: Option<String>,
    require_finish: bool,
    ask_headers: bool,
    comments: bool,
    compression: bool,
    check_content_type: bool,
    max_event_size: usize,
    connect_timeout: Option<u64>,
    idle_timeout: Option<u64>,
    http2: Option<bool>,
    ca: Option<Vec<u8>>,
    client_cert: Option<Vec<u8>>,
    insecure: bool,
    proxy: Option<String>,
    direct: bool,
    unix_socket: Option<PathBuf>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct PlainReconnect {
    when: String,
    first: bool,
    statuses: Vec<(u16, u16)>,
    delay: u64,
    max_delay: u64,
    reset_after: u64,
    server_delay: (u64, u64),
    max_retries: Option<u32>,
    max_elapsed: Option<u64>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct PlainRedirects {
    max: u32,
    foreign_body: bool,
    ask: bool,
}

impl From<PlainRequest> for ClientRequest {
    fn from(plain: PlainRequest) -> Self {
        Self {
            url: plain.url,
            method: plain.method,
            headers: plain.headers,
            body: plain.body.map(Into::into),
            last_event_id: plain.last_event_id,
        }
    }
}

impl PlainOptions {
    pub(crate) fn into_options(self, py: Python<'_>) -> PyResult<ClientOptions> {
        Ok(ClientOptions {
            reconnect: self.reconnect.into_rules(py)?,
            redirects: Redirects {
                max: self.redirects.max,
                foreign_body: self.redirects.foreign_body,
                ask: self.redirects.ask,
            },
            stop_on: self.stop_on.map(StopOn::Data),
            require_finish: Some(self.require_finish),
            ask_headers: self.ask_headers,
            comments: self.comments,
            compression: self.compression,
            check_content_type: self.check_content_type,
            max_event_size: self.max_event_size,
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            http: match self.http2 {
                None => HttpVersion::Auto,
                Some(false) => HttpVersion::Http1,
                Some(true) => HttpVersion::Http2,
            },
            tls: TlsOptions {
                ca: self.ca,
                client_cert: self.client_cert,
                insecure: self.insecure,
            },
            proxy: match self.proxy {
                Some(url) => Proxy::Url(url),
                None if self.direct => Proxy::None,
                None => Proxy::Environment,
            },
            unix_socket: self.unix_socket,
            ..ClientOptions::default()
        })
    }
}

impl PlainReconnect {
    fn into_rules(self, py: Python<'_>) -> PyResult<Reconnect> {
        let when = match self.when.as_str() {
            "get" => When::IfGet,
            "always" => When::Always,
            "error" => When::OnError,
            "never" => When::Never,
            other => {
                let message =
                    format!("when is \"get\", \"always\", \"error\" or \"never\", not {other:?}");
                return Err(argument(py, message));
            }
        };
        let range = |(first, last): (u16, u16)| -> RangeInclusive<u16> { first..=last };
        Ok(Reconnect {
            when,
            first: self.first,
            statuses: self.statuses.into_iter().map(range).collect(),
            delay: self.delay,
            max_delay: self.max_delay,
            reset_after: self.reset_after,
            server_delay: self.server_delay.0..=self.server_delay.1,
            max_retries: self.max_retries,
            max_elapsed: self.max_elapsed,
        })
    }
}
