//! The connection that publishes, read by the swarm's own poller.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use serde::Deserialize;

use crate::http::{Answer, request};
use crate::worker::Failure;

/// What the server answers to a publish request.
#[derive(Deserialize)]
pub struct Published {
    /// Nanoseconds that each call of the publish function took.
    pub calls: Vec<u64>,
}

/// Publishes through the server's own routes. A server that closes its connections gets a new one
/// each time.
pub struct Publisher {
    address: SocketAddr,
    socket: Option<TcpStream>,
    received: Vec<u8>,
}

impl Publisher {
    /// A publisher without connection.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            socket: None,
            received: Vec::new(),
        }
    }

    /// Sends the request; the answer comes when the token can be read.
    pub fn post(&mut self, target: &str, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = Blocking::connect(self.address)?;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                let mut socket = TcpStream::from_std(socket);
                registry.register(&mut socket, token, Interest::READABLE)?;
                none.insert(socket)
            }
        };
        socket.write_all(request("POST", target, self.address).as_bytes())
    }

    /// Reads what is there; `None` while the answer is incomplete.
    pub fn answer(&mut self, buffer: &mut [u8]) -> Result<Option<Published>, Failure> {
        let Some(socket) = &mut self.socket else {
            return Ok(None);
        };
        loop {
            match socket.read(buffer) {
                Ok(0) => return Err("the server closed the connection that publishes".into()),
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if let Some(answer) = Answer::parse(&self.received)? {
                self.received.clear();
                if answer.closes {
                    self.socket = None;
                }
                return Ok(Some(serde_json::from_slice(&answer.body)?));
            }
        }
    }
}
