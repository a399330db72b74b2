//! What was asked for: the arguments, and what they mean to the client.
#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help text, which is plain"
)]

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};

use super::console::{Color, Console, Style};
use super::text::shown;
use super::{FINE, UNUSABLE};
use crate::client::{
    ClientOptions, ClientRequest, Headers, Proxy, Reconnect, StopOn, TlsOptions, When,
};
use crate::error::Error;
use crate::wire::parse::DEFAULT_MAX_EVENT_SIZE;

/// Server-Sent Events from a terminal: follow a stream, or find out what is wrong with one.
#[derive(Debug, Parser)]
#[command(name = "ssehub", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Follow a stream
    ///
    /// Prints each event as it comes, and reconnects with the last event id when the stream is over or breaks. A method
    /// other than GET is not repeated. Ctrl-C ends it.
    ///
    /// Exit status: 0 when the stream is complete (status 204, --stop-on, --count), 1 when it failed for good, 2 for
    /// wrong arguments.
    Tail(TailArgs),
    /// Examine a stream, and say what to do about what is wrong
    ///
    /// Connects as a browser would, watches what comes and when, then reconnects with the last event id. Looks at the
    /// head of the answer, at whether something on the way buffers, at heartbeats, at cuts, and at resuming.
    ///
    /// Exit status: 0 when no problem was found, 1 when there is one, 2 for wrong arguments or where no connection could
    /// be made.
    Doctor(DoctorArgs),
}

/// What both commands ask a server, and how.
#[derive(Args, Debug)]
pub(super) struct RequestArgs {
    /// Where the stream is. Without a scheme, http:// is meant
    url: String,
    /// A header field to send; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The method; GET, or POST where there is --data
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// The body to send: text, @FILE, or @- for the standard input. It is called JSON where it is JSON
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// Accept any certificate
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Certificates to trust (PEM) in place of those of the system
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// The proxy to use (http, https, socks5, socks5h), or "none"; otherwise the environment's HTTP_PROXY and the like
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) color: Color,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct TailArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Show events of this type only; may be given more than once
    #[arg(short, long = "event", value_name = "TYPE")]
    pub(super) events: Vec<String>,
    /// Start after this event
    #[arg(long, value_name = "ID")]
    last_event_id: Option<String>,
    /// Print each event as a line of JSON: {"event", "id", "data"}. All else goes to the standard error
    #[arg(long)]
    pub(super) json: bool,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// End at an event with this data, such as [DONE]; a stream that ends without it has failed
    #[arg(long, value_name = "DATA", conflicts_with = "stop_on_event")]
    stop_on: Option<String>,
    /// End at an event of this type; a stream that ends without it has failed
    #[arg(long, value_name = "TYPE")]
    stop_on_event: Option<String>,
    /// End when the stream ends
    #[arg(long)]
    no_reconnect: bool,
    /// Keep trying also while there has been no stream yet
    #[arg(long, conflicts_with = "no_reconnect")]
    wait: bool,
    /// Take a connection for dead after so long without a byte, heartbeats included
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<u64>,
    /// The largest event to accept
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MAX_EVENT_SIZE)]
    max_event_size: usize,
    /// Show comments, too, such as heartbeats
    #[arg(long)]
    comments: bool,
    /// Do not tell of connections, only of events and gaps
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// How long to watch, at most. Heartbeats come every 15 seconds, mostly; many proxies cut after 60
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "20")]
    pub(super) seconds: u64,
    /// Ask as a page of this origin would (https://app.example), and look at what CORS says
    #[arg(long, value_name = "ORIGIN")]
    pub(super) origin: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments that cannot be used, or a request for help.
pub(super) enum Refused {
    /// What clap has to say: help and versions, too.
    Usage(Box<clap::Error>),
    /// What cannot be used, and why.
    Argument(String),
}

