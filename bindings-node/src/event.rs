//! Events on their way out: checked, and encoded.

use napi::{Env, JsString, Result};
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

/// The wire form of one event, as text: JavaScript makes a Buffer of it from its own pool, which is three times as fast
/// as one made here.
#[napi(catch_unwind)]
pub(crate) fn encode(
    env: &Env,
    data: Option<String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<f64>,
    comment: Option<String>,
) -> Result<JsString<'_>> {
    let fields = fields(
        data.as_deref(),
        event.as_deref(),
        id.as_deref(),
        retry,
        comment.as_deref(),
    );
    let wire = ssehub::encode(&fields).map_err(to_js)?;
    if wire.is_ascii() {
        env.create_string_latin1(wire)
    } else {
        // Fields are text, and so is what is written of them.
        env.create_string(String::from_utf8_lossy(&wire))
    }
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
    fields(
        data.as_deref(),
        event.as_deref(),
        id.as_deref(),
        retry,
        comment.as_deref(),
    )
    .check()
    .map_err(to_js)
}

pub(crate) fn fields<'a>(
    data: Option<&'a str>,
    event: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<f64>,
    comment: Option<&'a str>,
) -> Fields<'a> {
    Fields {
        data,
        event,
        id,
        retry: retry.map(whole),
        comment,
    }
}
