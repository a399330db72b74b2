//! Proxies that do not help.

use std::io::{self, Read, Write};

use ssehub::{ClientError, ClientErrorKind, ClientOptions, ClientRequest, Notice, Proxy};

use crate::common::relay::{Relay, through};
use crate::common::{Client, HEAD, Server, alone, nobody, options};

#[test]
fn a_proxy_that_refuses() {
    for (answer, text, retryable) in [
        (
            "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n",
            "status 407, it does not accept user and password",
            false,
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
            "status 403",
            false,
        ),
        (
            "HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n",
            "status 502",
            true,
        ),
        ("", "closed", true),
        ("what?\r\n\r\n", "invalid", true),
    ] {
        let proxy = Server::saying(answer);
        let client = Client::open(
            &ClientRequest::get("https://stream.test/"),
            through(&format!("http://user:secret@{}", proxy.address())),
        );
        let error = client.error();
        assert_eq!(error.kind(), ClientErrorKind::Proxy);
        assert_eq!(error.is_retryable(), retryable, "{error}");
        let message = error.to_string();
        assert!(
            message.contains(text) && !message.contains("secret"),
            "{message}"
        );
    }
    let gone = nobody();
    let client = Client::open(
        &ClientRequest::get("http://stream.test/"),
        through(&format!("http://{gone}")),
    );
    assert_eq!(client.error().kind(), ClientErrorKind::Connect);
}

/// What a source with all defaults ends with, which would otherwise come back for ever.
fn only_failure(url: &str, options: ClientOptions) -> ClientError {
    let mut rest = Client::open(&ClientRequest::get(url), options).rest();
    let Some(Notice::Failed(error)) = rest.pop() else {
        panic!("no failure")
    };
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(error.kind(), ClientErrorKind::Proxy, "{error}");
    assert!(!error.is_retryable());
    error
}

#[test]
fn a_proxy_that_wants_a_login_is_asked_once() {
    let proxy = Server::saying(
        "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    );
    let url = format!("http://{}", proxy.address());
    let error = only_failure("https://stream.test/", through(&url));
    assert_eq!(error.status(), Some(407));
    assert!(
        error.to_string().contains("http://user:password@"),
        "{error}"
    );
    let headers = &error.refusal().unwrap().headers;
    assert_eq!(headers[0].0, "proxy-authenticate");
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn a_login_that_a_socks_proxy_does_not_take() {
    // What the proxy says, each time after so many bytes, and then no more.
    let proxy = |answers: Vec<(u64, Vec<u8>)>| {
        Relay::new(move |client, said| {
            said.push("asked".into());
            for (length, answer) in &answers {
                io::copy(&mut client.take(*length), &mut io::sink())?;
                client.write_all(answer)?;
            }
            Err(io::ErrorKind::Other.into())
        })
    };
    for (answers, login, text) in [
        // "user", "pw": 1, 4 and 2 bytes with their lengths.
        (
            vec![(4, vec![5, 2]), (9, vec![1, 1])],
            "user:pw@",
            "does not accept user and password",
        ),
        (
            vec![(4, vec![5, 0xFF])],
            "user:pw@",
            "takes no user and password",
        ),
        (vec![(3, vec![5, 0xFF])], "", "wants a login"),
        (
            vec![(3, vec![5, 0]), (18, vec![5, 2, 0, 1])],
            "",
            "do not allow this connection",
        ),
    ] {
        let proxy = proxy(answers);
        let url = format!("socks5://{login}{}", proxy.address);
        let error = only_failure("http://stream.test/", through(&url));
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(proxy.said().len(), 1);
    }
    // What may be otherwise next time is tried again: the host does not answer, or the proxy breaks off.
    for answers in [
        vec![(3, vec![5, 0]), (18, vec![5, 5, 0, 1])],
        vec![(3, vec![5])],
        vec![(3, b"HTTP".to_vec())],
    ] {
        let proxy = proxy(answers);
        let url = format!("socks5://{}", proxy.address);
        let client = Client::open(&ClientRequest::get("http://stream.test/"), through(&url));
        for _ in 0..2 {
            let error = client.error();
            assert_eq!(error.kind(), ClientErrorKind::Proxy, "{error}");
            assert!(error.is_retryable(), "{error}");
        }
    }
}

/// In a process of its own, since the environment is the whole process's.
#[test]
fn a_proxy_of_the_environment_that_cannot_be_spoken_to() {
    let server = Server::saying(format!("{HEAD}data: direct\n\n"));
    let variables = [
        ("ALL_PROXY", "socks4://127.0.0.1:1".to_owned()),
        ("https_proxy", "socks4a://127.0.0.1:1".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
        ("SERVER", server.url("/")),
    ];
    let test = "proxies_refusing::a_proxy_of_the_environment_that_cannot_be_spoken_to";
    if alone(test, &variables) {
        let from_environment = || ClientOptions {
            proxy: Proxy::Environment,
            ..options()
        };
        for (url, text) in [
            ("http://stream.test/", "ALL_PROXY names a socks4:// proxy"),
            (
                "https://stream.test/",
                "https_proxy names a socks4a:// proxy",
            ),
        ] {
            let error = only_failure(url, from_environment());
            assert!(error.to_string().contains(text), "{error}");
        }
        // Where it is not wanted, it does no harm.
        let server = ClientRequest::get(std::env::var("SERVER").unwrap());
        assert_eq!(Client::open(&server, from_environment()).data(), "direct");
    }
}
