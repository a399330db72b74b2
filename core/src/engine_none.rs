//! In place of the engine, on systems where it cannot take sockets: every hand-off is refused, and hosts go on
//! themselves. The names are those of the engine, so that nobody else has to know.

#[expect(dead_code, reason = "nothing is ever reported here")]
#[path = "engine/reports.rs"]
mod reports;
#[path = "engine/terms.rs"]
mod terms;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use crate::delivery::{EndReason, Token};
use crate::registry::{Owner, Plan};
use crate::shared::Shared;
use crate::stream::Stream;
use crate::topic::table::ListenerId;

use self::reports::Inbox;

pub use reports::{Report, Reports};
pub use terms::{Framing, HandOff};

/// A descriptor set aside before a response begins. There is none here.
#[derive(Debug)]
pub struct Slot {
    none: None,
}

/// Has no value.
#[derive(Debug)]
pub(crate) enum None {}

impl Slot {
    /// # Errors
    /// `Unsupported`, always.
    pub fn reserve(_dummy: bool) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// There is no engine here.
pub(crate) struct Engine {
    none: None,
}

impl Engine {
    pub(crate) fn start(_hub: &Arc<Shared>) -> io::Result<Arc<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(
        clippy::needless_pass_by_value,
        clippy::unused_self,
        reason = "the engine's own has them"
    )]
    pub(crate) fn prepare(&self, _: &Stream, slot: Slot, _: i32) -> io::Result<None> {
        match slot.none {}
    }

    pub(crate) fn listener(&self, _: &None) -> ListenerId {
        match self.none {}
    }

    pub(crate) fn add(
        self: &Arc<Self>,
        _: &Shared,
        _: None,
        _: Stream,
        _: HandOff,
        _: &Reports,
        _: (*const (), Token),
    ) {
        match self.none {}
    }

    pub(crate) fn remove(&self, _: Token, _: EndReason) {
        match self.none {}
    }

    pub(crate) fn drain_group(&self, _: &Arc<Plan>, _: &Arc<Inbox>, _: HashSet<u64>) {
        match self.none {}
    }
}

impl Owner for Engine {
    fn disconnect(&self, _: Option<&str>, _: Option<&str>, _: Option<&Arc<[u8]>>, _: u64) -> usize {
        match self.none {}
    }

    fn end(&self, _: Token, _: EndReason, _: Option<&Arc<[u8]>>) {
        match self.none {}
    }

    fn drain(&self, _: &Arc<Plan>) {
        match self.none {}
    }

    fn close_all(&self) {
        match self.none {}
    }
}
