//! Wakes an event loop or a waiting thread through a descriptor: the client's thread never waits for Python.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

#[cfg(not(unix))]
use std::net::TcpStream as Stream;
#[cfg(unix)]
use std::os::unix::net::UnixStream as Stream;

/// What one loop, or one waiting thread, watches: its descriptor is readable when a source has something to take.
#[pyclass(name = "Wake", module = "ssehub._ssehub", frozen)]
pub(crate) struct PyWake {
    inner: Arc<Wake>,
}

/// Sources that have something to take, and a byte that says that there are some.
pub(crate) struct Wake {
    ready: Mutex<Vec<u64>>,
    near: Stream,
    far: Stream,
}

impl PyWake {
    pub(crate) fn inner(&self) -> &Arc<Wake> {
        &self.inner
    }
}

#[pymethods]
impl PyWake {
    /// OSError where there are no descriptors.
    #[new]
    fn new() -> PyResult<Self> {
        let (near, far) = pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        Ok(Self {
            inner: Arc::new(Wake {
                ready: Mutex::default(),
                near,
                far,
            }),
        })
    }

    /// What to wait for until it can be read.
    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.inner.near)
    }

    /// What to wait for until it can be read.
    #[cfg(windows)]
    fn fileno(&self) -> u64 {
        std::os::windows::io::AsRawSocket::as_raw_socket(&self.inner.near)
    }

    /// The tags of the sources that have something, or have ended, since the last call.
    fn take(&self) -> Vec<u64> {
        self.inner.take()
    }
}

impl Wake {
    /// Notes a source, and wakes whoever watches unless that was done before.
    pub(crate) fn wake(&self, tag: u64) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(tag);
        let first = ready.len() == 1;
        drop(ready);
        if first {
            // Fails where so many bytes wait that one more makes no difference.
            let _ = (&self.far).write(&[0]);
        }
    }

    fn take(&self) -> Vec<u64> {
        // Before the list is looked at: a byte that comes later wakes once more.
        let _ = (&self.near).read(&mut [0; 64]);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ready)
    }
}

#[cfg(unix)]
fn pair() -> io::Result<(Stream, Stream)> {
    Stream::pair()
}

#[cfg(not(unix))]
fn pair() -> io::Result<(Stream, Stream)> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let near = Stream::connect(listener.local_addr()?)?;
    // Anybody on this machine could have been faster.
    loop {
        let (far, peer) = listener.accept()?;
        if peer == near.local_addr()? {
            return Ok((near, far));
        }
    }
}
