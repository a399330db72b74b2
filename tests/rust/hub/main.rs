//! What a hub promises, by behaviour. Time and the inner workings of the log are tested beside them, in
//! `core/src/topic/tests`.

mod common;

mod concurrent;
mod ends;
mod gaps;
mod order;
mod patterns;
mod reader;
mod rounds;
mod settings;
mod slow;
mod streams;
mod times;
