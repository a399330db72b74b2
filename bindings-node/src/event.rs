//! Events on their way out: checked, and encoded.

use napi::bindgen_prelude::{BufferSlice, Either, Utf16String};
use napi::{Env, JsString, Result};
use napi_derive::napi;
use ssehub::Fields;

use crate::error::to_js;
use crate::text::from_utf16;

/// Up to so many bytes, text is the faster way.
const SHORT: usize = 1024;

/// JavaScript has checked that this is a safe integer from 0 on.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the range"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// The wire form of one event. What is short and ASCII, as text: JavaScript makes a Buffer of it from its own pool, which
/// is three times as fast as one made here.
#[napi(catch_unwind)]
pub(crate) fn encode(
    env: &Env,
    data: Option<Utf16String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<f64>,
    comment: Option<String>,
) -> Result<Either<JsString<'_>, BufferSlice<'_>>> {
    let data = from_utf16(data);
    let fields = fields(
        data.as_deref(),
        event.as_deref(),
        id.as_deref(),
        retry,
        comment.as_deref(),
    );
    let wire = ssehub::encode(&fields).map_err(to_js)?;
    if wire.len() <= SHORT && wire.is_ascii() {
        env.create_string_latin1(wire).map(Either::A)
    } else {
        BufferSlice::copy_from(env, wire).map(Either::B)
    }
}

/// Throws where these fields make no event.
#[napi(catch_unwind)]
pub(crate) fn check(
    data: Option<Utf16String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<f64>,
    comment: Option<String>,
) -> Result<()> {
    let data = from_utf16(data);
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
