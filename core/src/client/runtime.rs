//! The one thread that all sources of a process share, for as long as there are any.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::lookup::Lookups;

const NAME: &str = "ssehub-client";
/// Threads that look names up, which only the system's blocking function can do. There are as many as there are names
/// that take their time, and they cost next to nothing, so that those whose servers are gone do not hold up the others.
const MAX_LOOKUPS: usize = 128;
const LOOKUP_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// What the sources of one process share. A fork copies it, but not its thread, and may catch its locks locked: the
/// child has to leave it alone.
pub(crate) struct Process {
    id: u32,
    // The process that was forked from this one, in that process's memory only.
    forked: OnceLock<Box<Process>>,
    started: Instant,
    thread: Mutex<Thread>,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) tls_roots: OnceLock<Arc<RootCertStore>>,
    pub(crate) tls_config: OnceLock<Arc<ClientConfig>>,
}

/// The thread, if it runs.
#[derive(Default)]
struct Thread {
    leases: usize,
    running: Option<(Handle, oneshot::Sender<()>)>,
}

/// What belongs to this process.
pub(crate) fn process() -> &'static Process {
    static FIRST: OnceLock<Process> = OnceLock::new();
    let id = std::process::id();
    let mut last = FIRST.get_or_init(Process::new);
    while let Some(next) = last.forked.get() {
        last = next;
    }
    if last.id == id {
        return last;
    }
    last.forked.get_or_init(|| Box::new(Process::new()))
}

impl Process {
    fn new() -> Self {
        Self {
            id: std::process::id(),
            forked: OnceLock::new(),
            started: Instant::now(),
            thread: Mutex::default(),
            lookups: Lookups::of_system(),
            tls_roots: OnceLock::new(),
            tls_config: OnceLock::new(),
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Milliseconds of a clock that only goes forward.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A share in the thread, which starts with the first and ends with the last.
    ///
    /// # Errors
    /// What the system says when it has no thread or descriptor left.
    pub(crate) fn lease(&'static self) -> io::Result<Lease> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = if let Some((handle, _)) = &thread.running {
            handle.clone()
        } else {
            let (handle, stop) = start()?;
            thread.running = Some((handle.clone(), stop));
            handle
        };
        thread.leases += 1;
        Ok(Lease {
            process: self,
            handle,
        })
    }
}

fn start() -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name(NAME)
        .max_blocking_threads(MAX_LOOKUPS)
        .thread_keep_alive(LOOKUP_KEEP_ALIVE)
        .build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    crate::thread::spawn(NAME, move || run(runtime, stopped))?;
    Ok((handle, stop))
}

fn run(runtime: Runtime, stopped: oneshot::Receiver<()>) {
    // An error means that the sender is gone, which says the same.
    let _ = runtime.block_on(stopped);
    // Does not wait for a name that is being looked up.
    runtime.shutdown_background();
}

/// One source's share in the thread.
pub(crate) struct Lease {
    process: &'static Process,
    handle: Handle,
}

impl Lease {
    /// Where the source's task runs.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut thread = self
            .process
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        thread.leases -= 1;
        if thread.leases == 0 {
            thread.running = None;
        }
    }
}
