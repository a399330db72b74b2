//! TLS with an authority that only the test knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssehub::{ClientErrorKind, ClientOptions, ClientRequest, Notice, TlsOptions};

use crate::common::certificates::{Authority, over_tls};
use crate::common::{CHUNKED, Client, Conn, HEAD, Server, chunk, eventually, options};

fn script(conn: &mut Conn) -> std::io::Result<()> {
    conn.request()?;
    conn.send(format!("{CHUNKED}{}", chunk("data: secure\n\n")))?;
    conn.until_closed();
    Ok(())
}

fn get(server: &Server) -> ClientRequest {
    ClientRequest::get(format!("https://{}/", server.address()))
}

fn with(tls: TlsOptions) -> ClientOptions {
    ClientOptions { tls, ..options() }
}

#[test]
fn an_authority_of_ones_own() {
    let authority = Authority::new();
    let server = authority.server(&["127.0.0.1", "localhost"], script);
    let client = Client::open(&get(&server), with(authority.trusted()));
    assert_eq!(client.data(), "secure");
    let named = format!("https://localhost:{}/", server.address().port());
    let client = Client::open(&ClientRequest::get(named), with(authority.trusted()));
    assert_eq!(client.opened().http, "HTTP/1.1");
}

#[test]
fn certificates_that_do_not_hold_are_not_tried_again() {
    let authority = Authority::new();
    let server = authority.server(&["127.0.0.1"], script);
    let elsewhere = authority.server(&["elsewhere.test"], script);
    for (server, tls) in [
        // Nobody the system knows; another authority; another name.
        (&server, TlsOptions::default()),
        (&server, Authority::new().trusted()),
        (&elsewhere, authority.trusted()),
    ] {
        let rest = Client::open(&get(server), with(tls)).rest();
        let [Notice::Failed(error)] = rest.as_slice() else {
            panic!("{rest:?}")
        };
        assert_eq!(error.kind(), ClientErrorKind::Tls, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert!(server.seen().is_empty() && elsewhere.seen().is_empty());
}

#[test]
fn insecure_takes_anybody() {
    let server = Authority::new().server(&["elsewhere.test"], script);
    let client = Client::open(
        &get(&server),
        with(TlsOptions {
            insecure: true,
            ..TlsOptions::default()
        }),
    );
    assert_eq!(client.data(), "secure");
}

#[test]
fn a_certificate_of_our_own() {
    let authority = Authority::new();
    let server = over_tls(authority.config(&["127.0.0.1"], true), script);
    let ours = TlsOptions {
        client_cert: Some(authority.client_pem()),
        ..authority.trusted()
    };
    let client = Client::open(&get(&server), with(ours.clone()));
    assert_eq!(client.data(), "secure");

    let without = Client::open(&get(&server), with(authority.trusted()));
    let error = without.error();
    assert_eq!(error.kind(), ClientErrorKind::Tls, "{error}");
    assert!(!error.is_retryable());

    // Another origin does not get to see it, so one that wants it is not reached.
    let leading = authority.server(&["127.0.0.1"], {
        let there = format!("https://{}/", server.address());
        move |conn: &mut Conn| {
            conn.request()?;
            conn.send(format!(
                "HTTP/1.1 302 There\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
            ))?;
            conn.until_closed();
            Ok(())
        }
    });
    let error = Client::open(&get(&leading), with(ours)).error();
    assert_eq!(error.kind(), ClientErrorKind::Tls, "{error}");
}

#[test]
fn a_key_must_be_there() {
    let authority = Authority::new();
    let certificate = authority.trusted().ca;
    let options = with(TlsOptions {
        client_cert: certificate,
        ..TlsOptions::default()
    });
    let request = ClientRequest::get("https://a.test/");
    let error = ssehub::EventSource::open(&request, options).unwrap_err();
    assert_eq!(error.field(), Some("client_cert"));
}

#[test]
fn closing_does_not_wait_for_a_handshake() {
    // 1: the client is there, and has said its first word. 2: it has left.
    let seen = Arc::new(AtomicUsize::new(0));
    let state = seen.clone();
    let server = Server::new(move |conn| {
        conn.first_byte()?;
        state.store(1, Ordering::SeqCst);
        conn.until_closed();
        state.store(2, Ordering::SeqCst);
        Ok(())
    });
    let client = Client::open(&get(&server), options());
    eventually("a handshake", || seen.load(Ordering::SeqCst) == 1);
    client.0.close();
    assert!(client.0.is_ended());
    eventually("the end", || seen.load(Ordering::SeqCst) == 2);
}

#[test]
fn a_plain_server_is_no_secure_one() {
    let server = Server::new(|conn| {
        conn.send("HTTP/1.1 400 Plain\r\n\r\n")?;
        conn.until_closed();
        Ok(())
    });
    let error = Client::open(&get(&server), options()).error();
    assert_eq!(error.kind(), ClientErrorKind::Tls, "{error}");
}

#[test]
fn a_cut_is_not_taken_for_an_end() {
    // Whoever is on the way can cut a connection, but cannot say that this was all.
    let authority = Authority::new();
    let server = authority.server(&["127.0.0.1"], |conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: half\n\n"))
    });
    let client = Client::open(&get(&server), with(authority.trusted()));
    assert_eq!(client.data(), "half");
    assert_eq!(client.error().kind(), ClientErrorKind::Interrupted);
}

#[test]
fn never_from_https_to_http() {
    let plain = Server::saying(HEAD);
    let authority = Authority::new();
    let there = plain.url("/");
    let server = authority.server(&["127.0.0.1"], move |conn| {
        conn.request()?;
        conn.send(format!(
            "HTTP/1.1 302 There\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
        ))?;
        conn.until_closed();
        Ok(())
    });
    let error = Client::open(&get(&server), with(authority.trusted())).error();
    assert_eq!(error.kind(), ClientErrorKind::Redirect);
    assert!(plain.seen().is_empty());
}
