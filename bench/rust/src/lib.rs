//! What the benchmark programs share.
//!
//! `parse` and `encode` are workers: they read one request per line from stdin and answer each
//! with one line of JSON, so that `run.py` can interleave them with their peers. `load` is the
//! client of the fan-out measurements and speaks the same protocol. `raw` is a server: the limit
//! that no other can pass.

pub mod http;
pub mod parsers;
pub mod probe;
pub mod publisher;
pub mod sse;
pub mod swarm;
pub mod timing;
pub mod worker;
