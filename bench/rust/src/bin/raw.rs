//! `raw <port>`: the limit. One thread, one epoll, no framework and no history: what is published
//! is written into one buffer, and that is sent once to each connection.
//!
//! Serves the routes of all servers under test. The events of one publish request are what a
//! queue would hold: they go out together, so a burst is coalesced as well as it can be.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use ssehub_bench::timing::monotonic_ns;
use ssehub_bench::worker::Failure;

const LISTENER: Token = Token(usize::MAX - 1);
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n: hi\n\r\n";

fn main() -> Result<(), Failure> {
    let port = std::env::args()
        .nth(1)
        .ok_or("usage: raw <port>")?
        .parse()?;
    let mut server = Server::listen(port)?;
    let mut ready = Events::with_capacity(1024);
    loop {
        server.poll.poll(&mut ready, None)?;
        for event in &ready {
            match event.token() {
                LISTENER => server.accept()?,
                Token(number) => server.serve(number),
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    /// A request that is not complete yet; a stream's client says nothing more.
    input: Vec<u8>,
    is_stream: bool,
    /// What the socket would not take, and how much of the first buffer it has taken.
    owed: VecDeque<Rc<[u8]>>,
    taken: usize,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// By token.
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    last_seq: u64,
}

impl Server {
    fn listen(port: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            last_seq: 0,
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            // Edge-triggered, once for all: no further call when a socket is full.
            self.poll.registry().register(
                &mut socket,
                Token(number),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            self.connections[number] = Some(Connection {
                socket,
                input: Vec::new(),
                is_stream: false,
                owed: VecDeque::new(),
                taken: 0,
            });
        }
    }

    fn serve(&mut self, number: usize) {
        // An event of a connection that was closed in the same round.
        let Some(connection) = &mut self.connections[number] else {
            return;
        };
        match connection.receive().and_then(|request| {
            connection.send_owed()?;
            Ok(request)
        }) {
            Ok(None) => {}
            Ok(Some(request)) => self.answer(number, &request),
            Err(_) => self.close(number),
        }
    }

    fn close(&mut self, number: usize) {
        self.connections[number] = None;
        self.free.push(number);
    }

    fn answer(&mut self, number: usize, request: &str) {
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = match path {
            "/events" => {
                if let Some(connection) = &mut self.connections[number] {
                    connection.is_stream = true;
                    connection.input = Vec::new();
                }
                return self.send(number, &Rc::from(STREAM_HEAD));
            }
            "/publish" => {
                self.publish(parameter(query, "n"), parameter(query, "size"));
                r#"{"calls":[]}"#
            }
            _ => "ok",
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        self.send(number, &Rc::from(answer.as_bytes()));
    }

    /// Encodes all events into one buffer and sends it once to each stream.
    fn publish(&mut self, events: usize, size: usize) {
        let mut frames = String::new();
        for _ in 0..events {
            self.last_seq += 1;
            let seq = self.last_seq;
            let head = format!(r#"{{"seq":{seq},"ts":{},"pad":""#, monotonic_ns());
            let pad = size.saturating_sub(head.len() + 2);
            let frame = format!("id: {seq}\nevent: tick\ndata: {head}{:x<pad$}\"}}\n\n", "");
            // Writing to a String cannot fail.
            let _ = write!(frames, "{:x}\r\n{frame}\r\n", frame.len());
        }
        let frames: Rc<[u8]> = Rc::from(frames.as_bytes());
        for number in 0..self.connections.len() {
            if matches!(&self.connections[number], Some(connection) if connection.is_stream) {
                self.send(number, &frames);
            }
        }
    }

    fn send(&mut self, number: usize, bytes: &Rc<[u8]>) {
        if let Some(connection) = &mut self.connections[number]
            && connection.send(bytes).is_err()
        {
            self.close(number);
        }
    }
}

impl Connection {
    /// Reads what is there; the head of a request once it is complete.
    fn receive(&mut self) -> io::Result<Option<String>> {
        let mut piece = [0; 1024];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.input.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if memmem::find(&self.input, b"\r\n\r\n").is_none() {
            return Ok(None);
        }
        let request = String::from_utf8_lossy(&self.input).into_owned();
        self.input.clear();
        Ok(Some(request))
    }

    fn send(&mut self, bytes: &Rc<[u8]>) -> io::Result<()> {
        if !self.owed.is_empty() {
            self.owed.push_back(Rc::clone(bytes));
            return Ok(());
        }
        let taken = write(&mut self.socket, bytes)?;
        if taken < bytes.len() {
            self.owed.push_back(Rc::clone(bytes));
            self.taken = taken;
        }
        Ok(())
    }

    fn send_owed(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.owed.front() {
            self.taken += write(&mut self.socket, &bytes[self.taken..])?;
            if self.taken < bytes.len() {
                break;
            }
            self.owed.pop_front();
            self.taken = 0;
        }
        Ok(())
    }
}

/// One send; how much the socket took.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

fn parameter(query: &str, name: &str) -> usize {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then(|| value.parse().ok())?)
        .unwrap_or(0)
}
