//! The examples run, and do what their first lines say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ssehub::Parser;

/// Ends the program also where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first events that the server sends: type, data, id.
fn listen(address: &str, last_event_id: &str, count: usize) -> Vec<[String; 3]> {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    write!(
        socket,
        "GET / HTTP/1.1\r\nHost: {address}\r\nLast-Event-ID: {last_event_id}\r\n\r\n"
    )
    .expect("sent");
    let mut input = BufReader::new(socket);
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        head.push_str(&line);
        line.clear();
        input.read_line(&mut line).expect("a head");
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/event-stream"), "{head}");
    let (mut parser, mut events) = (Parser::new(), Vec::new());
    while events.len() < count {
        // One chunk of the transfer coding: its size, its bytes, a line end.
        line.clear();
        input.read_line(&mut line).expect("a size");
        let size = usize::from_str_radix(line.trim_end(), 16).expect("hexadecimal");
        let mut chunk = vec![0; size + 2];
        input.read_exact(&mut chunk).expect("a chunk");
        let parsed = parser.feed(&chunk[..size], |event| {
            events.push([event.event(), event.data(), event.id()].map(str::to_owned));
        });
        parsed.expect("events are small");
    }
    events
}

#[test]
fn hello() {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--example", "hello"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo runs").success());
    // Beside the folder that this test is in.
    let mut program = std::env::current_exe().expect("a path");
    program.pop();
    program.pop();
    program.push("examples/hello");
    program.set_extension(std::env::consts::EXE_EXTENSION);
    let child = Command::new(&program).stdout(Stdio::piped()).spawn();
    let mut running = Running(child.expect("it has been built"));
    let mut said = String::new();
    let output = running.0.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut said).expect("a line");
    let address = said
        .trim_end()
        .strip_prefix("curl -N http://")
        .expect("a command");

    let live = listen(address, "", 1);
    assert_eq!(live[0][0], "tick");
    // A client that comes back gets what it missed first.
    let resumed = listen(address, &live[0][2], 2);
    let second = |event: &[String; 3]| -> u64 {
        let number = event[1].split_once(' ').expect("a number").0;
        number.parse().expect("a number")
    };
    let first = second(&live[0]);
    assert_eq!(
        resumed.iter().map(second).collect::<Vec<_>>(),
        [first + 1, first + 2]
    );
}
