//! The head of an answer, and what stands in its place.

use super::super::doctor::facts::{End, Facts, NoHead, Outcome};
use super::super::doctor::findings::{Verdict, findings};
use super::{HUB, NGINX, advice, answer, head, judged, look, of, verdict, with};
use crate::client::{ClientError, ClientErrorKind};

const OPENING: &[(u64, &[u8])] = &[(0, b"retry: 3000\nid: 7-0\n\n"), (15_000, b":\n")];

#[test]
fn a_hub_over_http2_has_no_problem_and_no_note() {
    let found = of(answer(&HUB, OPENING));
    assert_eq!(with(&found, Verdict::Problem), Vec::<&str>::new());
    assert_eq!(with(&found, Verdict::Note), Vec::<&str>::new());
}

#[test]
fn each_header_field() {
    use Verdict::{Note, Ok, Problem, Unknown};
    // Fields; a check; its verdict; a word of the advice.
    for (name, value, check, expected, word) in [
        (
            "content-type",
            "Text/Event-Stream ; charset=utf-8",
            "content type",
            Ok,
            "",
        ),
        (
            "content-type",
            "text/html",
            "content type",
            Problem,
            "text/event-stream",
        ),
        (
            "content-type",
            "text/event-streams",
            "content type",
            Problem,
            "text/event-stream",
        ),
        ("cache-control", "no-store", "caching", Ok, ""),
        (
            "cache-control",
            "public, max-age=60",
            "caching",
            Note,
            "no-cache, no-transform",
        ),
        ("cache-control", "x-no-cache", "caching", Note, "no-cache"),
        ("x-accel-buffering", "No", "X-Accel-Buffering", Ok, ""),
        (
            "x-accel-buffering",
            "yes",
            "X-Accel-Buffering",
            Problem,
            "X-Accel-Buffering: no",
        ),
        ("server", "nginx", "X-Accel-Buffering", Ok, ""),
        ("content-encoding", "identity", "compression", Ok, ""),
        (
            "content-encoding",
            "gzip",
            "compression",
            Note,
            "no-transform",
        ),
        ("content-length", "1000", "length", Problem, "no length"),
        ("server", "uvicorn", "answered by", Ok, ""),
    ] {
        let mut fields = HUB.to_vec();
        fields.retain(|(field, _)| *field != name);
        fields.push((name, value));
        let found = of(answer(&fields, OPENING));
        assert_eq!(verdict(&found, check), expected, "{name}: {value}");
        assert!(advice(&found, check).contains(word), "{name}: {value}");
    }
    // What nginx keeps for itself cannot be missed.
    assert_eq!(
        verdict(&of(answer(&NGINX, OPENING)), "X-Accel-Buffering"),
        Unknown
    );
    assert_eq!(
        verdict(&of(answer(&HUB[..1], OPENING)), "X-Accel-Buffering"),
        Note
    );
    assert_eq!(verdict(&of(answer(&HUB[..1], OPENING)), "caching"), Note);
}

#[test]
fn who_is_on_the_way() {
    for (name, value, who, word) in [
        ("server", "nginx/1.29", "nginx", "gzip off;"),
        ("server", "openresty", "nginx", "gzip off;"),
        ("server", "Apache/2.4", "Apache", "no-gzip"),
        ("via", "1.1 Caddy", "Caddy", "encode"),
        ("cf-ray", "8a0-FRA", "Cloudflare", "no-transform"),
        ("x-amz-cf-id", "x", "CloudFront", "compression off"),
        (
            "set-cookie",
            "AWSALB=x; Path=/",
            "AWS load balancer",
            "behind it",
        ),
        ("via", "1.1 varnish (Varnish/7.5)", "Varnish", "do_gzip"),
        ("x-envoy-upstream-service-time", "3", "Envoy", "compressor"),
    ] {
        let mut fields = HUB.to_vec();
        fields.extend([(name, value), ("content-encoding", "gzip")]);
        let found = of(answer(&fields, OPENING));
        assert!(
            look(&found, "answered by").found.starts_with(who),
            "{name}: {value}"
        );
        assert!(advice(&found, "compression").contains(word), "{who}");
    }
    // Nobody is advised about who is not there.
    let mut fields = HUB.to_vec();
    fields.push(("content-encoding", "gzip"));
    assert!(!advice(&of(answer(&fields, OPENING)), "compression").contains("nginx"));
}

#[test]
fn versions() {
    for (http, expected) in [
        ("HTTP/2", Verdict::Ok),
        ("HTTP/1.1", Verdict::Note),
        ("HTTP/1.0", Verdict::Note),
    ] {
        let mut answer = answer(&HUB, OPENING);
        answer.head.http = http;
        assert_eq!(verdict(&of(answer), "HTTP version"), expected, "{http}");
    }
}

