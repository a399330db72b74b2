use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use url::Host;

use super::super::socket::Io;
use super::super::socks::connect;

/// What the client says to a proxy that agrees to everything and then answers so, and what it reads behind that.
fn asked(host: &str, answer: &[u8]) -> (Result<(), String>, Vec<u8>, Vec<u8>) {
    let host = Host::parse(host).unwrap();
    let host = match &host {
        Host::Domain(name) => Host::Domain(name.as_str()),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    };
    let work = async {
        let (near, mut far) = duplex(1024);
        far.write_all(&[5, 0]).await.unwrap();
        far.write_all(answer).await.unwrap();
        far.write_all(b"behind").await.unwrap();
        let mut near: Io = Box::new(near);
        let connected = connect(&mut near, None, &host, 443).await;
        far.shutdown().await.unwrap();
        let mut behind = Vec::new();
        near.read_to_end(&mut behind).await.unwrap();
        drop(near);
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        (
            connected.map_err(|refused| refused.why.into()),
            said,
            behind,
        )
    };
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

#[test]
fn hosts_of_all_kinds_and_answers_of_all_lengths() {
    let ipv4 = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
    let name = [5, 0, 0, 3, 2, b'a', b'b', 0, 80];
    let ipv6 = [[5, 0, 0, 4].as_slice(), &[0; 18]].concat();
    for (host, answer, request) in [
        ("192.0.2.7", name.as_slice(), vec![1, 192, 0, 2, 7]),
        ("a.test", &ipv6, b"\x03\x06a.test".to_vec()),
        ("[::1]", &ipv4, [vec![4], vec![0; 15], vec![1]].concat()),
    ] {
        let (connected, said, behind) = asked(host, answer);
        assert_eq!(connected, Ok(()), "{host}");
        let expected = [&[5, 1, 0, 5, 1, 0], request.as_slice(), &[1, 187]].concat();
        assert_eq!(said, expected, "{host}");
        assert_eq!(behind, b"behind", "{host}");
    }
}

#[test]
fn what_is_no_socks_is_said() {
    let (connected, ..) = asked("a.test", b"HTTP/1.1 400");
    assert_eq!(connected, Err("it does not speak SOCKS 5".into()));
    let long = format!("{}.test", ["a".repeat(60).as_str(); 5].join("."));
    let (connected, ..) = asked(&long, &[]);
    assert!(connected.unwrap_err().contains("255 bytes"));
}
