//! The latency of a trivial route, asked from a thread of its own while others are busy.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::timing::Latencies;
use crate::worker::Failure;

/// The pause between two requests: few enough not to load the server by themselves.
const PAUSE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs `work` and returns its report with the summary of the route's latencies as `probe`.
pub fn alongside(
    address: SocketAddr,
    path: &str,
    work: impl FnOnce() -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let probe = scope.spawn(|| ask_until(&done, address, path));
        let report = work();
        done.store(true, Ordering::Relaxed);
        let latencies = probe.join().map_err(|_| "the probe panicked")?;
        let mut report = report?;
        report["probe"] = latencies?.summary();
        Ok(report)
    })
}

fn ask_until(done: &AtomicBool, address: SocketAddr, path: &str) -> io::Result<Latencies> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut latencies = Latencies::default();
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        socket.write_all(request.as_bytes())?;
        read_answer(&mut socket)?;
        latencies.add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        thread::sleep(PAUSE);
    }
    Ok(latencies)
}

/// All servers answer the route with `200` and the body `ok`.
fn read_answer(socket: &mut TcpStream) -> io::Result<()> {
    let mut answer = Vec::with_capacity(512);
    let mut piece = [0; 512];
    while !answer.ends_with(b"\r\n\r\nok") {
        match socket.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::Error::other("the trivial route did not answer 200"))
    }
}
