//! Taking a socket from the host. Descriptors are duplicated, never taken by number: the number stays the host's, and
//! means another client's connection as soon as the host has closed it.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::io::fcntl_dupfd_cloexec;
#[cfg(target_vendor = "apple")]
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown};

/// A descriptor set aside before a response begins, so that there is one when its socket is to be taken.
#[derive(Debug)]
pub struct Slot {
    place: OwnedFd,
    dummy: Option<Dummy>,
}

/// What takes the place of the client's socket in a server that goes on to use it: all it still writes, shuts down and
/// closes then happens here.
#[derive(Debug)]
struct Dummy {
    server: OwnedFd,
    ours: OwnedFd,
}

/// Servers that call select(2) cannot use descriptors from here on; the engine can, and leaves them those below, where
/// the limit allows.
const ABOVE_SELECT: RawFd = 1024;

impl Slot {
    /// Sets a descriptor aside; with a dummy, three.
    ///
    /// # Errors
    /// What the system says where there are no more descriptors.
    pub fn reserve(dummy: bool) -> io::Result<Self> {
        let placeholder = placeholder()?;
        let place = fcntl_dupfd_cloexec(placeholder, ABOVE_SELECT)
            .or_else(|_| fcntl_dupfd_cloexec(placeholder, 0))?;
        // The last one is the server's: without it, it could not even say no.
        drop(fcntl_dupfd_cloexec(&place, 0)?);
        if !dummy {
            return Ok(Self { place, dummy: None });
        }
        let (server, ours) = pair()?;
        // Nothing is ever sent to the server from here: it reads the end of the stream at once.
        shutdown(&ours, Shutdown::Write)?;
        Ok(Self {
            place,
            dummy: Some(Dummy { server, ours }),
        })
    }

    /// Fills the slot with the socket behind the host's descriptor `fd`, and puts the dummy, if there is one, in the
    /// descriptor's place, once `watch` has found nothing wrong with the socket; `forget` takes that back. Returns the
    /// socket and our end of the dummy, which is to stay open for as long as the server's: so the server sees no error.
    pub(crate) fn take(
        self,
        fd: RawFd,
        watch: impl FnOnce(&OwnedFd) -> io::Result<()>,
        forget: impl FnOnce(&OwnedFd),
    ) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // The host's own descriptor: looked at and replaced, never closed.
        let mut theirs = ManuallyDrop::new(from_host(fd));
        let mut socket = self.place;
        replace(theirs.as_fd(), &mut socket)?;
        watch(&socket)?;
        let Some(dummy) = self.dummy else {
            return Ok((socket, None));
        };
        if let Err(error) = replace(dummy.server.as_fd(), &mut theirs) {
            forget(&socket);
            return Err(error);
        }
        Ok((socket, Some(dummy.ours)))
    }
}

/// What stands in slots that are not filled yet.
fn placeholder() -> io::Result<&'static OwnedFd> {
    static PLACEHOLDER: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(known) = PLACEHOLDER.get() {
        return Ok(known);
    }
    let (end, _) = pair()?;
    Ok(PLACEHOLDER.get_or_init(|| end))
}

#[expect(unsafe_code, reason = "the host knows its sockets by number")]
fn from_host(fd: RawFd) -> OwnedFd {
    // SAFETY: the host gives a descriptor of its own that stays open during this call. It is not closed here: the
    // caller wraps it in `ManuallyDrop`. A number that is not open makes dup3 fail with EBADF.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// dup3: `place` means what `source` means, in one step, and is not inherited by programs.
#[cfg(not(target_vendor = "apple"))]
fn replace(source: BorrowedFd<'_>, place: &mut OwnedFd) -> io::Result<()> {
    Ok(rustix::io::dup3(
        source,
        place,
        rustix::io::DupFlags::CLOEXEC,
    )?)
}

#[cfg(target_vendor = "apple")]
fn replace(source: BorrowedFd<'_>, place: &mut OwnedFd) -> io::Result<()> {
    rustix::io::dup2(source, place)?;
    Ok(fcntl_setfd(place, FdFlags::CLOEXEC)?)
}

// In one step, where there is one: a program that is started meanwhile would inherit them.
#[cfg(not(target_vendor = "apple"))]
const SOCKET_FLAGS: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const SOCKET_FLAGS: SocketFlags = SocketFlags::empty();

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (a, b) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None)?;
    #[cfg(target_vendor = "apple")]
    for end in [&a, &b] {
        fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok((a, b))
}
