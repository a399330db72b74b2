use bytes::Bytes;
use hyper::header::HeaderName;

use super::super::options::{ClientRequest, Redirects};
use super::super::redirect::follow;
use super::super::request::{Hop, Target};
use super::{fields, head};

fn post() -> ClientRequest {
    ClientRequest {
        method: "POST".into(),
        headers: vec![
            ("Authorization".into(), b"Bearer secret".to_vec()),
            ("Cookie".into(), b"session=1".to_vec()),
            ("X-Api-Key".into(), b"key".to_vec()),
            (
                "Accept".into(),
                b"text/event-stream, application/json".to_vec(),
            ),
            ("Content-Type".into(), b"application/json".to_vec()),
        ],
        body: Some(Bytes::from_static(b"{}")),
        last_event_id: Some("17".into()),
        ..ClientRequest::get("https://a.test/x/stream?q=1")
    }
}

fn names(hop: &Hop) -> Vec<&str> {
    let mut names: Vec<&str> = hop.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

/// Follows one redirect after another. The last hop, or the error's text.
fn chain(
    request: &ClientRequest,
    rules: &Redirects,
    path: &[(u16, &'static str)],
) -> Result<Hop, String> {
    let (target, id) = Target::new(request, false).expect("a request");
    let mut hop = target.hop(&fields(&[("x-token", "fresh")]), &id);
    for (status, location) in path {
        let head = head(*status, &[("location", location)]);
        hop = follow(&target, &hop, &head, rules, false).map_err(|error| {
            assert!(!error.is_retryable());
            error.to_string()
        })?;
    }
    Ok(hop)
}

#[test]
fn methods_follow_the_standard() {
    let rules = Redirects::default();
    for (method, status, expected) in [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 301, "PUT"),
        ("REPORT", 302, "REPORT"),
        ("PUT", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("GET", 301, "GET"),
        ("GET", 308, "GET"),
    ] {
        let request = ClientRequest {
            method: method.into(),
            ..post()
        };
        let hop = chain(&request, &rules, &[(status, "/y")]).unwrap();
        assert_eq!(hop.method.as_str(), expected, "{method} {status}");
        let kept = expected == method;
        assert_eq!(hop.body.is_some(), kept, "{method} {status}");
        assert_eq!(hop.headers.contains_key("content-type"), kept);
    }
}

#[test]
fn the_same_origin_sees_everything() {
    let hop = chain(&post(), &Redirects::default(), &[(307, "../y")]).unwrap();
    assert_eq!(hop.url.as_str(), "https://a.test/y");
    assert!(!hop.foreign);
    assert_eq!(
        names(&hop),
        [
            "accept",
            "accept-encoding",
            "authorization",
            "cache-control",
            "content-type",
            "cookie",
            "last-event-id",
            "user-agent",
            "x-api-key",
            "x-token",
        ]
    );
}

#[test]
fn another_origin_sees_nothing_of_the_callers() {
    let rules = Redirects {
        foreign_body: true,
        ..Redirects::default()
    };
    for elsewhere in ["https://b.test/", "https://a.test:8443/", "//b.test/x"] {
        let hop = chain(&post(), &rules, &[(307, elsewhere)]).unwrap();
        assert!(hop.foreign);
        assert_eq!(
            names(&hop),
            [
                "accept",
                "accept-encoding",
                "cache-control",
                "content-type",
                "user-agent"
            ]
        );
        assert_eq!(hop.headers["accept"], "text/event-stream");
        assert_eq!(hop.body.as_deref(), Some(b"{}".as_slice()));
    }
    // Having been elsewhere, it cannot be told who has led it back.
    let back = chain(
        &post(),
        &rules,
        &[(307, "https://b.test/"), (307, "https://a.test/")],
    )
    .unwrap();
    assert!(back.foreign && !back.headers.contains_key("authorization"));
}

#[test]
fn what_describes_the_body_goes_where_the_body_goes() {
    let mut request = post();
    for name in ["Content-Encoding", "Content-Language", "Content-Digest"] {
        request.headers.push((name.into(), b"x".to_vec()));
    }
    // Looks like one, and may be anything.
    request
        .headers
        .push(("Content-Token".into(), b"secret".to_vec()));
    let rules = Redirects {
        foreign_body: true,
        ..Redirects::default()
    };
    let described = |hop: &Hop| {
        let mut names = names(hop);
        names.retain(|name| name.starts_with("content-"));
        names.join(" ")
    };
    let of_body = "content-digest content-encoding content-language content-type";
    let away = chain(&request, &rules, &[(307, "https://b.test/")]).unwrap();
    assert_eq!(described(&away), of_body);
    let twice = [(307, "https://b.test/"), (308, "https://c.test/")];
    assert_eq!(
        described(&chain(&request, &rules, &twice).unwrap()),
        of_body
    );
    let home = chain(&request, &rules, &[(307, "/y")]).unwrap();
    assert_eq!(
        described(&home),
        "content-digest content-encoding content-language content-token content-type"
    );
    // Without the body, nothing of it.
    let without = chain(&request, &rules, &[(303, "/y")]).unwrap();
    assert_eq!(described(&without), "content-token");
    let without = chain(&request, &rules, &[(303, "https://b.test/")]).unwrap();
    assert_eq!(described(&without), "");
}

#[test]
fn a_body_stays_at_home() {
    let error = chain(&post(), &Redirects::default(), &[(307, "https://b.test/")]).unwrap_err();
    assert!(error.contains("another origin"), "{error}");
    // As a GET it has none.
    assert!(chain(&post(), &Redirects::default(), &[(303, "https://b.test/")]).is_ok());
}

#[test]
fn never_from_https_to_http() {
    let get = ClientRequest::get("https://a.test/");
    let error = chain(&get, &Redirects::default(), &[(302, "http://a.test/")]).unwrap_err();
    assert!(error.contains("from https to http"), "{error}");
    let up = ClientRequest::get("http://a.test/");
    assert!(chain(&up, &Redirects::default(), &[(302, "https://a.test/")]).is_ok());
}

#[test]
fn at_most_so_many() {
    let get = ClientRequest::get("http://a.test/");
    let ten = [(302, "/next"); 10];
    assert_eq!(
        chain(&get, &Redirects::default(), &ten).unwrap().redirects,
        10
    );
    let eleven = [(302, "/next"); 11];
    assert!(chain(&get, &Redirects::default(), &eleven).is_err());
    let none = Redirects {
        max: 0,
        ..Redirects::default()
    };
    assert!(chain(&get, &none, &[(302, "/next")]).is_err());
}

#[test]
fn places_that_are_none() {
    let get = ClientRequest::get("http://a.test/");
    for place in [
        "",
        "ftp://a.test/",
        "file:///etc/passwd",
        "http://",
        "javascript:alert(1)",
    ] {
        assert!(
            chain(&get, &Redirects::default(), &[(302, place)]).is_err(),
            "{place}"
        );
    }
    let hop = chain(
        &get,
        &Redirects::default(),
        &[(302, "http://user:pw@a.test/y#z")],
    )
    .unwrap();
    assert_eq!(hop.url.as_str(), "http://a.test/y");
}

#[test]
fn a_unix_socket_is_not_left() {
    let (target, id) = Target::new(&ClientRequest::get("http://app/"), false).unwrap();
    let hop = target.hop(&fields(&[]), &id);
    let rules = Redirects::default();
    let away = head(302, &[("location", "http://elsewhere/")]);
    assert!(follow(&target, &hop, &away, &rules, true).is_err());
    let within = head(302, &[("location", "/y")]);
    assert!(follow(&target, &hop, &within, &rules, true).is_ok());
}
