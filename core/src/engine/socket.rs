//! The client's socket. Always used without blocking, by flags of each call: the description's own flag would change
//! the server's sends, too. macOS leaves no choice, and gets its flag back.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(target_vendor = "apple")]
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

/// What a connection needs of its socket; the tests have others.
pub(crate) trait Socket {
    /// Takes some of the bytes. `WouldBlock` where there is no room.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Reads and forgets what the client sends, at most so many bytes.
    fn discard(&mut self, most: usize) -> Input;

    /// Whether the client has closed its side, as far as that can be known without reading.
    fn has_left(&self) -> bool;

    /// Undoes what was set for the engine's sake: from here on the socket is the server's alone.
    fn give_back(&mut self);

    /// Ends the connection in both directions, for all who have it. What was sent is still delivered.
    fn shut(&mut self);
}

/// What the client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// So many bytes, and nothing more for now.
    Some(usize),
    /// So many bytes, and perhaps more.
    More(usize),
    /// It has closed its side, or the connection is broken.
    End,
}

/// A socket that was taken from a host.
#[derive(Debug)]
pub(crate) struct TakenSocket {
    fd: OwnedFd,
    // The description's flags as the server wants them. None: they are so.
    #[cfg(target_vendor = "apple")]
    former: Option<OFlags>,
}

/// Idle time before the system asks a silent peer, between two such questions, and how many of them.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);
/// The system holds at most so many bytes that it has not sent: what is more waits in the log, once for all.
#[cfg(target_os = "linux")]
const NOT_SENT: u32 = 128 * 1024;

impl TakenSocket {
    /// `held`: the server keeps the connection, and with it the say over how long it may be silent.
    pub(crate) fn new(fd: OwnedFd, held: bool, write_timeout: Option<NonZeroU64>) -> Self {
        // A unix socket has none of these, and serves as well without.
        let _ = sockopt::set_tcp_nodelay(&fd, true);
        #[cfg(target_os = "linux")]
        set_not_sent(&fd, NOT_SENT);
        if !held {
            keep_alive(&fd, write_timeout);
        }
        Self {
            #[cfg(target_vendor = "apple")]
            former: stop_waiting(&fd),
            fd,
        }
    }
}

/// macOS looks at DONTWAIT where it reads, but not where it sends: one client that reads nothing would halt the writer.
/// Returns the flags before, if that has changed them.
#[cfg(target_vendor = "apple")]
fn stop_waiting(fd: &OwnedFd) -> Option<OFlags> {
    let flags = fcntl_getfl(fd).ok()?;
    if flags.contains(OFlags::NONBLOCK) {
        return None;
    }
    fcntl_setfl(fd, flags | OFlags::NONBLOCK).ok()?;
    Some(flags)
}

/// Has the system find out about peers that are gone without a word.
fn keep_alive(fd: &OwnedFd, write_timeout: Option<NonZeroU64>) {
    let _ = sockopt::set_socket_keepalive(fd, true);
    #[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
    {
        let (idle, interval, count) = KEEP_ALIVE;
        let _ = sockopt::set_tcp_keepidle(fd, idle);
        let _ = sockopt::set_tcp_keepintvl(fd, interval);
        let _ = sockopt::set_tcp_keepcnt(fd, count);
    }
    #[cfg(target_os = "linux")]
    {
        if let Some(timeout) = write_timeout {
            let timeout = u32::try_from(timeout.get()).unwrap_or(u32::MAX);
            let _ = sockopt::set_tcp_user_timeout(fd, timeout);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = write_timeout;
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no TCP_NOTSENT_LOWAT")]
#[expect(clippy::cast_possible_truncation, reason = "the size of a u32")]
fn set_not_sent(fd: &OwnedFd, bytes: u32) {
    // SAFETY: the value is a u32 on our stack, and its size is given.
    unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        );
    }
}

#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
// There it is the socket's own setting: see `Engine::prepare`.
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

/// What poll(2) says of a client that has closed its side. macOS has no RDHUP, and means the same by HUP, which it looks
/// for only where it is asked.
#[cfg(target_os = "linux")]
const LEFT: PollFlags = PollFlags::RDHUP;
#[cfg(target_vendor = "apple")]
const LEFT: PollFlags = PollFlags::HUP;

impl Socket for TakenSocket {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(&self.fd, bytes, SEND) {
                Err(Errno::INTR) => {}
                result => return result.map_err(Into::into),
            }
        }
    }

    fn discard(&mut self, most: usize) -> Input {
        let mut scratch = [0; 4096];
        let mut sum = 0;
        while sum < most {
            match recv(&self.fd, &mut scratch[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Input::End,
                Ok((n, _)) => sum += n,
                Err(Errno::AGAIN) => return Input::Some(sum),
                Err(Errno::INTR) => {}
                Err(_) => return Input::End,
            }
        }
        Input::More(sum)
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    fn has_left(&self) -> bool {
        // Also behind input that is the server's to read.
        let mut fds = [PollFd::new(&self.fd, LEFT)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    fn has_left(&self) -> bool {
        let peek = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        match recv(&self.fd, &mut [0][..], peek) {
            Ok((n, _)) => n == 0,
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }

    fn give_back(&mut self) {
        // 0 is the system's own setting.
        #[cfg(target_os = "linux")]
        set_not_sent(&self.fd, 0);
        #[cfg(target_vendor = "apple")]
        if let Some(flags) = self.former.take() {
            let _ = fcntl_setfl(&self.fd, flags);
        }
    }

    fn shut(&mut self) {
        // A forked process may have the socket, too: only this reaches the client whatever others do.
        let _ = shutdown(&self.fd, Shutdown::Both);
    }
}

impl AsRawFd for TakenSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
