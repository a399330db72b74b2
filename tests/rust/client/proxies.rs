//! Through proxies.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use ssehub::{ClientErrorKind, ClientOptions, ClientRequest, HttpVersion, Proxy};

use crate::common::certificates::Authority;
use crate::common::relay::{Relay, through};
use crate::common::{Client, HEAD, Server, alone, options};

fn stream() -> Server {
    Server::saying(format!("{HEAD}data: through\n\n"))
}

fn head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// `CONNECT host:port`, to this address whatever the host.
fn tunnel(to: SocketAddr) -> Relay {
    tunnel_saying("HTTP/1.1 200 Connected\r\n\r\n", to)
}

fn tunnel_saying(answer: &'static str, to: SocketAddr) -> Relay {
    Relay::new(move |client, said| {
        said.push(head(client)?);
        client.write_all(answer.as_bytes())?;
        TcpStream::connect(to)
    })
}

fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(client: &mut TcpStream) -> io::Result<String> {
    let [length] = read(client)?;
    let mut bytes = vec![0; usize::from(length)];
    client.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// SOCKS 5 with a password (RFC 1928, RFC 1929), to this address whatever the name.
fn socks_5(to: SocketAddr) -> Relay {
    Relay::new(move |client, said| {
        let [5, methods] = read(client)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        io::copy(&mut client.take(methods.into()), &mut io::sink())?;
        client.write_all(&[5, 2])?;
        let [1] = read(client)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        said.push(format!("{}:{}", text(client)?, text(client)?));
        client.write_all(&[1, 0])?;
        let [5, 1, 0, 3] = read(client)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        said.push(format!(
            "{}:{}",
            text(client)?,
            u16::from_be_bytes(read(client)?)
        ));
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        TcpStream::connect(to)
    })
}

#[test]
fn plain_http_is_asked_for_by_its_whole_url() {
    // What stands for the proxy answers itself.
    let proxy = stream();
    let client = Client::open(
        &ClientRequest::get("http://stream.test:8080/x?y"),
        through(&format!("http://us%20er:pw@{}", proxy.address())),
    );
    assert_eq!(client.data(), "through");
    let seen = &proxy.seen()[0];
    assert_eq!(seen.target, "http://stream.test:8080/x?y");
    assert_eq!(seen.header("host").as_deref(), Some("stream.test:8080"));
    // "us er:pw"
    assert_eq!(
        seen.header("proxy-authorization").as_deref(),
        Some("Basic dXMgZXI6cHc=")
    );
    assert_eq!(client.opened().remote, Some(proxy.address()));
}

#[test]
fn https_goes_through_a_tunnel() {
    let authority = Authority::new();
    let server = authority.server(&["stream.test"], |conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: secure\n\n"))?;
        conn.until_closed();
        Ok(())
    });
    let relay = tunnel(server.address());
    let client = Client::open(
        &ClientRequest::get("https://stream.test/x"),
        ClientOptions {
            tls: authority.trusted(),
            ..through(&format!("http://user:pw@{}", relay.address))
        },
    );
    assert_eq!(client.data(), "secure");
    let said = &relay.said()[0];
    assert!(
        said.starts_with("CONNECT stream.test:443 HTTP/1.1\r\n"),
        "{said}"
    );
    assert!(
        said.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"),
        "{said}"
    );
    // The proxy's password is not the server's.
    assert_eq!(server.seen()[0].header("proxy-authorization"), None);
    assert_eq!(server.seen()[0].target, "/x");
}

#[test]
fn proxies_agree_in_many_words() {
    let authority = Authority::new();
    let server = authority.server(&["stream.test"], |conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: secure\n\n"))?;
        conn.until_closed();
        Ok(())
    });
    for answer in [
        "HTTP/1.0 200 Connection established\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 201 Created\r\nVia: 1.1 a, 1.1 b\r\n\r\n",
    ] {
        let relay = tunnel_saying(answer, server.address());
        let client = Client::open(
            &ClientRequest::get("https://stream.test/x"),
            ClientOptions {
                tls: authority.trusted(),
                ..through(&format!("http://{}", relay.address))
            },
        );
        assert_eq!(client.data(), "secure", "{answer}");
    }
}

#[test]
fn over_a_proxy_that_speaks_tls_itself() {
    let authority = Authority::new();
    let proxy = authority.server(&["127.0.0.1"], |conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: through\n\n"))?;
        conn.until_closed();
        Ok(())
    });
    let client = Client::open(
        &ClientRequest::get("http://stream.test/"),
        ClientOptions {
            tls: authority.trusted(),
            ..through(&format!("https://{}", proxy.address()))
        },
    );
    assert_eq!(client.data(), "through");
    assert_eq!(proxy.seen()[0].target, "http://stream.test/");
}

#[test]
fn http_2_needs_a_tunnel_even_without_tls() {
    let server = Server::saying("");
    let relay = tunnel(server.address());
    let client = Client::open(
        &ClientRequest::get("http://stream.test/"),
        ClientOptions {
            http: HttpVersion::Http2,
            ..through(&format!("http://{}", relay.address))
        },
    );
    client.error();
    assert!(relay.said()[0].starts_with("CONNECT stream.test:80 "));
}

#[test]
fn socks() {
    let server = stream();
    let relay = socks_5(server.address());
    for scheme in ["socks5", "socks5h"] {
        let client = Client::open(
            &ClientRequest::get("http://stream.test:81/x"),
            through(&format!("{scheme}://user:pw@{}", relay.address)),
        );
        assert_eq!(client.data(), "through");
    }
    assert_eq!(relay.said()[..2], ["user:pw", "stream.test:81"]);
    assert_eq!(server.seen()[0].target, "/x");
}

/// In a process of its own, since the environment is the whole process's.
#[test]
fn what_the_environment_says() {
    let from_environment = || ClientOptions {
        proxy: Proxy::Environment,
        ..options()
    };
    let proxy = stream();
    let tunnel = Server::saying("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n");
    let direct = Server::saying(format!("{HEAD}data: direct\n\n"));
    let variables = [
        ("DIRECT", direct.url("/")),
        ("HTTP_PROXY", format!("http://{}", proxy.address())),
        ("HTTPS_PROXY", format!("http://{}", tunnel.address())),
        ("NO_PROXY", "127.0.0.0/8".to_owned()),
    ];
    if alone("proxies::what_the_environment_says", &variables) {
        let data = |url: &str| Client::open(&ClientRequest::get(url), from_environment()).data();
        assert_eq!(data("http://stream.test/x"), "through");
        assert_eq!(data(&std::env::var("DIRECT").unwrap()), "direct");
        let secure = ClientRequest::get("https://stream.test/");
        let error = Client::open(&secure, from_environment()).error();
        assert_eq!(error.kind(), ClientErrorKind::Proxy, "{error}");
        assert_eq!(error.status(), Some(407));
    } else {
        assert_eq!(proxy.seen()[0].target, "http://stream.test/x");
        assert_eq!(tunnel.seen()[0].method, "CONNECT");
        assert_eq!(direct.seen()[0].target, "/");
    }
}
