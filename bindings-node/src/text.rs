//! JavaScript text. Node-API writes UTF-8 slowly, and counts it first; UTF-16 it copies, and the conversion here takes
//! most texts many characters at a time. For what may be long: names and types are not.

use napi::bindgen_prelude::Utf16String;

/// How many characters are looked at together.
const BLOCK: usize = 32;

/// The text of a data argument. JavaScript has refused lone surrogates.
pub(crate) fn from_utf16(text: Option<Utf16String>) -> Option<String> {
    text.map(|text| convert(&text))
}

#[expect(clippy::cast_possible_truncation, reason = "ASCII")]
fn convert(mut units: &[u16]) -> String {
    let mut out = Vec::with_capacity(units.len());
    while !units.is_empty() {
        let (block, rest) = units.split_at(units.len().min(BLOCK));
        if block.iter().fold(0, |all, unit| all | unit) < 0x80 {
            out.extend(block.iter().map(|unit| *unit as u8));
            units = rest;
            continue;
        }
        // A pair of surrogates may reach into the next block.
        let mut taken = 0;
        for char in char::decode_utf16(units.iter().copied()) {
            let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
            taken += char.len_utf16();
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            if taken >= block.len() {
                break;
            }
        }
        units = &units[taken..];
    }
    String::from_utf8(out).unwrap_or_default()
}
