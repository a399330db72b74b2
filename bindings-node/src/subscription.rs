//! A position over topics. What reads it is a stream of a selector.

use napi_derive::napi;

/// A subscription: it holds nothing.
#[napi]
pub struct Subscription {
    pub(crate) inner: ssehub::Subscription,
}

#[napi]
impl Subscription {
    /// The id after which it reads.
    #[napi(catch_unwind)]
    pub fn position(&self) -> String {
        self.inner.position()
    }
}
