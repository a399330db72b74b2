//! The streams of one hub in one JavaScript thread: one wake-up call per burst, one answer for all streams.

use std::collections::HashMap;
use std::sync::Arc;

use napi::bindgen_prelude::{BufferSlice, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking;
use napi::{Env, Error, Result};
use napi_derive::napi;
use ssehub::{Delivery, EndReason, HandOff, Slot, Token};

use crate::error::to_js;
use crate::event::whole;
use crate::hub::Hub;
use crate::options::{HandOffSettings, StreamSettings};
use crate::reports::Reports;
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
    places: Vec<Option<Place>>,
    ready: Vec<(Token, Delivery)>,
    wait: f64,
}

struct Place {
    token: Token,
    /// For the socket that is to go to the engine.
    slot: Option<Slot>,
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
            places: Vec::new(),
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
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index] = Some(Place { token, slot: None });
        Ok(place)
    }

    /// Sets a descriptor aside for a stream's socket. False where there is none.
    #[napi(catch_unwind)]
    pub fn reserve(&mut self, place: u32) -> bool {
        let slot = Slot::reserve(false).ok();
        let reserved = slot.is_some();
        if let Some(place) = self.place(place) {
            place.slot = slot;
        }
        reserved
    }

    /// Gives the descriptor back: the socket stays where it is.
    #[napi(catch_unwind)]
    pub fn release(&mut self, place: u32) {
        if let Some(place) = self.place(place) {
            place.slot = None;
        }
    }

    /// Gives a stream, for whose socket a descriptor has been set aside, to the engine. Where this throws, nothing but
    /// that descriptor is gone.
    #[napi(catch_unwind)]
    pub fn hand_off(
        &mut self,
        place: u32,
        fd: i32,
        settings: HandOffSettings,
        reports: &Reports,
    ) -> Result<()> {
        let known = self.place(place);
        let (token, slot) = known
            .and_then(|place| Some((place.token, place.slot.take()?)))
            .ok_or_else(|| Error::from_reason("no descriptor is set aside for this stream"))?;
        let how = HandOff {
            framing: settings.framing(),
            held: settings.held,
            snapshot: settings.snapshot,
            tag: whole(settings.tag),
            label: Arc::default(),
        };
        self.inner
            .hand_off(token, slot, fd, how, &reports.inner)
            .map_err(|error| Error::from_reason(error.to_string()))?;
        self.places[place as usize] = None;
        Ok(())
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
        let token = self.places.get_mut(place as usize)?.take()?.token;
        self.inner.remove(token, reason_of(reason)).map(Into::into)
    }

    /// The id of a stream's position.
    #[napi(catch_unwind)]
    pub fn position(&self, place: u32) -> Option<String> {
        self.inner.position(self.token(place)?)
    }

    fn token(&self, place: u32) -> Option<Token> {
        Some(self.places.get(place as usize)?.as_ref()?.token)
    }

    fn place(&mut self, place: u32) -> Option<&mut Place> {
        self.places.get_mut(place as usize)?.as_mut()
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

fn address(bytes: &Arc<[u8]>) -> (bool, u64) {
    (false, bytes.as_ptr() as u64)
}

/// The reason with this number.
pub(crate) fn reason_of(number: u32) -> EndReason {
    EndReason::ALL
        .get(number as usize)
        .copied()
        .unwrap_or(EndReason::Error)
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
