//! Events that came together, in two allocations.

use crate::event::{Event, EventRef};

/// Events in a row. Their texts lie in one string, so that a burst costs little until somebody looks at its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    text: String,
    marks: Vec<Mark>,
}

type Span = (usize, usize);

/// Where the parts of one event are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    event: Span,
    data: Span,
    // Often that of the event before.
    id: Span,
}

impl EventBatch {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<EventRef<'_>> {
        let mark = self.marks.get(index)?;
        Some(EventRef {
            event: self.part(mark.event),
            data: self.part(mark.data),
            id: self.part(mark.id),
        })
    }

    /// The last of them.
    pub fn last(&self) -> Option<EventRef<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All of them, in order.
    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Bytes of memory, roughly.
    pub(crate) fn size(&self) -> usize {
        self.text.len() + self.marks.len() * size_of::<Mark>()
    }

    /// An empty one, with room for so many bytes of text.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            marks: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, event: EventRef<'_>) {
        let previous = self.marks.last().copied();
        let event_type = match previous {
            Some(mark) if is_same(self.part(mark.event), event.event) => mark.event,
            _ => self.text(event.event),
        };
        let id = match previous {
            Some(mark) if is_same(self.part(mark.id), event.id) => mark.id,
            _ => self.text(event.id),
        };
        let data = self.text(event.data);
        self.marks.push(Mark {
            event: event_type,
            data,
            id,
        });
    }

    pub(crate) fn append(&mut self, later: &Self) {
        let by = self.text.len();
        let moved = |(start, end): Span| (start + by, end + by);
        self.text.push_str(&later.text);
        self.marks.extend(later.marks.iter().map(|mark| Mark {
            event: moved(mark.event),
            data: moved(mark.data),
            id: moved(mark.id),
        }));
    }

    /// The events from `index` on.
    pub(crate) fn skip(&mut self, index: usize) {
        self.marks.drain(..index);
    }

    pub(crate) fn event(&self, index: usize) -> Option<Event> {
        self.get(index).map(|event| event.to_event())
    }

    fn text(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        (start, self.text.len())
    }

    fn part(&self, (start, end): Span) -> &str {
        &self.text[start..end]
    }
}

/// Whether two texts are the same. Empty ones, as most ids are, need no look: their pointers lead nowhere, and processors
/// that load from there under a mask take long to find that nothing was wanted.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}
