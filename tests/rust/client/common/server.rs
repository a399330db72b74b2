use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::LONG;

/// What a server has seen of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// Anything that bytes go both ways over.
pub(crate) trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// One connection, at the server's end.
pub(crate) struct Conn {
    /// How many there were before it.
    pub(crate) index: usize,
    wire: Box<dyn Wire>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Conn {
    /// Reads a request. An error where the client left before it was whole.
    pub(crate) fn request(&mut self) -> io::Result<Seen> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.wire.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut words = first.split(' ');
        let mut seen = Seen {
            method: words.next().unwrap_or_default().to_owned(),
            target: words.next().unwrap_or_default().to_owned(),
            ..Seen::default()
        };
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|byte| *byte == b':').expect("a field");
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            let value = line[colon + 1..].trim_ascii().to_vec();
            seen.headers.insert(name, value);
        }
        let length = seen
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        seen.body = vec![0; length];
        self.wire.read_exact(&mut seen.body)?;
        self.seen.lock().unwrap().push(seen.clone());
        Ok(seen)
    }

    /// Reads the first byte of something that is no request.
    pub(crate) fn first_byte(&mut self) -> io::Result<()> {
        self.wire.read_exact(&mut [0])
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref())?;
        self.wire.flush()
    }

    /// Waits until the client has left.
    pub(crate) fn until_closed(&mut self) {
        let mut buffer = [0; 1024];
        while self.wire.read(&mut buffer).is_ok_and(|read| read > 0) {}
    }
}

/// Answers each connection as its script says, on a thread of its own. A script that fails just ends.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn new(
        script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::over(|stream| Ok(Box::new(stream)), script)
    }

    /// A server whose connections are something more than TCP.
    pub(crate) fn over(
        wrap: impl Fn(TcpStream) -> io::Result<Box<dyn Wire>> + Send + Sync + 'static,
        script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let behaviour = Arc::new((wrap, script));
        let server = Self {
            address,
            seen: seen.clone(),
            stopped: stopped.clone(),
        };
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (behaviour, seen) = (behaviour.clone(), seen.clone());
                std::thread::spawn(move || {
                    // A client that hangs must not hang the test.
                    stream.set_read_timeout(Some(LONG)).expect("a timeout");
                    stream.set_write_timeout(Some(LONG)).expect("a timeout");
                    stream.set_nodelay(true).expect("no delay");
                    if let Ok(wire) = behaviour.0(stream) {
                        let mut conn = Conn { index, wire, seen };
                        // What the client makes of it is what the test looks at.
                        let _ = behaviour.1(&mut conn);
                    }
                });
            }
        });
        server
    }

    /// A server that answers each request with these bytes, and closes.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |conn| {
            conn.request()?;
            conn.send(&answer)
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// A connection over something that is not TCP, for servers that a test makes itself.
#[cfg(unix)]
pub(crate) fn conn(index: usize, wire: impl Wire + 'static) -> Conn {
    Conn {
        index,
        wire: Box::new(wire),
        seen: Arc::default(),
    }
}
