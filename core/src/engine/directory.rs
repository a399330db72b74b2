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
    /// It has been told to end.
    pub(crate) ended: bool,
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
    pub(crate) fn show(&mut self, token: Token, ending: bool) {
        if let Some(place) = self.places.get_mut(place_of(token) as usize)
            && let Some(entry) = &mut place.entry
        {
            entry.ended = ending;
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

    /// Whether the connection has been told to end, and may not have heard of it yet.
    pub(crate) fn is_ended(&self, token: Token) -> bool {
        let place = self.places.get(place_of(token) as usize);
        place
            .filter(|place| place.life == token.life)
            .and_then(|place| place.entry.as_ref())
            .is_some_and(|entry| entry.ended)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Marks the connections that are to end, and returns them.
    pub(crate) fn end_where(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<Token> {
        let mut ended = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            if let Some(entry) = &mut place.entry
                && !entry.ended
                && which(entry)
            {
                entry.ended = true;
                ended.push(Token {
                    index: self.base | u32::try_from(index).unwrap_or(u32::MAX),
                    life: place.life,
                });
            }
        }
        ended
    }
}
