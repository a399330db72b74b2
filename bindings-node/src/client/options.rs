//! What a source is asked for, as JavaScript hands it over: `eventsource-options.js` has checked types, names and
//! ranges. Times are milliseconds.

use std::ops::RangeInclusive;

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use ssehub::{
    ClientOptions, ClientRequest, Headers, HttpVersion, Proxy, Reconnect, Redirects, StopOn,
    TlsOptions, When,
};

use crate::event::whole;

#[napi(object, object_to_js = false)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct SourceSettings {
    pub url: String,
    pub method: String,
    pub headers: HeaderFields,
    pub body: Option<Buffer>,
    pub last_event_id: Option<String>,
    pub reconnect: ReconnectSettings,
    pub max_redirects: Option<u32>,
    pub foreign_body: bool,
    pub ask_redirects: bool,
    pub stop_on_data: Option<String>,
    pub stop_on_event: Option<String>,
    pub require_finish: bool,
    pub ask_headers: bool,
    pub comments: bool,
    pub compression: bool,
    pub check_content_type: bool,
    pub max_event_size: Option<f64>,
    /// Below 0: no limit.
    pub connect_timeout: Option<f64>,
    pub idle_timeout: Option<f64>,
    pub http2: Option<bool>,
    pub ca: Option<Buffer>,
    pub client_cert: Option<Buffer>,
    pub insecure: bool,
    /// Empty: none. Absent: what the environment says.
    pub proxy: Option<String>,
    pub unix_socket: Option<String>,
}

/// Names and values, in their order.
#[napi(object)]
pub struct HeaderFields {
    pub names: Vec<String>,
    pub values: Vec<String>,
}

#[napi(object, object_to_js = false)]
pub struct ReconnectSettings {
    pub when: Option<String>,
    pub first: Option<bool>,
    /// Pairs: from, to.
    pub statuses: Option<Vec<u16>>,
    pub delay: Option<f64>,
    pub max_delay: Option<f64>,
    pub reset_after: Option<f64>,
    pub min_server_delay: Option<f64>,
    pub max_server_delay: Option<f64>,
    pub max_retries: Option<u32>,
    pub max_elapsed: Option<f64>,
}

/// Header fields as the engine takes them.
pub(crate) fn headers(names: Vec<String>, values: Vec<String>) -> Headers {
    let values = values.into_iter().map(String::into_bytes);
    names.into_iter().zip(values).collect()
}

/// A time limit that may be switched off, or absent.
fn limit(given: Option<f64>, otherwise: Option<u64>) -> Option<u64> {
    match given {
        Some(time) if time < 0.0 => None,
        Some(time) => Some(whole(time)),
        None => otherwise,
    }
}

impl SourceSettings {
    pub(crate) fn into_core(self) -> (ClientRequest, ClientOptions) {
        let request = ClientRequest {
            url: self.url,
            method: self.method,
            headers: headers(self.headers.names, self.headers.values),
            body: self.body.map(|body| Vec::from(body).into()),
            last_event_id: self.last_event_id,
        };
        let plain = ClientOptions::default();
        let options = ClientOptions {
            reconnect: self.reconnect.to_core(),
            redirects: Redirects {
                max: self.max_redirects.unwrap_or(plain.redirects.max),
                foreign_body: self.foreign_body,
                ask: self.ask_redirects,
            },
            stop_on: match (self.stop_on_data, self.stop_on_event) {
                (Some(data), _) => Some(StopOn::Data(data)),
                (None, Some(event)) => Some(StopOn::Event(event)),
                (None, None) => None,
            },
            require_finish: Some(self.require_finish),
            ask_headers: self.ask_headers,
            comments: self.comments,
            compression: self.compression,
            check_content_type: self.check_content_type,
            max_event_size: self.max_event_size.map_or(plain.max_event_size, |size| {
                usize::try_from(whole(size)).unwrap_or(usize::MAX)
            }),
            connect_timeout: limit(self.connect_timeout, plain.connect_timeout),
            idle_timeout: limit(self.idle_timeout, plain.idle_timeout),
            http: match self.http2 {
                None => HttpVersion::Auto,
                Some(false) => HttpVersion::Http1,
                Some(true) => HttpVersion::Http2,
            },
            tls: TlsOptions {
                ca: self.ca.map(Into::into),
                client_cert: self.client_cert.map(Into::into),
                insecure: self.insecure,
            },
            proxy: match self.proxy {
                None => Proxy::Environment,
                Some(url) if url.is_empty() => Proxy::None,
                Some(url) => Proxy::Url(url),
            },
            unix_socket: self.unix_socket.map(Into::into),
            ..plain
        };
        (request, options)
    }
}

impl ReconnectSettings {
    fn to_core(&self) -> Reconnect {
        let plain = Reconnect::default();
        let time = |given: Option<f64>, otherwise| given.map_or(otherwise, whole);
        let (least, greatest) = plain.server_delay.into_inner();
        Reconnect {
            when: match self.when.as_deref() {
                Some("always") => When::Always,
                Some("error") => When::OnError,
                Some("never") => When::Never,
                _ => When::IfGet,
            },
            first: self.first.unwrap_or(plain.first),
            statuses: self
                .statuses
                .as_ref()
                .map_or(plain.statuses, |pairs| ranges(pairs)),
            delay: time(self.delay, plain.delay),
            max_delay: time(self.max_delay, plain.max_delay),
            reset_after: time(self.reset_after, plain.reset_after),
            server_delay: time(self.min_server_delay, least)
                ..=time(self.max_server_delay, greatest),
            max_retries: self.max_retries,
            max_elapsed: self.max_elapsed.map(whole),
        }
    }
}

fn ranges(pairs: &[u16]) -> Vec<RangeInclusive<u16>> {
    pairs
        .chunks_exact(2)
        .map(|pair| pair[0]..=pair[1])
        .collect()
}
