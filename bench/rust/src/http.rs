//! Sockets to the server under test, and the short requests beside the streams.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use memchr::memmem;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Connects from an address of this machine, and with so small a receive buffer if one is given.
pub fn dial(
    address: SocketAddr,
    source: Option<Ipv4Addr>,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    if let Some(bytes) = receive_buffer {
        // Before the handshake: it bounds the window that the server is told.
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    if let Some(source) = source {
        net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    net::connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}

/// The answer to a short request.
pub struct Answer {
    pub body: Vec<u8>,
    /// Whether the server closes the connection after it.
    pub closes: bool,
}

impl Answer {
    /// The answer that these bytes hold; `None` while it is incomplete.
    pub fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            return Err(io::Error::other(format!("the server answered {status}")));
        }
        let field = |name: &str| {
            head.split("\r\n")
                .filter_map(|line| line.split_once(':'))
                .find_map(|(field, value)| (field == name).then(|| value.trim()))
        };
        let length = match field("content-length") {
            Some(length) => length.parse().map_err(io::Error::other)?,
            None if status == "204" => 0,
            None => return Err(io::Error::other("the answer has no length")),
        };
        let body = &bytes[end + 4..];
        Ok((body.len() >= length).then(|| Self {
            body: body[..length].to_vec(),
            closes: field("connection") == Some("close"),
        }))
    }
}

/// A request without body.
pub fn request(method: &str, target: &str, address: SocketAddr) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")
}

/// Asks one request after the other and waits for each answer. A server that closes its
/// connections gets a new one each time.
pub struct Client {
    address: SocketAddr,
    socket: Option<TcpStream>,
}

impl Client {
    /// A client without connection.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            socket: None,
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Ok(socket)
    }

    /// One request and its answer.
    pub fn ask(&mut self, method: &str, target: &str) -> io::Result<Answer> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        socket.write_all(request(method, target, self.address).as_bytes())?;
        let mut received = Vec::with_capacity(512);
        let mut piece = [0; 512];
        loop {
            match socket.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => received.extend_from_slice(&piece[..n]),
            }
            if let Some(answer) = Answer::parse(&received)? {
                self.socket = (!answer.closes).then_some(socket);
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn an_answer_is_complete_with_its_body() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        for end in 0..whole.len() {
            assert!(Answer::parse(&whole[..end]).unwrap().is_none(), "{end}");
        }
        let answer = Answer::parse(whole).unwrap().unwrap();
        assert_eq!(answer.body, b"ok");
        assert!(answer.closes);
        let empty = Answer::parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert!(!empty.unwrap().closes);
    }

    #[test]
    fn a_refusal_is_an_error() {
        assert!(Answer::parse(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
