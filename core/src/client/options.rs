//! What can be asked of an [`EventSource`](super::EventSource). Plain values; `request.rs` and [`ClientOptions::check`]
//! look at them.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::wire::parse::DEFAULT_MAX_EVENT_SIZE;

/// Header fields in their order. Values are bytes, as on the wire; text is written there as UTF-8.
pub type Headers = Vec<(String, Vec<u8>)>;

/// What is asked of the server.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// An absolute `http:` or `https:` URL. Credentials in it become an `Authorization` header.
    pub url: String,
    /// The method, `GET` unless said otherwise.
    pub method: String,
    /// Header fields. They replace those that the client sends by itself, `Accept` and `User-Agent` among them.
    pub headers: Headers,
    /// The body, the same at each attempt.
    pub body: Option<Bytes>,
    /// Where to start: the id of the last event that was seen in an earlier life.
    pub last_event_id: Option<String>,
}

impl ClientRequest {
    /// A plain GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "GET".into(),
            headers: Headers::new(),
            body: None,
            last_event_id: None,
        }
    }
}

/// When a stream that is over is opened again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum When {
    /// `Always` for GET, `Never` for other methods: whether an order may be repeated is the caller's to say.
    #[default]
    IfGet,
    /// After errors and after orderly ends.
    Always,
    /// After errors only: an orderly end is the end.
    OnError,
    /// Never.
    Never,
}

/// Whether, when and how often to reconnect. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// After what.
    pub when: When,
    /// Whether a first attempt that fails is repeated, too.
    pub first: bool,
    /// The statuses that are worth another try.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// The first delay is a random one up to this, from a tenth of it or 100 ms on, whichever is less; each further one
    /// in a row up to twice as much.
    pub delay: u64,
    /// The limit of that growth.
    pub max_delay: u64,
    /// A connection that lasted so long was a good one: delays start small again. So does one that brought events and
    /// ended in an orderly way.
    pub reset_after: u64,
    /// What the server may ask for with `retry:` and `Retry-After`: other values are moved to the nearer bound. The
    /// delay is that at least. A random part comes on top, of the upper bound, too, so that not all that were told the
    /// same come back together: up to a quarter after `retry:`, a tenth after `Retry-After`, or what `delay` and
    /// `max_delay` allow if that is more. Delays that no server has asked for are not bounded by this.
    pub server_delay: RangeInclusive<u64>,
    /// How many tries in a row, without a good connection among them. `None`: no limit.
    pub max_retries: Option<u32>,
    /// How long in all without a good connection. `None`: no limit.
    pub max_elapsed: Option<u64>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            when: When::default(),
            first: true,
            statuses: vec![429..=429, 500..=599],
            delay: 1000,
            max_delay: 30_000,
            reset_after: 5000,
            server_delay: 100..=300_000,
            max_retries: None,
            max_elapsed: None,
        }
    }
}

/// Which redirects are followed. Never one from `https:` to `http:`.
#[derive(Clone, Debug)]
pub struct Redirects {
    /// How many in a row. 0: none.
    pub max: u32,
    /// Whether a body may be sent to another origin than the one it was meant for.
    pub foreign_body: bool,
    /// Whether the caller is asked about each one: [`Question::Redirect`](super::Question::Redirect).
    pub ask: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Self {
            max: 10,
            foreign_body: false,
            ask: false,
        }
    }
}

/// The mark by which a stream says that it is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopOn {
    /// An event with exactly this data, `[DONE]` for example.
    Data(String),
    /// An event of this type, `message_stop` for example.
    Event(String),
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// What the server prefers over TLS; HTTP/1.1 otherwise.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// How servers prove who they are, and how we do.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// PEM certificates to trust, in place of those of the system.
    pub ca: Option<Vec<u8>>,
    /// PEM with our certificate chain and its private key. Shown to the request's own origin only.
    pub client_cert: Option<Vec<u8>>,
    /// Accepts any certificate. For tests: whoever is on the way can read and change everything.
    pub insecure: bool,
}

impl std::fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsOptions")
            .field("ca", &self.ca.is_some())
            .field("client_cert", &self.client_cert.is_some())
            .field("insecure", &self.insecure)
            .finish()
    }
}

