//! What other clients notice while the swarm is served, measured from a thread of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::Client;
use crate::swarm::Swarm;
use crate::timing::Latencies;
use crate::worker::Failure;

/// The pause between two requests: few enough not to load the server by themselves.
const PAUSE: Duration = Duration::from_millis(2);

/// Runs `work` and puts the summary of the route's latencies into its report, as `probe`.
pub fn route(
    address: SocketAddr,
    path: &str,
    work: impl FnOnce() -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    alongside("probe", work, |done| {
        let mut client = Client::new(address);
        let mut latencies = Latencies::default();
        while !done.load(Ordering::Relaxed) {
            let start = Instant::now();
            client.ask("GET", path)?;
            latencies.add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
            thread::sleep(PAUSE);
        }
        Ok(latencies)
    })
}

/// Runs `work` and puts the summary of the latencies of private messages, each to one client of
/// its own, into its report, as `private`.
pub fn private_messages(
    address: SocketAddr,
    clients: usize,
    size: usize,
    work: impl FnOnce() -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    alongside("private", work, |done| {
        let mut swarm = Swarm::new(address)?;
        swarm.connect("/events?topic=watch-{n}", clients)?;
        swarm.private_messages("watch", size, PAUSE, done)
    })
}

fn alongside(
    name: &str,
    work: impl FnOnce() -> Result<Value, Failure>,
    measure: impl FnOnce(&AtomicBool) -> Result<Latencies, Failure> + Send,
) -> Result<Value, Failure> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let measuring = scope.spawn(|| measure(&done));
        let report = work();
        done.store(true, Ordering::Relaxed);
        let latencies = measuring.join().map_err(|_| "the probe panicked")?;
        let mut report = report?;
        report[name] = latencies?.summary();
        Ok(report)
    })
}
