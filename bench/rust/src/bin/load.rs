//! `load <address>`: the client of the fan-out measurements, as a worker.
//!
//! One thread and one epoll for all streams. Each request is one phase; the streams stay open
//! between them, so that the driver can look at the server's CPU time and memory in between.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use serde_json::Value;
use ssehub_bench::probe;
use ssehub_bench::swarm::Swarm;
use ssehub_bench::worker::{Failure, serve};

#[derive(Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
enum Request {
    /// Open more streams.
    Connect { path: String, clients: usize },
    /// Publish so many events, each when all clients have the one before.
    Paced {
        events: u64,
        size: usize,
        probe: Option<String>,
    },
    /// Publish so many events with one request.
    Burst { events: u64, size: usize },
    /// Publish nothing for so long.
    Hold { seconds: f64, probe: Option<String> },
}

/// No phase lasts longer.
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> Result<(), Failure> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .ok_or("usage: load <address>")?
        .parse()?;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let mut swarm = Swarm::new(address)?;
    serve(env!("CARGO_PKG_VERSION"), |request| {
        answer(&mut swarm, address, request)
    })?;
    Ok(())
}

fn answer(swarm: &mut Swarm, address: SocketAddr, request: Request) -> Result<Value, Failure> {
    match request {
        Request::Connect { path, clients } => swarm.connect(&path, clients, LIMIT),
        Request::Burst { events, size } => swarm.burst(events, size, LIMIT),
        Request::Paced {
            events,
            size,
            probe,
        } => probed(address, probe, || swarm.paced(events, size, LIMIT)),
        Request::Hold { seconds, probe } => probed(address, probe, || {
            swarm.hold(Duration::from_secs_f64(seconds))
        }),
    }
}

fn probed(
    address: SocketAddr,
    path: Option<String>,
    phase: impl FnOnce() -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    match path {
        Some(path) => probe::alongside(address, &path, phase),
        None => phase(),
    }
}
