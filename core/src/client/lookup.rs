//! Names to addresses.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The function that knows. It blocks.
pub(crate) type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

type Found = Result<Vec<IpAddr>, String>;
/// Where it will be.
type Awaited = watch::Receiver<Option<Found>>;

/// Looks names up, each once at a time: the system's function may hang for a minute, and cannot be called off. A name
/// whose servers are gone then costs one thread, however many sources want it, and however often they try.
pub(crate) struct Lookups {
    resolve: Resolve,
    // By name. Whoever wants one that is under way waits with the others.
    running: Mutex<HashMap<String, Awaited>>,
}

impl Lookups {
    /// What the system says.
    pub(crate) fn of_system() -> Arc<Self> {
        Self::new(Arc::new(|host| {
            let addresses = (host, 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        }))
    }

    pub(crate) fn new(resolve: Resolve) -> Arc<Self> {
        Arc::new(Self {
            resolve,
            running: Mutex::default(),
        })
    }

    /// The addresses of a host, in the order in which they are to be tried.
    pub(crate) async fn find(
        self: &Arc<Self>,
        host: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        // In URLs, addresses of the sixth version stand in brackets.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut running = self.join(host);
        let found = running.wait_for(Option::is_some).await.ok();
        match found.as_deref() {
            Some(Some(Ok(addresses))) if addresses.is_empty() => {
                Err(io::Error::other("the name has no address"))
            }
            Some(Some(Ok(addresses))) => Ok(addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port))
                .collect()),
            Some(Some(Err(why))) => Err(io::Error::other(why.clone())),
            _ => Err(io::Error::other("looking the name up was given up")),
        }
    }

    /// How many names are being looked up.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.lock().len()
    }

    fn join(self: &Arc<Self>, host: &str) -> Awaited {
        let mut running = self.lock();
        if let Some(receiver) = running.get(host) {
            return receiver.clone();
        }
        let (found, receiver) = watch::channel(None);
        running.insert(host.to_owned(), receiver.clone());
        drop(running);
        let lookup = Lookup {
            lookups: self.clone(),
            host: host.to_owned(),
            found,
        };
        tokio::task::spawn_blocking(move || lookup.run());
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Awaited>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One name that is being looked up.
struct Lookup {
    lookups: Arc<Lookups>,
    host: String,
    found: watch::Sender<Option<Found>>,
}

impl Lookup {
    fn run(self) {
        let found = (self.lookups.resolve)(&self.host).map_err(|error| error.to_string());
        self.found.send_replace(Some(found));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // Also where it never ran, since the thread that all share has ended before.
        self.lookups.lock().remove(&self.host);
    }
}
