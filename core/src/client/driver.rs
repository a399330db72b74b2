//! The task of a source: does what its session says, and tells it what came of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::error::{ClientError, MAX_REFUSAL_BODY};
use super::queue::Outbox;
use super::runtime::process;
use super::session::{Do, Moment, Session};
use super::shared::{LastWord, Shared};
use super::transport::{Body, Transport};

/// What a refusal has to say must come soon, or not at all.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs a source to its end.
pub(crate) async fn drive(mut session: Session, transport: Transport, shared: Arc<Shared>) {
    let _last_word = LastWord(shared.clone());
    let mut out = Outbox::default();
    let mut body = None;
    let mut next = session.due(&mut out);
    loop {
        // One connection at a time, and none while there is nothing to read: dropped, it is closed.
        if !matches!(next, Do::Read | Do::Collect) {
            body = None;
        }
        shared.put(&mut out);
        next = match next {
            Do::Ask => session.answered(shared.answered().await, &mut out),
            Do::Send(hop) => {
                shared.room().await;
                match transport.send(&hop).await {
                    Ok(exchange) => {
                        body = Some(exchange.body);
                        shared.restarted();
                        session.head(exchange.head, moment(), &mut out)
                    }
                    Err(error) => session.failed(error, moment(), &mut out),
                }
            }
            Do::Read => match shared.unless_restarted(read(&shared, &mut body)).await {
                Some(Ok(Some(piece))) => session.bytes(&piece, &mut out),
                Some(Ok(None)) => session.end(moment(), &mut out),
                Some(Err(error)) => session.failed(error, moment(), &mut out),
                None => session.restart(&mut out),
            },
            Do::Collect => {
                let text = match &mut body {
                    Some(body) => body.beginning(MAX_REFUSAL_BODY, REFUSAL_TIMEOUT).await,
                    None => Vec::new(),
                };
                session.collected(text, moment(), &mut out)
            }
            Do::Wait(delay) => {
                let delay = sleep(Duration::from_millis(delay));
                match shared.unless_restarted(delay).await {
                    Some(()) => session.due(&mut out),
                    None => session.restart(&mut out),
                }
            }
            Do::Stop => return,
        };
    }
}

/// The next piece of the stream, once the host has taken enough of what is there.
async fn read(
    shared: &Shared,
    body: &mut Option<Body>,
) -> Result<Option<bytes::Bytes>, ClientError> {
    shared.room().await;
    match body {
        Some(body) => body.next().await,
        None => Ok(None),
    }
}

fn moment() -> Moment {
    Moment {
        now: process().now(),
        // Without randomness delays are still delays: all of them the shortest.
        random: getrandom::u64().unwrap_or_default(),
        wall: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs()),
    }
}
