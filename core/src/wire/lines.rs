//! Lines across chunk borders: the BOM, and the LF that may follow a CR in the next chunk.
//!
//! A line is complete at its CR: nothing waits for a possible LF, since that LF may come with the next event only.

use memchr::memchr2;

const BOM: &[u8; 3] = b"\xEF\xBB\xBF";

/// What must be remembered between two chunks to cut lines.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    // How many bytes of a BOM have been seen at the start of the stream; `None` once the start is behind us.
    bom: Option<u8>,
    // The last line ended with CR: an LF right here belongs to it.
    after_cr: bool,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            bom: Some(0),
            after_cr: false,
        }
    }

    /// Takes the BOM off the first chunks. Returns bytes held back from earlier chunks that turned out not to be a
    /// BOM, and what is left of this chunk.
    pub(crate) fn strip_bom<'c>(&mut self, chunk: &'c [u8]) -> (&'static [u8], &'c [u8]) {
        let Some(seen) = self.bom else {
            return (&[], chunk);
        };
        let seen = usize::from(seen);
        let expected = &BOM[seen..];
        let common = expected
            .iter()
            .zip(chunk)
            .take_while(|(a, b)| a == b)
            .count();
        if common == expected.len() {
            self.bom = None;
            return (&[], &chunk[common..]);
        }
        if common == chunk.len() {
            self.bom = u8::try_from(seen + common).ok();
            return (&[], &[]);
        }
        self.bom = None;
        (&BOM[..seen], chunk)
    }

    /// Where the next line of `rest` ends. `None`: the line goes on in the next chunk. Call [`Self::skip_lf`] first.
    pub(crate) fn find_end(&mut self, rest: &[u8]) -> Option<usize> {
        // Blank lines end every event: worth a look before the search is set up.
        let at = match rest.first() {
            Some(b'\n' | b'\r') => 0,
            _ => memchr2(b'\n', b'\r', rest)?,
        };
        self.after_cr = rest[at] == b'\r';
        Some(at)
    }

    /// Takes off the LF of a CRLF whose CR ended the last line.
    pub(crate) fn skip_lf<'c>(&mut self, rest: &'c [u8]) -> &'c [u8] {
        if !std::mem::take(&mut self.after_cr) {
            return rest;
        }
        rest.strip_prefix(b"\n").unwrap_or(rest)
    }
}
