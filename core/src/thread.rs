//! Threads of our own: no signal handler of the host's ever runs on them.

use std::io;
#[cfg(unix)]
use std::mem::MaybeUninit;

/// Starts a thread. There are no signals here.
#[cfg(not(unix))]
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let started = std::thread::Builder::new().name(name.into()).spawn(run);
    started.map(drop)
}

/// Starts a thread with all signals blocked, from its first instruction on.
#[cfg(unix)]
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A thread inherits the mask of the one that starts it.
    let former = block_all();
    let started = std::thread::Builder::new().name(name.into()).spawn(run);
    restore(&former);
    started.map(drop)
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "the signal mask of a thread has no safe interface"
)]
fn block_all() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    let mut former = MaybeUninit::uninit();
    // SAFETY: both sets are written by the calls before they are read: sigfillset and pthread_sigmask cannot fail for
    // valid pointers and a valid `how`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), former.as_mut_ptr());
        former.assume_init()
    }
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "the signal mask of a thread has no safe interface"
)]
fn restore(mask: &libc::sigset_t) {
    // SAFETY: the mask is the one that `block_all` got from the system.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
    }
}
