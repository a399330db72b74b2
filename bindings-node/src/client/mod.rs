//! Event sources: streams that come back by themselves. What has come is taken by JavaScript, in batches.

mod notice;
mod options;

use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{Either, External, Function};
use napi::threadsafe_function::ThreadsafeFunction;
use napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking;
use napi::{Env, Result, Status};
use napi_derive::napi;
use ssehub::{Answer, Taken};

use self::notice::SourceNotice;
use self::options::{SourceSettings, headers};
use crate::error::to_js;
use crate::packed::{Found, Packed};

/// What all sources of one JavaScript thread share: whom to wake. A burst wakes the thread once, however many sources
/// it concerns.
#[napi]
pub struct Sources {
    woken: Arc<Woken>,
}

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

struct Woken {
    // Sources with something to take, by the numbers that JavaScript gave them.
    ids: Mutex<Vec<u32>>,
    wake: Wake,
}

impl Woken {
    fn add(&self, id: u32) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.push(id);
        if ids.len() == 1 {
            drop(ids);
            // It fails when the thread ends.
            let _ = self.wake.call((), NonBlocking);
        }
    }
}

/// One source. Empty, once it is closed.
pub struct Source {
    inner: Option<ssehub::EventSource>,
    packed: Packed,
}

#[napi]
impl Sources {
    /// `wake` is called in this thread when there are sources with something to take. It does not keep the process
    /// alive.
    #[napi(constructor, catch_unwind)]
    pub fn new(wake: Function<'_, (), ()>) -> Result<Self> {
        let wake = wake
            .build_threadsafe_function()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        let ids = Mutex::default();
        Ok(Self {
            woken: Arc::new(Woken { ids, wake }),
        })
    }

    /// Opens a source.
    #[napi(catch_unwind)]
    pub fn open(&self, id: u32, settings: SourceSettings) -> Result<External<Source>> {
        let (request, options) = settings.into_core();
        let source = ssehub::EventSource::open(&request, options).map_err(to_js)?;
        let woken = self.woken.clone();
        source.on_ready(Some(Arc::new(move || woken.add(id))));
        Ok(External::new(Source {
            inner: Some(source),
            packed: Packed::default(),
        }))
    }

    /// The sources with something to take. Each is named once, and again only after `source_take` found nothing.
    #[napi(catch_unwind)]
    pub fn woken(&self) -> Vec<u32> {
        let mut ids = self
            .woken
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ids)
    }
}

/// Events in a row, or something else that has happened, or nothing.
#[napi(catch_unwind)]
pub(crate) fn source_take<'env>(
    env: &'env Env,
    source: &mut External<Source>,
) -> Result<Either<Found<'env>, SourceNotice>> {
    let Source { inner, packed } = &mut **source;
    match inner.as_ref().and_then(ssehub::EventSource::try_take) {
        None => {}
        Some(Taken::Events(batch)) => {
            for event in batch.events() {
                packed.push(&event);
            }
        }
        Some(Taken::Notice(notice)) => return Ok(Either::B(notice.into())),
    }
    packed.hand_over(env).map(Either::A)
}

/// Answers with header fields.
#[napi(catch_unwind)]
pub(crate) fn source_answer_headers(
    source: &External<Source>,
    names: Vec<String>,
    values: Vec<String>,
) -> Result<()> {
    answer(source, Answer::Headers(headers(names, values)))
}

/// Answers whether to follow a redirect.
#[napi(catch_unwind)]
pub(crate) fn source_answer_redirect(source: &External<Source>, follow: bool) -> Result<()> {
    answer(source, Answer::Redirect(follow))
}

/// Answers that the function which was to answer has failed.
#[napi(catch_unwind)]
pub(crate) fn source_answer_failed(source: &External<Source>, why: String) -> Result<()> {
    answer(source, Answer::Failed(why))
}

fn answer(source: &Source, answer: Answer) -> Result<()> {
    match &source.inner {
        Some(source) => source.answer(answer).map_err(to_js),
        None => Ok(()),
    }
}

/// Wants a new connection, now.
#[napi(catch_unwind)]
pub(crate) fn source_restart(source: &External<Source>) {
    if let Some(source) = &source.inner {
        source.restart();
    }
}

/// The last event id, after what was taken.
#[napi(catch_unwind)]
pub(crate) fn source_last_event_id(source: &External<Source>) -> Option<String> {
    source
        .inner
        .as_ref()
        .map(ssehub::EventSource::last_event_id)
}

/// Cuts the connection, and gives back everything that the source holds.
#[napi(catch_unwind)]
pub(crate) fn source_close(source: &mut External<Source>) {
    source.inner = None;
}
