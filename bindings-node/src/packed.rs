//! Events on their way into JavaScript. Those that came together cross as one string, or two: objects made one by one
//! through Node-API cost several times the parsing. `packed.js` cuts it up.

use napi::bindgen_prelude::{Either, Null};
use napi::{Env, JsString, Result};
use ssehub::EventRef;

/// Events in a row: their texts, behind one another, and behind these the record of each event:
///
/// ```text
/// narrow = texts, records, position of the records (4 bytes, little end first)
/// record = flags (1 byte), length of data, [length of type], [length of id]
/// ```
///
/// Lengths are LEB128, in UTF-16 units. Texts that are ASCII stand in `narrow`, all others in `wide`, so that ASCII
/// stays one byte per character in JavaScript. A type of `message`, and an id that is that of the event before it, is
/// left out.
#[derive(Default)]
pub(crate) struct Packed {
    narrow: Vec<u8>,
    wide: Vec<u16>,
    records: Vec<u8>,
    // The id that JavaScript has seen last.
    id: String,
}

const WIDE_DATA: u8 = 1;
const HAS_TYPE: u8 = 2;
const WIDE_TYPE: u8 = 4;
const HAS_ID: u8 = 8;
const WIDE_ID: u8 = 16;

/// One large chunk must not hold its memory for the rest of the stream.
const KEPT_CAPACITY: usize = 64 * 1024;

/// A string, two, or nothing: see [`Packed`].
pub(crate) type Found<'env> = Either<Null, Either<JsString<'env>, Vec<JsString<'env>>>>;

impl Packed {
    pub(crate) fn push(&mut self, event: &EventRef<'_>) {
        let at = self.records.len();
        self.records.push(0);
        let mut flags = self.text(event.data(), WIDE_DATA);
        if event.event() != "message" {
            flags |= HAS_TYPE | self.text(event.event(), WIDE_TYPE);
        }
        // Empty ones are not compared: see `EventBatch` in core, which does the same.
        let id = event.id();
        if id.len() != self.id.len() || !id.is_empty() && id != self.id {
            flags |= HAS_ID | self.text(id, WIDE_ID);
            self.id.clear();
            self.id.push_str(id);
        }
        self.records[at] = flags;
    }

    /// Appends a text and its length. Returns `flag` where the text is a wide one.
    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    fn text(&mut self, text: &str, flag: u8) -> u8 {
        let (mut length, flag) = if text.is_ascii() {
            self.narrow.extend_from_slice(text.as_bytes());
            (text.len(), 0)
        } else {
            let before = self.wide.len();
            widen(text, &mut self.wide);
            (self.wide.len() - before, flag)
        };
        while length >= 0x80 {
            self.records.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.records.push(length as u8);
        flag
    }

    /// What was pushed since the last call.
    pub(crate) fn hand_over<'env>(&mut self, env: &'env Env) -> Result<Found<'env>> {
        if self.records.is_empty() {
            return Ok(Either::A(Null));
        }
        // A string of Node is shorter than 2^30 characters: what does not fit fails below.
        let position = u32::try_from(self.narrow.len()).unwrap_or(u32::MAX);
        self.narrow.extend_from_slice(&self.records);
        self.narrow.extend_from_slice(&position.to_le_bytes());
        let narrow = env.create_string_latin1(&self.narrow)?;
        let result = if self.wide.is_empty() {
            Either::A(narrow)
        } else {
            Either::B(vec![narrow, env.create_string_utf16(&self.wide)?])
        };
        self.narrow.clear();
        self.narrow.shrink_to(KEPT_CAPACITY);
        self.wide.clear();
        self.wide.shrink_to(KEPT_CAPACITY);
        self.records.clear();
        self.records.shrink_to(KEPT_CAPACITY);
        Ok(Either::B(result))
    }
}

/// Appends a text as UTF-16. Runs of ASCII, most of nearly every text, are widened many at a time.
fn widen(text: &str, out: &mut Vec<u16>) {
    out.reserve(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let run = bytes
            .iter()
            .position(|byte| !byte.is_ascii())
            .unwrap_or(bytes.len());
        out.extend(bytes[..run].iter().map(|byte| u16::from(*byte)));
        let mut chars = rest[run..].chars();
        while let Some(char) = chars.clone().next().filter(|char| !char.is_ascii()) {
            out.extend_from_slice(char.encode_utf16(&mut [0; 2]));
            chars.next();
        }
        rest = chars.as_str();
    }
}
