//! Events on their way out: checked, and encoded.

use napi::bindgen_prelude::BufferSlice;
use napi::{Env, Result};
use napi_derive::napi;
use ssehub::Fields;

use crate::error::to_js;

/// JavaScript has checked that this is a safe integer from 0 on.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the range"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// The wire bytes of one event.
#[napi(catch_unwind)]
pub(crate) fn encode(
    env: &Env,
    data: Option<String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<f64>,
    comment: Option<String>,
) -> Result<BufferSlice<'_>> {
    let fields = fields(&data, &event, &id, retry, &comment);
    let wire = ssehub::encode(&fields).map_err(to_js)?;
    BufferSlice::copy_from(env, wire)
}

/// Throws where these fields make no event.
#[napi(catch_unwind)]
pub(crate) fn check(
    data: Option<String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<f64>,
    comment: Option<String>,
) -> Result<()> {
    fields(&data, &event, &id, retry, &comment)
        .check()
        .map_err(to_js)
}

pub(crate) fn fields<'a>(
    data: &'a Option<String>,
    event: &'a Option<String>,
    id: &'a Option<String>,
    retry: Option<f64>,
    comment: &'a Option<String>,
) -> Fields<'a> {
    Fields {
        data: data.as_deref(),
        event: event.as_deref(),
        id: id.as_deref(),
        retry: retry.map(whole),
        comment: comment.as_deref(),
    }
}
