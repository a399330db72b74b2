//! The client against servers that do exactly what a test says, byte by byte, and go wrong in every way.
#![expect(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod common;

mod compression;
mod cuts;
mod ends;
#[cfg(unix)]
mod fork;
mod host;
mod http2;
#[cfg(target_os = "linux")]
mod leaks;
mod policies;
mod pressure;
mod proxies;
mod proxies_refusing;
mod redirects;
mod slow;
mod tls;
#[cfg(unix)]
mod unix_socket;
