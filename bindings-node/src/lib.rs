//! The Node face of `ssehub`: it converts and calls. What users see is the JavaScript beside it.
//!
//! Every export says `catch_unwind`: a panic becomes an exception instead of the end of the process.
#![expect(clippy::needless_pass_by_value, reason = "napi hands us owned values")]
#![cfg_attr(
    test,
    allow(dead_code, reason = "napi registers its exports in real builds only")
)]

mod cli;
mod client;
mod error;
mod event;
mod hub;
mod options;
mod packed;
mod parser;
mod reports;
mod selector;
mod stats;
mod subscription;
mod text;

use napi_derive::napi;

/// The version of the engine, for a check against the package's.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Whether the engine can take sockets on this platform.
#[napi(catch_unwind)]
pub fn takes_sockets() -> bool {
    cfg!(unix)
}

/// Panics. The tests call it to prove that the process survives.
#[napi(catch_unwind)]
#[allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it is what the function is for"
)]
pub fn panic_for_test() {
    panic!("asked for");
}
