//! What a host says of a stream that it hands over.

use std::sync::Arc;

/// How the response's body is framed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// HTTP/1.1's chunked coding: RFC 9112, section 7.1.
    Chunked,
    /// As it is; the end of the connection is the end of the body: RFC 9112, section 6.3.
    Plain,
}

/// How a stream is to be served from now on.
#[derive(Clone, Debug)]
pub struct HandOff {
    /// How the head says that the body is framed.
    pub framing: Framing,
    /// Whether the server keeps the connection, to end the response or to notice that the client has left.
    pub held: bool,
    /// Whether a snapshot has to follow a gap. The engine cannot make one: it ends the stream instead, and the client,
    /// which comes back from before the gap, is told of it and gets its snapshot.
    pub snapshot: bool,
    /// The host's number for the stream, which comes back in its report.
    pub tag: u64,
    /// The host's word for it: the path of the request.
    pub label: Arc<str>,
}
