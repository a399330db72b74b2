//! One mapping of core errors to JavaScript: the code travels in front of the message, and `errors.js` makes the
//! exception of it. (napi could set `code`, but not choose the class.)

use napi::{Error, Status};
use ssehub::ErrorKind;

/// What [`ssehub::Error`] becomes on its way to `errors.js`.
pub(crate) fn to_js(error: ssehub::Error) -> Error {
    let code = match error.kind() {
        ErrorKind::InvalidArgument => "ERR_SSEHUB_INVALID_ARGUMENT",
        ErrorKind::OutOfRange => "ERR_SSEHUB_OUT_OF_RANGE",
        ErrorKind::EventTooLarge => "ERR_SSEHUB_EVENT_TOO_LARGE",
        ErrorKind::LimitReached => "ERR_SSEHUB_LIMIT",
        ErrorKind::Draining => "ERR_SSEHUB_DRAINING",
        ErrorKind::Closed => "ERR_SSEHUB_CLOSED",
        _ => "ERR_SSEHUB",
    };
    let field = error.field().unwrap_or_default();
    Error::new(
        Status::GenericFailure,
        format!("{code}\u{1f}{field}\u{1f}{error}"),
    )
}