#[test]
fn cors_is_looked_at_when_asked() {
    for (allowed, expected) in [
        (Some("*"), Verdict::Ok),
        (Some("https://app.example"), Verdict::Ok),
        (Some("https://other.example"), Verdict::Problem),
        (None, Verdict::Problem),
    ] {
        let mut fields = HUB.to_vec();
        fields.extend(allowed.map(|value| ("access-control-allow-origin", value)));
        let found = findings(&Facts {
            url: "http://localhost/".into(),
            origin: Some("https://app.example".into()),
            outcome: Outcome::Answer(Box::new(answer(&fields, OPENING))),
        });
        assert_eq!(verdict(&found, "CORS"), expected, "{allowed:?}");
    }
    let found = of(answer(&HUB, OPENING));
    assert!(found.iter().all(|finding| finding.check != "CORS"));
}

#[test]
fn statuses() {
    for (status, expected, word) in [
        (204, Verdict::Note, "for good"),
        (302, Verdict::Problem, "URL"),
        (401, Verdict::Problem, "--header"),
        (404, Verdict::Problem, "path"),
        (405, Verdict::Problem, "--method"),
        (429, Verdict::Problem, "limit"),
        (502, Verdict::Problem, "proxy"),
        (500, Verdict::Problem, "log"),
        (418, Verdict::Problem, "200"),
    ] {
        let mut answer = answer(&[("server", "nginx")], &[]);
        answer.head.status = status;
        answer.is_stream = false;
        answer.said = "why\x1b[2J\nmore".into();
        let found = of(answer);
        assert_eq!(verdict(&found, "status"), expected, "{status}");
        assert!(advice(&found, "status").contains(word), "{status}");
        assert!(!look(&found, "status").found.contains('\x1b'));
        // Nothing is said about a stream that is none.
        assert!(found.iter().all(|finding| finding.check != "buffering"));
    }
}

#[test]
fn no_connection() {
    for (kind, message, word) in [
        (
            ClientErrorKind::Connect,
            "Connection refused",
            "Nobody listens",
        ),
        (
            ClientErrorKind::Connect,
            "dns error: failed to lookup",
            "name",
        ),
        (ClientErrorKind::Connect, "unreachable", "reach"),
        (ClientErrorKind::Tls, "invalid certificate", "--cacert"),
        (
            ClientErrorKind::Timeout,
            "no connection within 10000 ms",
            "firewall",
        ),
        (ClientErrorKind::Proxy, "status 407", "--proxy none"),
    ] {
        let found = judged(Outcome::NoConnection(ClientError::new(kind, message)));
        assert_eq!(with(&found, Verdict::Problem), ["connection"]);
        assert!(advice(&found, "connection").contains(word), "{message}");
    }
}

fn no_head() -> NoHead {
    NoHead {
        remote: None,
        connected_after: 1,
        waited: 20_000,
        broke: None,
        head: None,
    }
}

#[test]
fn no_head_is_held_back_by_whoever_answers_head() {
    let found = judged(Outcome::NoHead(Box::new(NoHead {
        head: Some(head(200, &NGINX)),
        ..no_head()
    })));
    assert!(
        look(&found, "buffering")
            .found
            .contains("nginx holds the stream back")
    );
    assert!(advice(&found, "buffering").contains("proxy_buffering off;"));
    assert!(advice(&found, "buffering").contains("proxy_ignore_headers"));
    assert!(!advice(&found, "buffering").contains("gzip off;"));
    // Others are told what they understand.
    let found = judged(Outcome::NoHead(Box::new(NoHead {
        head: Some(head(
            405,
            &[("server", "Apache"), ("content-encoding", "gzip")],
        )),
        ..no_head()
    })));
    assert!(advice(&found, "buffering").contains("flushpackets=on"));
    assert!(advice(&found, "buffering").contains("no-gzip"));
    assert!(!advice(&found, "buffering").contains("proxy_buffering"));
    // Nobody answers: it may be the server.
    let found = judged(Outcome::NoHead(Box::new(no_head())));
    assert_eq!(with(&found, Verdict::Problem), ["buffering"]);
    assert!(advice(&found, "buffering").contains("server"));
}

#[test]
fn a_connection_that_breaks_before_the_head_is_no_buffer() {
    let found = judged(Outcome::NoHead(Box::new(NoHead {
        broke: Some(ClientError::new(ClientErrorKind::Protocol, "not HTTP")),
        ..no_head()
    })));
    assert_eq!(with(&found, Verdict::Problem), ["first byte"]);
}

#[test]
fn a_body_that_nobody_can_decode() {
    let fields = [&HUB[..], &[("content-encoding", "gzip")]].concat();
    let mut answer = answer(&fields, &[]);
    let error = ClientError::new(ClientErrorKind::Decode, "the body cannot be decompressed");
    (answer.watched, answer.end) = (1, End::Broken(error));
    let found = of(answer);
    assert_eq!(with(&found, Verdict::Problem), ["compression"]);
    assert_eq!(verdict(&found, "cuts"), Verdict::Unknown);
}
