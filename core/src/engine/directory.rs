//! Which connections a shard has, for those who ask from other threads: nobody waits for a writer.

use std::sync::Arc;

use crate::delivery::Token;
use crate::topic::table::Name;

/// The connections of one shard. A place is used again; a token never means two connections.
#[derive(Debug)]
pub(crate) struct Directory {
    // The shard's number, in the upper bits of its tokens' places.
    base: u32,
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
}

/// Bits of a token's place that are the place in its shard.
const PLACE_BITS: u32 = 24;

/// The shard that a token is of.
pub(crate) fn shard_of(token: Token) -> usize {
    (token.index >> PLACE_BITS) as usize
}

/// A token's place in its shard.
pub(crate) fn place_of(token: Token) -> u32 {
    token.index & ((1 << PLACE_BITS) - 1)
}

#[derive(Debug, Default)]
struct Place {
    life: u32,
    entry: Option<Entry>,
}

/// What `disconnect` goes by.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Option<Arc<str>>,
    pub(crate) names: Arc<[Name]>,
    /// It counts among the hub's connections.
    pub(crate) connection: bool,
    /// It has been told to end: what was published up to here is still for it, and nothing later.
    pub(crate) ended: Option<u64>,
}

impl Directory {
    pub(crate) fn new(shard: u32) -> Self {
        Self {
            base: shard << PLACE_BITS,
            places: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }

    pub(crate) fn insert(&mut self, entry: Entry) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[index as usize];
        place.entry = Some(entry);
        self.count += 1;
        Token {
            index: self.base | index,
            life: place.life,
        }
    }

    /// The connection is there: from here on it is found, unless its end has been decided on.
    pub(crate) fn show(&mut self, token: Token, ended: Option<u64>) {
        if let Some(place) = self.places.get_mut(place_of(token) as usize)
            && let Some(entry) = &mut place.entry
        {
            entry.ended = ended;
        }
    }

    pub(crate) fn remove(&mut self, token: Token) {
        if let Some(place) = self.places.get_mut(place_of(token) as usize)
            && place.life == token.life
            && place.entry.take().is_some()
        {
            // One bit less than a token has: the poller's tokens need it.
            place.life = (place.life + 1) & (u32::MAX >> 1);
            self.free.push(place_of(token));
            self.count -= 1;
        }
    }

    /// Where the connection has been told to end, of which it may not have heard yet: the last event that is for it.
    pub(crate) fn ended(&self, token: Token) -> Option<u64> {
        let place = self.places.get(place_of(token) as usize)?;
        let entry = place.entry.as_ref()?;
        entry.ended.filter(|_| place.life == token.life)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Marks the connections that are to end behind this event, and returns them.
    pub(crate) fn end_where(&mut self, through: u64, which: impl Fn(&Entry) -> bool) -> Vec<Token> {
        let mut ended = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            if let Some(entry) = &mut place.entry
                && entry.ended.is_none()
                && which(entry)
            {
                entry.ended = Some(through);
                ended.push(Token {
                    index: self.base | u32::try_from(index).unwrap_or(u32::MAX),
                    life: place.life,
                });
            }
        }
        ended
    }
}
