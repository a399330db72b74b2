//! `load <address>`: the client of the fan-out measurements, as a worker.
//!
//! One thread and one epoll for all streams. Each request is one phase; the streams stay open
//! between them, so that the driver can look at the server's CPU time and memory in between.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use serde_json::Value;
use ssehub_bench::probe;
use ssehub_bench::swarm::Swarm;
use ssehub_bench::worker::{Failure, serve};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// A phase, and what is measured beside it.
#[derive(Deserialize)]
struct Request {
    #[serde(flatten)]
    phase: Phase,
    /// The bytes of an event.
    #[serde(default)]
    size: usize,
    /// The trivial route whose latency is measured meanwhile.
    probe: Option<String>,
    /// So many more clients get messages of their own meanwhile.
    private: Option<usize>,
}

#[derive(Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
enum Phase {
    /// Open more streams; `{n}` in the path becomes the stream's number.
    Connect { path: String, clients: usize },
    /// Open streams that are never read.
    Stall { path: String, clients: usize },
    /// Publish so many events, or as long, each when all clients have the one before.
    Paced {
        events: u64,
        #[serde(default = "no_limit")]
        seconds: f64,
        #[serde(default)]
        every_ms: u64,
    },
    /// Publish so many events with one request, as often or as long.
    Burst {
        events: u64,
        #[serde(default)]
        pause_ms: u64,
        #[serde(default = "once")]
        repeat: u64,
        #[serde(default = "no_limit")]
        seconds: f64,
    },
    /// Publish nothing for so long.
    Hold { seconds: f64 },
}

/// Whoever else wants the processor gets it at once. A thread that is only nice keeps it for its turn, and is what a
/// route's latency would tell of.
const ASIDE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

/// Longer than any phase may take.
fn no_limit() -> f64 {
    3600.0
}

fn once() -> u64 {
    1
}

fn main() -> Result<(), Failure> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .ok_or("usage: load <address>")?
        .parse()?;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let mut swarm = Swarm::new(address)?;
    serve(env!("CARGO_PKG_VERSION"), |request: Request| {
        let mut work = || aside(|| run(&mut swarm, &request.phase, request.size));
        match (&request.probe, request.private) {
            (None, None) => work(),
            (Some(path), None) => probe::route(address, path, work),
            (None, Some(clients)) => probe::private_messages(address, clients, request.size, work),
            (Some(path), Some(clients)) => probe::route(address, path, || {
                probe::private_messages(address, clients, request.size, work)
            }),
        }
    })?;
    Ok(())
}

/// Runs the clients in a thread that takes what the server, and those whose latency is measured, leave: in truth they
/// are on machines of their own.
fn aside(work: impl FnOnce() -> Result<Value, Failure> + Send) -> Result<Value, Failure> {
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, ASIDE)
                .map_err(|error| format!("the clients' scheduling policy: {error}"))?;
            work()
        });
        working.join().map_err(|_| "the clients panicked")?
    })
}

fn run(swarm: &mut Swarm, phase: &Phase, size: usize) -> Result<Value, Failure> {
    match *phase {
        Phase::Connect { ref path, clients } => swarm.connect(path, clients),
        Phase::Stall { ref path, clients } => swarm.stall(path, clients),
        Phase::Paced {
            events,
            seconds,
            every_ms,
        } => swarm.paced(
            events,
            size,
            Duration::from_secs_f64(seconds),
            Duration::from_millis(every_ms),
        ),
        Phase::Burst {
            events,
            pause_ms,
            repeat,
            seconds,
        } => swarm.burst(
            events,
            size,
            pause_ms,
            repeat,
            Duration::from_secs_f64(seconds),
        ),
        Phase::Hold { seconds } => swarm.hold(Duration::from_secs_f64(seconds)),
    }
}
