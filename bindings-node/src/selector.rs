//! The streams of one hub in one JavaScript thread: one wake-up call per burst, one answer for all streams.

use std::collections::HashMap;

use napi::bindgen_prelude::{BufferSlice, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking;
use napi::{Env, Result};
use napi_derive::napi;
use ssehub::{Delivery, EndReason, Token};

use crate::error::to_js;
use crate::hub::Hub;
use crate::options::StreamSettings;
use crate::stats::StreamInfo;
use crate::subscription::Subscription;

/// `code` of a delivery: what it is, how a stream ends, and which of the payloads it has.
const GAP: u32 = 1;
const END: u32 = 2;
const CLEAN: u32 = 4;
const REASON_SHIFT: u32 = 3;
/// The place of the payload plus one; 0: none.
const PAYLOAD_SHIFT: u32 = 6;

#[napi]
pub struct Selector {
    inner: ssehub::Selector,
    // By the place of the stream, which is all that JavaScript knows of the token.
    tokens: Vec<Option<Token>>,
    ready: Vec<(Token, Delivery)>,
    wait: f64,
}

/// What streams have to send: pairs of stream and code, and the bytes, each once for all streams that send it.
#[napi(object, object_from_js = false)]
pub struct Ready<'env> {
    pub pairs: Vec<u32>,
    pub payloads: Vec<BufferSlice<'env>>,
}

#[napi]
impl Selector {
    /// `wake` is called in this thread when `select` has something to do. It does not keep the process alive.
    #[napi(constructor, catch_unwind)]
    pub fn new(hub: &Hub, wake: Function<'_, (), ()>) -> Result<Self> {
        let wake = wake
            .build_threadsafe_function()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        Ok(Self {
            inner: hub.inner.selector(move || {
                // It fails when the thread ends, and the selector with it.
                let _ = wake.call((), NonBlocking);
            }),
            tokens: Vec::new(),
            ready: Vec::new(),
            wait: -1.0,
        })
    }

    /// Starts a stream. Returns its place.
    #[napi(catch_unwind)]
    pub fn add(&mut self, subscription: &Subscription, settings: StreamSettings) -> Result<u32> {
        let mut subscription = subscription.inner.clone();
        if let Some(id) = &settings.resume {
            subscription = subscription.resume(id);
        }
        if settings.live_after_gap {
            subscription = subscription.live_after_gap();
        }
        let token = self
            .inner
            .add(&subscription, &settings.to_core())
            .map_err(to_js)?;
        // The lower half of a token is its place; it is free again only after `remove`.
        let place = place_of(token);
        let index = place as usize;
        if self.tokens.len() <= index {
            self.tokens.resize(index + 1, None);
        }
        self.tokens[index] = Some(token);
        Ok(place)
    }

    /// What all waiting streams have to send.
    #[napi(catch_unwind)]
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a timer")]
    pub fn select<'env>(&mut self, env: &'env Env) -> Result<Option<Ready<'env>>> {
        self.wait = self
            .inner
            .select(&mut self.ready)
            .map_or(-1.0, |wait| wait.as_millis() as f64);
        self.hand_over(env)
    }

    /// After how many milliseconds to call `select` again without having been woken; below 0: not at all.
    #[napi(catch_unwind)]
    pub fn wait(&self) -> f64 {
        self.wait
    }

    /// What these streams, which have written all they had, have to send now.
    #[napi(catch_unwind)]
    pub fn poll<'env>(&mut self, env: &'env Env, places: Vec<u32>) -> Result<Option<Ready<'env>>> {
        for place in places {
            if let Some(token) = self.token(place)
                && let Some(delivery) = self.inner.poll(token)
            {
                self.ready.push((token, delivery));
            }
        }
        self.hand_over(env)
    }

    /// Ends a stream and gives back everything it holds.
    #[napi(catch_unwind)]
    pub fn remove(&mut self, place: u32, reason: u32) -> Option<StreamInfo> {
        let token = self.tokens.get_mut(place as usize)?.take()?;
        let reason = EndReason::ALL
            .get(reason as usize)
            .copied()
            .unwrap_or(EndReason::Error);
        self.inner.remove(token, reason).map(Into::into)
    }

    /// The id of a stream's position.
    #[napi(catch_unwind)]
    pub fn position(&self, place: u32) -> Option<String> {
        self.inner.position(self.token(place)?)
    }

    fn token(&self, place: u32) -> Option<Token> {
        self.tokens.get(place as usize).copied().flatten()
    }

    fn hand_over<'env>(&mut self, env: &'env Env) -> Result<Option<Ready<'env>>> {
        if self.ready.is_empty() {
            return Ok(None);
        }
        let mut pairs = Vec::with_capacity(self.ready.len() * 2);
        let mut payloads: Vec<BufferSlice<'env>> = Vec::new();
        // Batches by serial, and single pieces by address: a farewell is shared, too.
        let mut known: HashMap<(bool, u64), u32> = HashMap::new();
        for (token, delivery) in self.ready.drain(..) {
            let (mut code, bytes) = match &delivery {
                Delivery::Frames(batch) => (0, Some(((true, batch.serial()), batch.bytes()))),
                Delivery::Bytes(bytes) => (0, Some((address(bytes), &bytes[..]))),
                Delivery::Gap(bytes) => (GAP, Some((address(bytes), &bytes[..]))),
                Delivery::End(end) => (
                    END | if end.clean { CLEAN } else { 0 } | reason_code(end.reason),
                    end.last.as_ref().map(|last| (address(last), &last[..])),
                ),
            };
            if let Some((key, bytes)) = bytes {
                let place = if let Some(place) = known.get(&key) {
                    *place
                } else {
                    payloads.push(BufferSlice::copy_from(env, bytes)?);
                    let place = u32::try_from(payloads.len()).unwrap_or(u32::MAX);
                    known.insert(key, place);
                    place
                };
                code |= place << PAYLOAD_SHIFT;
            }
            pairs.push(place_of(token));
            pairs.push(code);
        }
        Ok(Some(Ready { pairs, payloads }))
    }
}

fn address(bytes: &std::sync::Arc<[u8]>) -> (bool, u64) {
    (false, bytes.as_ptr() as u64)
}

fn reason_code(reason: EndReason) -> u32 {
    EndReason::ALL
        .iter()
        .zip(0..)
        .find(|(known, _)| **known == reason)
        .map_or(0, |(_, code): (_, u32)| code << REASON_SHIFT)
}

/// The lower half of a token.
#[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
fn place_of(token: Token) -> u32 {
    token.to_bits() as u32
}
