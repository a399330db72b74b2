//! The text/event-stream format, without I/O: text in, bytes out, and back.
//!
//! The grammar is that of the WHATWG HTML standard, section 9.2.5 ("Parsing an event stream"):
//!
//! ```text
//! stream  = [ bom ] *event
//! event   = *( comment / field ) end-of-line
//! comment = ":" *any-char end-of-line
//! field   = 1*name-char [ ":" [ space ] *any-char ] end-of-line
//! end-of-line = CR LF / CR / LF
//! ```
//!
//! Where each rule lives: [`encode`](self::encode) writes it, [`lines`](self::lines) knows BOM and line ends over
//! chunk borders, [`field`](self::field) the fields, [`parse`](self::parse) interprets them (section 9.2.6).

pub(crate) mod encode;
pub(crate) mod field;
pub(crate) mod lines;
pub(crate) mod parse;
