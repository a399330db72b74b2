//! What happens to a source beside events, as JavaScript sees it: one kind of object, made a few times per connection.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use ssehub::{ClientError, ClientErrorKind, Ended, Event, Headers, Notice, Question};

use super::options::HeaderFields;

/// `kind` says which of the rest is there.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub(crate) struct SourceNotice {
    /// `headers`, `redirect` (questions, to be answered), `open`, `retrying`, `comment`, `gap`, `ended`, `failed`.
    pub kind: &'static str,
    pub attempt: Option<f64>,
    pub status: Option<u16>,
    pub url: Option<String>,
    pub headers: Option<HeaderFields>,
    pub http: Option<&'static str>,
    pub remote: Option<String>,
    /// Where a redirect comes from.
    pub from: Option<String>,
    /// With which method a redirect would be followed.
    pub method: Option<String>,
    pub error: Option<SourceError>,
    /// Milliseconds.
    pub delay: Option<f64>,
    pub last_event_id: Option<String>,
    /// Of a gap: why. Of an end: `stopped`, `no_content`, `end_of_stream`.
    pub reason: Option<&'static str>,
    pub event: Option<SourceEvent>,
    pub comment: Option<String>,
}

#[napi(object, object_from_js = false)]
pub(crate) struct SourceError {
    pub kind: &'static str,
    pub message: String,
    pub url: Option<String>,
    pub retryable: bool,
    pub status: Option<u16>,
    pub headers: Option<HeaderFields>,
    pub body: Option<Buffer>,
    /// Milliseconds.
    pub retry_after: Option<f64>,
}

#[napi(object, object_from_js = false)]
pub(crate) struct SourceEvent {
    pub event: String,
    pub data: String,
    pub id: String,
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds, and counts")]
fn number(value: u64) -> f64 {
    value as f64
}

impl From<Notice> for SourceNotice {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Ask(question) => question.into(),
            Notice::Open(opened) => Self {
                kind: "open",
                attempt: Some(number(opened.attempt)),
                status: Some(opened.status),
                url: Some(opened.url),
                headers: Some(fields(opened.headers)),
                http: Some(opened.http),
                remote: opened.remote.map(|address| address.to_string()),
                ..Self::default()
            },
            Notice::Comment(text) => Self {
                kind: "comment",
                comment: Some(text.into()),
                ..Self::default()
            },
            Notice::Gap(gap) => Self {
                kind: "gap",
                last_event_id: Some(gap.last_event_id),
                reason: Some(gap.reason.as_str()),
                event: Some(gap.event.into()),
                ..Self::default()
            },
            Notice::Retrying(retry) => Self {
                kind: "retrying",
                attempt: Some(number(retry.attempt)),
                delay: Some(number(retry.delay)),
                error: Some(retry.error.into()),
                ..Self::default()
            },
            Notice::Ended(ended) => Self {
                kind: "ended",
                reason: Some(match ended {
                    Ended::Stopped(_) => "stopped",
                    Ended::NoContent => "no_content",
                    _ => "end_of_stream",
                }),
                ..Self::default()
            },
            Notice::Failed(error) => Self {
                kind: "failed",
                error: Some(error.into()),
                ..Self::default()
            },
            // Events are taken in batches, and pieces of the body are not asked for.
            _ => Self::default(),
        }
    }
}

impl From<Question> for SourceNotice {
    fn from(question: Question) -> Self {
        match question {
            Question::Headers { attempt, status } => Self {
                kind: "headers",
                attempt: Some(number(attempt)),
                status,
                ..Self::default()
            },
            Question::Redirect {
                from,
                to,
                status,
                method,
            } => Self {
                kind: "redirect",
                from: Some(from),
                url: Some(to),
                status: Some(status),
                method: Some(method),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

impl From<Event> for SourceEvent {
    fn from(event: Event) -> Self {
        let fields = event.fields();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Self {
            event: text(fields.event),
            data: text(fields.data),
            id: text(fields.id),
        }
    }
}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        let refusal = error.refusal();
        Self {
            kind: kind(error.kind()),
            message: error.to_string(),
            url: error.url().map(str::to_owned),
            retryable: error.is_retryable(),
            status: error.status(),
            headers: refusal.map(|refusal| fields(refusal.headers.clone())),
            body: refusal.map(|refusal| refusal.body.clone().into()),
            retry_after: refusal.and_then(|refusal| refusal.retry_after.map(number)),
        }
    }
}

fn kind(kind: ClientErrorKind) -> &'static str {
    use ClientErrorKind as K;
    match kind {
        K::Connect => "connect",
        K::Timeout => "timeout",
        K::Proxy => "proxy",
        K::Tls => "tls",
        K::Protocol => "protocol",
        K::Status => "status",
        K::ContentType => "content_type",
        K::Redirect => "redirect",
        K::Interrupted => "interrupted",
        K::Ended => "ended",
        K::Unfinished => "unfinished",
        K::Decode => "decode",
        K::EventTooLarge => "event_too_large",
        K::Callback => "callback",
        K::Restarted => "restarted",
        _ => "internal",
    }
}

fn fields(headers: Headers) -> HeaderFields {
    let (names, values) = headers
        .into_iter()
        // One character per byte, as fetch shows them.
        .map(|(name, value)| (name, value.into_iter().map(char::from).collect()))
        .unzip();
    HeaderFields { names, values }
}
