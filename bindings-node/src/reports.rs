//! How a JavaScript thread learns of the ends of streams that it has given to the engine: one wake-up call per burst.

use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking;
use napi_derive::napi;

use crate::event::whole;
use crate::hub::Hub;
use crate::selector::reason_of;
use crate::stats::StreamInfo;

#[napi]
pub struct Reports {
    pub(crate) inner: ssehub::Reports,
}

/// A stream of the engine's that is over.
#[napi(object, object_from_js = false)]
pub struct Report {
    pub tag: f64,
    /// Whether its last frame is whole: a held one's response may be ended then, and must be cut otherwise.
    pub clean: bool,
    pub info: StreamInfo,
}

#[napi]
impl Reports {
    /// `wake` is called in this thread when there is something to take. It does not keep the process alive.
    #[napi(constructor, catch_unwind)]
    pub fn new(hub: &Hub, wake: Function<'_, (), ()>) -> Result<Self> {
        let wake = wake
            .build_threadsafe_function()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        Ok(Self {
            inner: hub.inner.reports(move || {
                // It fails when the thread ends.
                let _ = wake.call((), NonBlocking);
            }),
        })
    }

    /// The streams that have ended since the last call.
    #[napi(catch_unwind)]
    #[allow(clippy::cast_precision_loss, reason = "a number that JavaScript chose")]
    pub fn take(&self) -> Vec<Report> {
        let reports = self.inner.take();
        reports
            .into_iter()
            .map(|report| Report {
                tag: report.tag as f64,
                clean: report.clean,
                info: report.info.into(),
            })
            .collect()
    }

    /// Ends these streams, each at a time of its own within `spread`; at `timeout` they are cut.
    #[napi(catch_unwind)]
    pub fn drain(&self, tags: Vec<f64>, timeout: f64, spread: f64) {
        let tags: Vec<u64> = tags.into_iter().map(whole).collect();
        let [timeout, spread] = [timeout, spread].map(|time| Duration::from_millis(whole(time)));
        self.inner.drain(&tags, timeout, spread);
    }

    /// Ends a stream. It is reported like any other.
    #[napi(catch_unwind)]
    pub fn remove(&self, tag: f64, reason: u32) {
        self.inner.remove(whole(tag), reason_of(reason));
    }
}
