//! The engine by its public face, over real sockets: what clients get, and what servers see.
#![cfg(unix)]

mod clients;
mod common;
mod ends;
mod handoff;
