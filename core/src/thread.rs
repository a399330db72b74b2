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

/// How long a turn of a writer on a processor is to be, in nanoseconds. The least that Linux grants.
#[cfg(target_os = "linux")]
const TURN: u64 = 100_000;

/// Asks for the processor in short turns. Who wakes up while this thread works, the host's own threads above all, is
/// not kept waiting; and whoever gives a turn away before its end, which a writer does often, loses little by that.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library has sched_setattr")]
pub(crate) fn take_short_turns() {
    let mut attributes = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = size_of_val(&attributes);
    // SAFETY: the system reads and writes the structure on our stack, whose size it is given; 0 is this thread.
    unsafe {
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) != 0 {
            return;
        }
        // A real-time policy is the host's own decision.
        if !matches!(
            attributes.sched_policy.cast_signed(),
            libc::SCHED_OTHER | libc::SCHED_BATCH
        ) {
            return;
        }
        attributes.sched_runtime = TURN;
        // Linux before 6.12 takes no notice of it.
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

/// Threads have no such thing here.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn take_short_turns() {}
