//! A forked process leaves its parent's sources alone, and opens its own. Each test is in a process of its own: a child
//! has copies of all sockets, those of other tests' servers included.

use std::sync::mpsc::channel;

use ssehub::{ClientErrorKind, ClientRequest, EventSource, Notice, ReadyState};

use crate::common::{Client, HEAD, LONG, Server, alone, open, options};

fn child(inherited: &EventSource, url: &str) -> bool {
    let told = matches!(
        inherited.next_blocking(Some(LONG)),
        Some(Notice::Failed(error)) if error.kind() == ClientErrorKind::Forked
    );
    let closed = inherited.is_ended()
        && inherited.try_take().is_none()
        && inherited.ready_state() == ReadyState::Closed;
    inherited.close();
    let Ok(own) = EventSource::open(&ClientRequest::get(url), options()) else {
        return false;
    };
    let opened = matches!(own.next_blocking(Some(LONG)), Some(Notice::Open(_)));
    told && closed && opened
}

#[test]
#[expect(unsafe_code, reason = "there is no safe fork")]
fn the_child_starts_afresh_and_the_parent_goes_on() {
    if !alone("fork::the_child_starts_afresh_and_the_parent_goes_on", &[]) {
        return;
    }
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: before\n\n"))?;
        // The end of the child's connection is the sign to go on with the parent's.
        if conn.index == 1 {
            conn.until_closed();
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        conn.send("data: after\n\n")?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    assert_eq!(client.data(), "before");
    let url = server.url("/");
    // SAFETY: the child uses nothing that another thread may have locked, but the allocator, which the C library takes
    // care of at a fork, and leaves without running anything of this process.
    let status = unsafe {
        match libc::fork() {
            0 => {
                let Client(inherited) = client;
                let well = child(&inherited, &url);
                drop(inherited);
                libc::_exit(i32::from(!well));
            }
            pid => {
                let mut status = -1;
                libc::waitpid(pid, &raw mut status, 0);
                status
            }
        }
    };
    assert_eq!(status, 0);
    assert_eq!(client.data(), "after");
    assert_eq!(client.0.ready_state(), ReadyState::Open);
}

#[test]
#[expect(unsafe_code, reason = "there is no safe fork")]
fn closing_ends_the_connection_though_a_child_has_a_copy() {
    if !alone(
        "fork::closing_ends_the_connection_though_a_child_has_a_copy",
        &[],
    ) {
        return;
    }
    let (left, has_left) = channel();
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(HEAD)?;
        conn.until_closed();
        left.send(()).map_err(std::io::Error::other)
    });
    let client = open(&server);
    client.opened();
    // SAFETY: the child does nothing but wait to be killed.
    let child = unsafe {
        match libc::fork() {
            0 => loop {
                libc::pause();
            },
            pid => pid,
        }
    };
    client.0.close();
    let seen = has_left.recv_timeout(LONG);
    // SAFETY: plain calls, and the child is ours.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    assert!(seen.is_ok());
}