/// Through what the server is reached.
#[derive(Clone, Debug, Default)]
pub enum Proxy {
    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, as curl reads them.
    #[default]
    Environment,
    /// Directly.
    None,
    /// This one: `http:`, `https:`, `socks5:` or `socks5h:`, with credentials where it wants them.
    Url(String),
}

/// Everything that is not the request itself. Times are in milliseconds.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct ClientOptions {
    /// Reconnecting.
    pub reconnect: Reconnect,
    /// Redirects.
    pub redirects: Redirects,
    /// The mark after which the stream is complete: no reconnecting, whatever `reconnect` says.
    pub stop_on: Option<StopOn>,
    /// An orderly end without that mark (or [`EventSource::finish`](super::EventSource::finish), or status 204) is an
    /// error where it is not a reason to reconnect. `None`: where `stop_on` is given.
    pub require_finish: Option<bool>,
    /// Whether the caller is asked for more headers before each attempt:
    /// [`Question::Headers`](super::Question::Headers). It then also gets a second chance after a 401.
    pub ask_headers: bool,
    /// Asks for a compressed body. What comes compressed is decompressed in any case.
    pub compression: bool,
    /// Whether answers must be `text/event-stream`.
    pub check_content_type: bool,
    /// The limit on one event, decompressed.
    pub max_event_size: usize,
    /// For the connection to stand: name, socket, proxy, TLS. Several addresses of a name share it. `None`: as long as
    /// the system takes.
    pub connect_timeout: Option<u64>,
    /// Without a single byte in either direction, once the connection stands. `None`: no limit.
    pub idle_timeout: Option<u64>,
    /// Reading stops while so many events wait to be taken.
    pub max_queued_events: usize,
    /// Reading stops while so many bytes wait to be taken.
    pub max_queued_bytes: usize,
    /// Whether each piece of the body is also handed over as it came: [`Notice::Bytes`](super::Notice::Bytes).
    pub raw: bool,
    /// Whether comments are handed over: [`Notice::Comment`](super::Notice::Comment).
    pub comments: bool,
    /// The version of HTTP.
    pub http: HttpVersion,
    /// TLS.
    pub tls: TlsOptions,
    /// Proxies.
    pub proxy: Proxy,
    /// The socket of a server on this machine. The URL then gives `Host` and path only.
    pub unix_socket: Option<PathBuf>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            reconnect: Reconnect::default(),
            redirects: Redirects::default(),
            stop_on: None,
            require_finish: None,
            ask_headers: false,
            compression: false,
            check_content_type: true,
            max_event_size: DEFAULT_MAX_EVENT_SIZE,
            connect_timeout: Some(10_000),
            idle_timeout: None,
            max_queued_events: 1024,
            max_queued_bytes: 1 << 20,
            raw: false,
            comments: false,
            http: HttpVersion::default(),
            tls: TlsOptions::default(),
            proxy: Proxy::default(),
            unix_socket: None,
        }
    }
}

impl ClientOptions {
    /// Whether a stream that ends without its mark has failed.
    pub(crate) fn needs_finish(&self) -> bool {
        self.require_finish.unwrap_or(self.stop_on.is_some())
    }

    /// Checks that each value can work.
    ///
    /// # Errors
    /// `OutOfRange` where one cannot, with its name in [`Error::field`].
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("max_event_size", self.max_event_size as u64),
            ("max_queued_events", self.max_queued_events as u64),
            ("max_queued_bytes", self.max_queued_bytes as u64),
            ("connect_timeout", self.connect_timeout.unwrap_or(1)),
            ("idle_timeout", self.idle_timeout.unwrap_or(1)),
            ("delay", self.reconnect.delay),
            ("max_delay", self.reconnect.max_delay),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::range(name, format!("{name} must not be 0")));
            }
        }
        if self.reconnect.server_delay.is_empty() {
            return Err(Error::range(
                "server_delay",
                "the least delay that a server may ask for is over the greatest",
            ));
        }
        if self.unix_socket.is_some() && !cfg!(unix) {
            return Err(Error::invalid(
                "unix_socket",
                "this system has no Unix sockets: use TCP",
            ));
        }
        Ok(())
    }
}
