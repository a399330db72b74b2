//! The parser.

use napi::bindgen_prelude::External;
use napi::{Env, Result};
use napi_derive::napi;

use crate::error::to_js;
use crate::event::whole;
use crate::packed::{Found, Packed};

/// An incremental parser of `text/event-stream`. An external value with functions and no class: a method call of a
/// class costs more than parsing a small event.
pub(crate) struct Parser {
    parser: ssehub::Parser,
    packed: Packed,
}

#[napi(catch_unwind)]
pub(crate) fn parser_new(max_event_size: f64) -> External<Parser> {
    let max = usize::try_from(whole(max_event_size)).unwrap_or(usize::MAX);
    External::new(Parser {
        parser: ssehub::Parser::with_max_event_size(max),
        packed: Packed::default(),
    })
}

/// The events of the next bytes. Where it throws, [`parser_take`] has the events before the failure.
#[napi(catch_unwind)]
pub(crate) fn parser_feed<'env>(
    env: &'env Env,
    parser: &mut External<Parser>,
    chunk: &[u8],
) -> Result<Found<'env>> {
    let Parser { parser, packed } = &mut **parser;
    parser
        .feed(chunk, |event| packed.push(&event))
        .map_err(to_js)?;
    packed.hand_over(env)
}

/// What the last call of [`parser_feed`] found before it threw.
#[napi(catch_unwind)]
pub(crate) fn parser_take<'env>(
    env: &'env Env,
    parser: &mut External<Parser>,
) -> Result<Found<'env>> {
    parser.packed.hand_over(env)
}

/// The last event id of the stream so far.
#[napi(catch_unwind)]
pub(crate) fn parser_last_event_id(parser: &External<Parser>) -> &str {
    parser.parser.last_event_id()
}

/// The last reconnection time of the stream, in milliseconds.
#[napi(catch_unwind)]
#[allow(clippy::cast_precision_loss, reason = "at most 2^53 - 1")]
pub(crate) fn parser_retry(parser: &External<Parser>) -> Option<f64> {
    parser.parser.retry().map(|retry| retry as f64)
}
