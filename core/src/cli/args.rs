//! What can be said on the command line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};

use super::Failure;
use crate::client::{ClientOptions, ClientRequest, Proxy, TlsOptions};

const EXIT_CODES: &str = "\
Exit codes:
  0    tail: the stream ended well, or --max-events came; doctor: no problem found
  1    tail: the stream failed; doctor: problems found
  2    the arguments cannot work
  130  Ctrl-C";

/// Server-Sent Events on the command line.
#[derive(Debug, Parser)]
#[command(name = "ssehub", version, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Tail(Tail),
    Doctor(Doctor),
}

/// Follow a stream: one event per line, reconnecting as browsers do
///
/// Events go to standard output: type, id, data. What else happens (reconnects, gaps) goes to standard error.
///
/// A GET request is made again when the stream ends or breaks off, with the id of the last event; other requests are
/// made once. Where even the first attempt fails, so does the command.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Tail {
    #[command(flatten)]
    pub(super) request: Request,

    /// Print each event as a JSON object: {"event", "data", "id"}
    #[arg(long)]
    pub(super) json: bool,

    /// Show events of this type only; may be repeated
    #[arg(long, short, value_name = "TYPE")]
    pub(super) event: Vec<String>,

    /// Say nothing but errors beside the events
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Start after the event with this id
    #[arg(long, value_name = "ID")]
    pub(super) last_event_id: Option<String>,

    /// End with the first connection
    #[arg(long)]
    pub(super) no_reconnect: bool,

    /// End at the event with exactly this data, "[DONE]" for example; an end without it is a failure
    #[arg(long, value_name = "DATA")]
    pub(super) stop_on: Option<String>,

    /// End at an event of this type; an end without it is a failure
    #[arg(long, value_name = "TYPE", conflicts_with = "stop_on")]
    pub(super) stop_on_event: Option<String>,

    /// End after so many events
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_events: Option<u64>,

    /// End after so long; a failure where --max-events or an end mark was waited for
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,

    /// Connect anew when no byte came for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) idle_timeout: Option<Duration>,
}

/// Look at a stream for a while, and say what is wrong with it and what to do about that
///
/// Looks at the status and the headers, at what stands between the server and here (buffering, compression, idle
/// timeouts), and at whether a client that is cut off can resume. GET requests are made several times, others once.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Doctor {
    #[command(flatten)]
    pub(super) request: Request,

    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,

    /// How long to look. To find what cuts silent streams off, longer than that takes: 70, for example
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(super) seconds: Duration,

    /// The same stream by a way without the proxies, to compare: http://localhost:8000/events, for example
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(super) direct: Option<String>,

    /// Check that a page of this origin may read the stream: https://app.example.com, for example
    #[arg(long, value_name = "ORIGIN")]
    pub(super) origin: Option<String>,
}

/// What is asked of whom, and how it is reached.
#[derive(Args, Debug)]
pub(super) struct Request {
    /// The URL of the stream; http:// may be left out
    #[arg(value_parser = url)]
    pub(super) url: String,

    /// A header field, "Authorization: Bearer ..." for example; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, Vec<u8>)>,

    /// The method [default: GET, or POST with --data]
    #[arg(long, short = 'X')]
    method: Option<String>,

    /// A body: as it is, of a file (@FILE), or from standard input (-). JSON is sent as such
    #[arg(long, short, allow_hyphen_values = true)]
    data: Option<String>,

    /// Trust these certificates (PEM) in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Trust any certificate: whoever is on the way can read and change everything
    #[arg(long, short = 'k')]
    insecure: bool,

    /// The proxy [default: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say]; "none" for none
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,

    /// Connect to this socket; the URL then gives host and path only
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,
}

impl Request {
    /// The request.
    pub(super) fn to_request(&self) -> Result<ClientRequest, Failure> {
        let body = self.data.as_deref().map(body).transpose()?;
        let mut headers = self.header.clone();
        if let Some(body) = &body
            && !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            && serde_json::from_slice::<serde_json::Value>(body).is_ok()
        {
            headers.push(("content-type".into(), b"application/json".into()));
        }
        let default = if body.is_some() { "POST" } else { "GET" };
        Ok(ClientRequest {
            url: self.url.clone(),
            method: self.method.clone().unwrap_or_else(|| default.into()),
            headers,
            body,
            last_event_id: None,
        })
    }

    /// How the server is reached.
    pub(super) fn to_options(&self) -> Result<ClientOptions, Failure> {
        Ok(ClientOptions {
            tls: TlsOptions {
                ca: self.ca.as_deref().map(read).transpose()?,
                client_cert: None,
                insecure: self.insecure,
            },
            proxy: match self.proxy.as_deref() {
                None => Proxy::Environment,
                Some("none") => Proxy::None,
                Some(url) => Proxy::Url(url.into()),
            },
            unix_socket: self.unix_socket.clone(),
            ..ClientOptions::default()
        })
    }
}

fn body(data: &str) -> Result<Bytes, Failure> {
    match data.strip_prefix('@') {
        None if data != "-" => Ok(Bytes::from(data.to_owned())),
        None | Some("-") => {
            let mut text = Vec::new();
            std::io::stdin()
                .read_to_end(&mut text)
                .map_err(|error| Failure::Usage(format!("--data: standard input: {error}")))?;
            Ok(text.into())
        }
        Some(path) => Ok(read(Path::new(path))?.into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn url(text: &str) -> Result<String, String> {
    match text.contains("://") {
        true => Ok(text.into()),
        false if text.is_empty() => Err("a URL is needed".into()),
        false => Ok(format!("http://{text}")),
    }
}

fn header(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a header field is a name, a colon, and a value")?;
    Ok((name.trim().into(), value.trim().into()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or("a number of seconds is needed: 20, or 0.5")?;
    if time.as_millis() == 0 {
        return Err("it must be at least a millisecond".into());
    }
    Ok(time)
}
