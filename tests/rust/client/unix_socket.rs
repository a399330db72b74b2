//! Servers on this machine.

use std::os::unix::net::UnixListener;

use ssehub::{ClientErrorKind, ClientOptions, ClientRequest};

use crate::common::{Client, HEAD, options, server::conn};

#[test]
fn over_a_unix_socket() {
    let folder = std::env::temp_dir().join(format!("ssehub-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("client.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut conn = conn(0, stream);
        let seen = conn.request().unwrap();
        conn.send(format!("{HEAD}data: local\n\n")).unwrap();
        conn.until_closed();
        seen
    });
    let local = ClientOptions {
        unix_socket: Some(path.clone()),
        // Has nothing to do with it.
        proxy: ssehub::Proxy::Url("http://127.0.0.1:1".into()),
        ..options()
    };
    let request = ClientRequest::get("http://app.test/events?x");
    let client = Client::open(&request, local.clone());
    assert_eq!(client.opened().remote, None);
    assert_eq!(client.data(), "local");
    drop(client);
    let seen = serving.join().unwrap();
    assert_eq!(seen.target, "/events?x");
    assert_eq!(seen.header("host").as_deref(), Some("app.test"));

    // Nobody listens any more.
    let error = Client::open(&request, local).error();
    assert_eq!(error.kind(), ClientErrorKind::Connect);
    assert!(error.to_string().contains("client.sock"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}
