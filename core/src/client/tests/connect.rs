//! Names that are slow, and addresses that are silent.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use super::super::connect::{Connector, Progress};
use super::super::error::ClientErrorKind;
use super::super::lookup::Lookups;
use super::super::notice::Notice;
use super::super::options::{ClientOptions, ClientRequest, Proxy, When};
use super::super::request::{Hop, Target};
use super::super::runtime::process;
use super::super::source::EventSource;
use super::super::transport::Transport;
use super::{fields, when};

const LONG: Duration = Duration::from_secs(20);

/// A resolver that knows the addresses of `good.test`, and hangs with every other name until it is let go.
struct Names {
    lookups: Arc<Lookups>,
    asked: Arc<AtomicUsize>,
    let_go: Arc<(Mutex<bool>, Condvar)>,
}

impl Names {
    fn new(good: &'static [&'static str]) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let let_go = Arc::new((Mutex::new(false), Condvar::new()));
        let (counter, gate) = (asked.clone(), let_go.clone());
        let lookups = Lookups::new(Arc::new(move |host| {
            counter.fetch_add(1, Ordering::SeqCst);
            if host == "good.test" {
                return Ok(good.iter().map(|text| text.parse().unwrap()).collect());
            }
            let open = gate.0.lock().unwrap();
            let _open = gate.1.wait_while(open, |open| !*open).unwrap();
            Err(io::Error::other("no such name"))
        }));
        Self {
            lookups,
            asked,
            let_go,
        }
    }

    fn connector(&self, options: &ClientOptions) -> Connector {
        let mut connector = Connector::new(options).unwrap();
        connector.lookups = self.lookups.clone();
        connector
    }

    fn open(&self, url: &str, options: ClientOptions) -> EventSource {
        let (target, id) = Target::new(&ClientRequest::get(url), false).unwrap();
        let mut transport = Transport::new(&options).unwrap();
        transport.connector = self.connector(&options);
        EventSource::begin(target, id, options, transport).unwrap()
    }

    fn let_go(&self) {
        *self.let_go.0.lock().unwrap() = true;
        self.let_go.1.notify_all();
    }

    fn eventually_run(&self, expected: usize) {
        let started = std::time::Instant::now();
        while self.lookups.running() != expected {
            assert!(started.elapsed() < LONG, "{}", self.lookups.running());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn options(connect_timeout: u64) -> ClientOptions {
    ClientOptions {
        connect_timeout: Some(connect_timeout),
        proxy: Proxy::None,
        ..when(When::Never)
    }
}

fn hop(url: &str) -> Hop {
    let (target, id) = Target::new(&ClientRequest::get(url), false).unwrap();
    target.hop(&fields(&[]), &id)
}

/// Where a connection leads, or the error.
fn connect(connector: Connector, url: &str) -> Result<IpAddr, String> {
    let lease = process().lease().unwrap();
    let (tell, told) = mpsc::channel();
    let hop = hop(url);
    lease.handle().spawn(async move {
        let connected = connector.connect(&hop, &Progress::default()).await;
        let _ = tell.send(match connected {
            Ok(connected) => Ok(connected.remote.unwrap().ip()),
            Err(error) => Err(error.to_string()),
        });
    });
    told.recv_timeout(LONG).expect("an end in time")
}

/// The address of a listener that takes no connection: those that wait for it are as many as may.
#[cfg(target_os = "linux")]
fn black_hole(address: &str) -> (socket2::Socket, Vec<std::net::TcpStream>, u16) {
    use std::net::{SocketAddr, TcpStream};

    let wanted: SocketAddr = format!("{address}:0").parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&wanted.into()).unwrap();
    socket.listen(0).unwrap();
    let there = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&there, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "it takes everything");
    }
    (socket, waiting, there.port())
}

#[cfg(target_os = "linux")]
#[test]
fn a_silent_address_leaves_time_for_the_next() {
    let (_hole, _waiting, port) = black_hole("127.0.0.1");
    let _server = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let names = Names::new(&["127.0.0.1", "127.0.0.2"]);
    let connector = names.connector(&options(1000));
    let there = connect(connector, &format!("http://good.test:{port}/"));
    assert_eq!(there, Ok("127.0.0.2".parse().unwrap()));
}

#[cfg(target_os = "linux")]
#[test]
fn addresses_that_are_all_silent_are_out_of_time() {
    let (_hole, _waiting, port) = black_hole("127.0.0.1");
    let names = Names::new(&["127.0.0.1", "127.0.0.1"]);
    let source = names.open(&format!("http://good.test:{port}/"), options(200));
    let Some(Notice::Failed(error)) = source.next_blocking(Some(LONG)) else {
        panic!("no failure")
    };
    assert_eq!(error.kind(), ClientErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("good.test"), "{error}");
}

#[test]
fn names_that_hang_do_not_hold_up_others() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let names = Names::new(&["127.0.0.1"]);
    let hanging: Vec<EventSource> = (0..40)
        .map(|n| names.open(&format!("http://hangs-{n}.test/"), options(60_000)))
        .collect();
    names.eventually_run(40);
    let there = connect(
        names.connector(&options(10_000)),
        &format!("http://good.test:{port}/"),
    );
    assert_eq!(there, Ok("127.0.0.1".parse().unwrap()));
    names.let_go();
    for source in hanging {
        let Some(Notice::Failed(error)) = source.next_blocking(Some(LONG)) else {
            panic!("no failure")
        };
        assert!(error.to_string().contains("no such name"), "{error}");
    }
    names.eventually_run(0);
}

#[test]
fn a_name_is_looked_up_once_at_a_time_however_many_want_it() {
    let names = Names::new(&[]);
    let url = "http://hangs.test/";
    // Who has run out of time leaves the lookup to those that come later.
    for _ in 0..5 {
        let source = names.open(url, options(20));
        let Some(Notice::Failed(error)) = source.next_blocking(Some(LONG)) else {
            panic!("no failure")
        };
        assert_eq!(error.kind(), ClientErrorKind::Timeout);
        let message = error.to_string();
        assert!(
            message.contains("within 20 ms; it waited for the address of hangs.test"),
            "{message}"
        );
    }
    let waiting: Vec<EventSource> = (0..5).map(|_| names.open(url, options(60_000))).collect();
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert_eq!(names.lookups.running(), 1);
    names.let_go();
    for source in waiting {
        assert!(source.next_blocking(Some(LONG)).is_some());
    }
}

#[test]
fn closing_does_not_wait_for_a_name() {
    let names = Names::new(&[]);
    let source = names.open("http://hangs.test/", options(60_000));
    names.eventually_run(1);
    source.close();
    // Over, though the name is still being looked up.
    assert!(source.is_ended());
    assert_eq!(names.lookups.running(), 1);
    names.let_go();
    names.eventually_run(0);
}

#[test]
fn addresses_are_not_looked_up() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let names = Names::new(&[]);
    let connector = names.connector(&options(10_000));
    assert!(connect(connector, &format!("http://127.0.0.1:{port}/")).is_ok());
    // Whether there is somebody or not.
    let connector = names.connector(&options(10_000));
    let _ = connect(connector, &format!("http://[::1]:{port}/"));
    assert_eq!(names.asked.load(Ordering::SeqCst), 0);
}
