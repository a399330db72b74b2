//! Verdicts where there is no answer to look at.

use hyper::header::CONTENT_ENCODING;

use super::facts::NoHead;
use super::findings::{Finding, on_the_way};
use super::wayside::{self, Proxy};
use crate::cli::text::{duration, shown};
use crate::client::policy::is_event_stream;
use crate::client::{ClientError, ClientErrorKind};

/// There was no connection.
pub(super) fn connection(error: &ClientError) -> Finding {
    let text = error.to_string();
    let advice = match error.kind() {
        ClientErrorKind::Tls => {
            "TLS: is the certificate for this name, and from somebody this machine trusts? \
             --cacert FILE trusts another authority, --insecure anybody. For a server without TLS \
             the URL begins with http:."
        }
        ClientErrorKind::Timeout => {
            "Nobody answers at this address, or not with TLS where the URL begins with https:. A \
             firewall may drop what is sent, or the address or the port is wrong."
        }
        ClientErrorKind::Proxy => {
            "The proxy does not help: --proxy URL uses another, --proxy none goes directly. \
             HTTP_PROXY, HTTPS_PROXY and ALL_PROXY of the environment count."
        }
        _ if text.contains("refused") => {
            "Nobody listens there: is the server running, at this port, and at this address and \
             not only another one?"
        }
        _ if text.contains("lookup") || text.contains("dns") => {
            "The name is not known: look for a typing error, or ask another network."
        }
        _ => "Can this machine reach the server at all?",
    };
    Finding::problem("connection", shown(&text)).advise(advice)
}

/// There was a connection, and no answer on it.
pub(super) fn no_head(none: &NoHead) -> Vec<Finding> {
    let found = match none.remote {
        Some(remote) => format!("{remote}, after {}", duration(none.connected_after)),
        None => format!("after {}", duration(none.connected_after)),
    };
    let mut all = vec![Finding::ok("connection", found)];
    all.extend(
        none.head
            .as_ref()
            .and_then(|head| on_the_way(&head.headers)),
    );
    all.push(match &none.broke {
        Some(error) => Finding::problem("first byte", shown(&error.to_string())).advise(
            "The connection broke before an answer came: is it HTTP that is spoken at this port, \
             with or without TLS as the URL says? The server's log may say more.",
        ),
        None => held(none),
    });
    all
}

/// A head that does not come is held back, or was not sent. Who answers HEAD says more.
fn held(none: &NoHead) -> Finding {
    const CHECK: &str = "buffering";
    let waited = duration(none.waited);
    let direct = "If `ssehub doctor` at the server itself, without what stands before it, finds \
                  the same: the server sends the head with its first event. Let it send the head \
                  at once.";
    let Some(head) = &none.head else {
        return Finding::problem(
            CHECK,
            format!("no answer within {waited}, not even its head"),
        )
        .advise(
            "Something on the way holds it back, or the server sends nothing, head included, \
             before its first event. Browsers call the stream open only when the head is there.",
        )
        .advise(Proxy::Nginx.unbuffered())
        .advise(direct);
    };
    let on_the_way = wayside::found(&head.headers);
    let answers = if head.status == 200 && is_event_stream(&head.headers) {
        "HEAD is answered at once, with a stream's head"
    } else {
        "HEAD is answered at once"
    };
    let who = match on_the_way.first() {
        Some(proxy) => format!("{} holds the stream back", proxy.name()),
        None => "something holds the stream back".into(),
    };
    let finding = Finding::problem(
        CHECK,
        format!("no answer to GET within {waited}, not even its head, and {answers}: {who}"),
    );
    let finding = if on_the_way.is_empty() {
        finding.advise(Proxy::Nginx.unbuffered())
    } else {
        finding.advise_each(&on_the_way, Proxy::unbuffered)
    };
    let finding = if head.headers.contains_key(CONTENT_ENCODING) {
        finding.advise_each(&on_the_way, Proxy::uncompressed)
    } else {
        finding
    };
    finding.advise(direct)
}