impl Refused {
    pub(super) fn print(&self, console: &mut Console<'_>) -> u8 {
        match self {
            Self::Usage(error) if error.use_stderr() => {
                let text = error.render().to_string();
                console.warn(Style::Plain, text.trim_end());
                UNUSABLE
            }
            Self::Usage(error) => {
                // Help into a closed pipe is nobody's loss.
                let _ = console.print(&error.render().to_string());
                FINE
            }
            Self::Argument(message) => {
                console.warn(Style::Alarm, &format!("ssehub: {}", shown(message)));
                UNUSABLE
            }
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Argument(error.to_string())
    }
}

pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Refused> {
    let args = std::iter::once(OsString::from("ssehub")).chain(args);
    match Line::try_parse_from(args) {
        Ok(line) => Ok(line.command),
        Err(error) => Err(Refused::Usage(Box::new(error))),
    }
}

/// Seconds, in milliseconds.
fn seconds(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        // A day is more than anybody wants, and far from what does not fit.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be from 0.001 to 86,400"
        )]
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok((seconds * 1000.0) as u64),
        _ => Err("not a number of seconds from 0.001 to 86400".into()),
    }
}

impl RequestArgs {
    /// The request that these arguments ask for. Reads files that they name.
    pub(super) fn request(&self) -> Result<ClientRequest, Refused> {
        let mut headers = self
            .headers
            .iter()
            .map(|field| header(field))
            .collect::<Result<Headers, Refused>>()?;
        let body = match &self.data {
            Some(data) => Some(body(data)?),
            None => None,
        };
        if let Some(body) = &body
            && !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            headers.push(("Content-Type".into(), content_type(body).into()));
        }
        let default = if body.is_some() { "POST" } else { "GET" };
        Ok(ClientRequest {
            url: with_scheme(&self.url),
            method: self.method.clone().unwrap_or_else(|| default.into()),
            headers,
            body,
            last_event_id: None,
        })
    }

    /// The options that say how to get there.
    pub(super) fn options(&self) -> Result<ClientOptions, Refused> {
        Ok(ClientOptions {
            tls: TlsOptions {
                ca: match &self.cacert {
                    Some(path) => Some(read(path)?),
                    None => None,
                },
                client_cert: None,
                insecure: self.insecure,
            },
            proxy: match self.proxy.as_deref() {
                None => Proxy::Environment,
                Some("none") => Proxy::None,
                Some(url) => Proxy::Url(url.into()),
            },
            ..ClientOptions::default()
        })
    }
}

impl TailArgs {
    pub(super) fn source(&self) -> Result<(ClientRequest, ClientOptions), Refused> {
        let request = ClientRequest {
            last_event_id: self.last_event_id.clone(),
            ..self.request.request()?
        };
        let data = self.stop_on.clone().map(StopOn::Data);
        let stop_on = data.or_else(|| self.stop_on_event.clone().map(StopOn::Event));
        let options = ClientOptions {
            reconnect: Reconnect {
                when: if self.no_reconnect {
                    When::Never
                } else {
                    When::IfGet
                },
                // A typing error in the URL is the likeliest reason of a first failure.
                first: self.wait,
                ..Reconnect::default()
            },
            comments: self.comments,
            stop_on,
            max_event_size: self.max_event_size,
            idle_timeout: self.timeout,
            ..self.request.options()?
        };
        Ok((request, options))
    }
}

/// `localhost:8000/events` has none; what follows its host may look like one.
fn with_scheme(url: &str) -> String {
    match url.split(['/', '?', '#']).next() {
        Some(start) if start.ends_with(':') => url.to_owned(),
        _ => format!("http://{url}"),
    }
}

fn header(field: &str) -> Result<(String, Vec<u8>), Refused> {
    let Some((name, value)) = field.split_once(':') else {
        return Err(Refused::Argument(format!(
            "--header {field:?} has no colon: write it as \"Name: value\""
        )));
    };
    Ok((name.trim().to_owned(), value.trim().as_bytes().to_vec()))
}

fn body(data: &str) -> Result<Bytes, Refused> {
    match data.strip_prefix('@') {
        None => Ok(Bytes::copy_from_slice(data.as_bytes())),
        Some("-") => {
            let mut body = Vec::new();
            match std::io::stdin().read_to_end(&mut body) {
                Ok(_) => Ok(body.into()),
                Err(error) => Err(Refused::Argument(format!(
                    "the standard input cannot be read: {error}"
                ))),
            }
        }
        Some(path) => Ok(read(Path::new(path))?.into()),
    }
}

fn content_type(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(_) => "application/json",
        Err(_) => "text/plain; charset=utf-8",
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Refused> {
    std::fs::read(path)
        .map_err(|error| Refused::Argument(format!("{} cannot be read: {error}", path.display())))
}
