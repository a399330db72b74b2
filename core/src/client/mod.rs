//! The other end of the wire: a stream of events that comes back by itself.
//!
//! ```text
//! EventSource (source.rs)      the handle: take, wait, answer, close
//!   |  queue.rs, shared.rs     what waits to be taken, and who is woken when
//!   v
//! driver.rs                    one task per source, on the thread that all share (runtime.rs)
//!   |-- session/               what to do next: backoff.rs, policy.rs, redirect.rs, request.rs. No I/O, no clock
//!   '-- transport.rs           one request, one connection: connect.rs (lookup.rs, proxy.rs, socks.rs, tls.rs,
//!                              socket.rs), watchdog.rs, decode.rs
//! ```
//!
//! # For a program
//!
//! ```no_run
//! use ssehub::{ClientOptions, ClientRequest, EventSource, Notice};
//!
//! let source = EventSource::open(&ClientRequest::get("https://example.com/events"), ClientOptions::default())?;
//! while let Some(notice) = source.next_blocking(None) {
//!     match notice {
//!         Notice::Event(event) => println!("{:?}", event.fields().data),
//!         Notice::Retrying(retry) => eprintln!("{}; again in {} ms", retry.error, retry.delay),
//!         Notice::Failed(error) => eprintln!("{error}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), ssehub::Error>(())
//! ```
//!
//! [`EventSource::next`] is the same for futures, on any runtime.
//!
//! # For a binding
//!
//! All that happens comes out of one queue, in order: [`Notice`]s, hooks included. A binding takes them on a thread of
//! its host's, and calls the host's functions there.
//!
//! - **Opening.** [`EventSource::open`] checks everything that can be checked, and raises
//!   [`Error`](crate::Error) with the name of the part at fault. It does not block; the rest happens on the client's
//!   thread. Whether it went well is the first notice (after the questions): `Open`, `Retrying` or `Failed`.
//! - **Waking.** [`EventSource::on_ready`] takes a function that wakes the event loop (a byte into a socket pair,
//!   `call_soon_threadsafe`, a thread-safe function). It is called once; then the binding takes everything
//!   ([`EventSource::try_take`] until `None`), and with that `None` it is armed again. A blocking iterator calls
//!   [`EventSource::wait`], in slices or not, or has `on_ready` write to something that its host can interrupt.
//! - **Batches.** [`EventSource::try_take`] gives an [`EventBatch`]: the events of a burst, to be handed over at one
//!   crossing. [`EventSource::try_next`] gives them one by one. Both can be mixed. What lies in the queue counts
//!   against `max_queued_events` and `max_queued_bytes`; what was taken does not, so take as much as is wanted.
//! - **Questions.** With `ask_headers` and `redirects.ask` come [`Notice::Ask`]s. Call the host's function, await it if
//!   need be, and [`EventSource::answer`]; until then the source waits. If the function raises, answer
//!   [`Answer::Failed`], or keep the exception, and close.
//! - **Comments** come only where `comments` asks for them, each as a [`Notice::Comment`], which parts the batches.
//! - **Stopping.** `stop_on` knows data and types. For a predicate of the host's, look at each event, and call
//!   [`EventSource::finish`] at the one that ends the stream: what came behind it is thrown away.
//! - **State.** [`EventSource::ready_state`] and [`EventSource::last_event_id`] are as of the notices taken, not of
//!   those to come; of a batch that was taken they are as of its last event.
//! - **The end.** The last notice is `Ended` or `Failed`; after it, and after [`EventSource::close`],
//!   [`EventSource::is_ended`] holds, nothing blocks any more, and no thread or socket of the source's is left. A
//!   handle that is dropped closes.
//! - **Forks.** In a forked process an inherited source gives one [`ClientErrorKind::Forked`], and has ended. A binding
//!   that wants to go on opens another with the same request, and the last event id it has seen.

mod backoff;
mod connect;
mod decode;
mod driver;
pub(crate) mod error;
mod event_batch;
mod lookup;
mod notice;
pub(crate) mod options;
pub(crate) mod policy;
mod proxy;
mod queue;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod runtime;
mod session;
mod shared;
mod socket;
mod socks;
mod source;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod transport;
mod watchdog;

pub use error::{ClientError, ClientErrorKind, Refusal};
pub use event_batch::EventBatch;
pub use notice::{Answer, Ended, Gap, Notice, Opened, Question, Retry, Taken};
pub use options::{
    ClientOptions, ClientRequest, Headers, HttpVersion, Proxy, Reconnect, Redirects, StopOn,
    TlsOptions, When,
};
pub use queue::ReadyState;
pub use shared::OnReady;
pub use source::EventSource;
