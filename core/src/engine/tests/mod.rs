//! The engine without threads, pollers and sockets: what time it is, who can take what, and what happens while the
//! writer is at work, is what the test says.

mod drains;
mod ends;
mod faults;
mod glances;
mod limits;
mod model;
mod oracle;
mod wire;

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use self::oracle::{Body, Seen, parse, unframe};
use self::wire::{During, Wire};
use crate::delivery::{EndReason, Token};
use crate::engine::command::Command;
use crate::engine::connection::Connection;
use crate::engine::connections::{Connections, Scene};
use crate::engine::directory::{Directory, Entry};
use crate::engine::mailbox::Mailbox;
use crate::engine::outbox::Outbox;
use crate::engine::reports::{Inbox, Report};
use crate::engine::round::Letter;
use crate::engine::terms::{Framing, HandOff};
use crate::event::Fields;
use crate::hub::{Hub, Topic};
use crate::options::{HubOptions, StreamOptions, SubscribeOptions};
use crate::registry::Plan;
use crate::shared::{Shared, State};
use crate::stream::Stream;
use crate::topic::cursor::Cursor;
use crate::topic::frame::Frame;
use crate::topic::table::{ListenerId, Mail, TopicId};
use crate::wire::encode::encode_checked;

thread_local! {
    /// How often the writer, which is this thread, has given way to others.
    static GIVEN_WAY: Cell<usize> = const { Cell::new(0) };
}

/// A shard without its thread.
struct Bench {
    hub: Hub,
    shared: Arc<Shared>,
    door: Arc<Door>,
    listener: ListenerId,
    outbox: Outbox,
    reports: Receiver<(Weak<Inbox>, Report)>,
    connections: Connections<Wire>,
    during: During,
    now: u64,
    opened: u64,
}

struct Door {
    mailbox: Mailbox<Letter, Command<Wire>>,
    directory: Mutex<Directory>,
}

impl Mail for Door {
    fn push(&self, topic: TopicId, frame: &Arc<Frame>) -> bool {
        let letter = Letter {
            topic,
            frame: frame.clone(),
        };
        self.mailbox.push(letter, frame.len())
    }
}

impl Door {
    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().expect("no panics")
    }

    fn send(&self, command: Command<Wire>) {
        // Nobody sleeps here.
        let _ = self.mailbox.command(command);
    }
}

/// How a client comes.
#[derive(Clone)]
struct Request {
    topics: Vec<Topic>,
    subscribe: SubscribeOptions,
    stream: StreamOptions,
    framing: Framing,
    held: bool,
    snapshot: bool,
    room: usize,
}

/// Somebody who reads what the engine sends.
struct Client {
    token: Token,
    key: String,
    wire: Wire,
    framing: Framing,
}

/// A client of these topics and, where the text says so by `~`, patterns.
fn request(topics: &[&str]) -> Request {
    Request {
        topics: topics
            .iter()
            .map(|text| match text.strip_prefix('~') {
                Some(pattern) => Topic::Pattern(pattern.into()),
                None => Topic::from(*text),
            })
            .collect(),
        subscribe: SubscribeOptions::default(),
        stream: StreamOptions {
            connection: true,
            ..StreamOptions::default()
        },
        framing: Framing::Chunked,
        held: false,
        snapshot: false,
        room: usize::MAX,
    }
}

impl Bench {
    fn new(mut options: HubOptions, mail: usize) -> Self {
        // The hub's own clock is not the test's.
        options.history.age = None;
        let hub = Hub::new(options).expect("settings of a test are valid");
        let any = hub.subscribe(&[Topic::from("any")], SubscribeOptions::default());
        let shared = any.expect("valid").shared().clone();
        // No thread for what expires: nothing does.
        shared.clock.store(true, Ordering::Relaxed);
        let door = Arc::new(Door {
            mailbox: Mailbox::new(mail),
            directory: Mutex::new(Directory::new(0)),
        });
        let listener = shared
            .table()
            .add_listener(Arc::new(|| {}), Some(door.clone()));
        let (outbox, reports) = channel();
        Self {
            hub,
            shared,
            door,
            listener,
            outbox,
            reports,
            connections: Connections::new(),
            during: During::default(),
            now: 0,
            opened: 0,
        }
    }

    fn publish(&self, topics: &[&str], data: &str, key: Option<&str>) -> u64 {
        publish(&self.hub, topics, data, key)
    }

    /// A stream is handed over. It is there from the next turn on.
    fn open(&mut self, request: &Request) -> Client {
        let (client, add) = self.prepare(request);
        self.door.send(add);
        client
    }

    /// A stream is about to be handed over.
    fn prepare(&mut self, request: &Request) -> (Client, Command<Wire>) {
        let subscription = self
            .hub
            .subscribe(&request.topics, request.subscribe.clone())
            .expect("valid");
        self.shared.admit(true).expect("room");
        let cursor = Cursor::attach(
            &mut self.shared.table(),
            subscription.terms(),
            self.listener,
            self.now,
        );
        let names = subscription.terms().names.clone();
        let mut stream = Stream::new(&self.shared, cursor, names, &request.stream, self.now);
        let timeout = crate::stream::at_least_one(self.shared.options.write_timeout);
        stream.write_timeout.get_or_insert(timeout);
        self.opened += 1;
        let token = self.door.directory().insert(Entry {
            // By which it is found to be sent away.
            key: Some(self.opened.to_string().into()),
            names: stream.names.clone(),
            connection: true,
            ended: None,
        });
        let wire = Wire::new(request.room, &self.hub, &self.during);
        let how = HandOff {
            framing: request.framing,
            held: request.held,
            snapshot: request.snapshot,
            tag: token.to_bits(),
            label: "".into(),
        };
        let connection = Connection::new(stream, wire.clone(), how, Weak::new());
        self.shared.enter_mode(connection.mode());
        let client = Client {
            token,
            key: self.opened.to_string(),
            wire,
            framing: request.framing,
        };
        (client, Command::Add(token, Box::new(connection)))
    }

    fn kick(&self, client: &Client, farewell: Option<&str>) {
        kick(&self.hub, &self.door, &client.key, farewell);
    }

    fn drain(&self, timeout: u64, spread: u64) {
        drain(&self.door, &self.shared, self.now, timeout, spread);
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Connections<Wire>, &Scene<'_, Wire>) -> R) -> R {
        let scene = Scene {
            hub: &self.shared,
            mailbox: &self.door.mailbox,
            directory: &self.door.directory,
            outbox: &self.outbox,
            owner: std::ptr::null(),
            now: self.now,
            give_way: &|| GIVEN_WAY.set(GIVEN_WAY.get() + 1),
        };
        let result = act(&mut self.connections, &scene);
        self.connections.gone.clear();
        result
    }

    /// One turn of the writer. Whether there is more to do at once.
    fn turn(&mut self) -> bool {
        self.with(Connections::turn)
    }

    /// Everything there is to do, with the sockets as they are.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a list of references, made for the call"
    )]
    fn settle<'c>(&mut self, clients: impl IntoIterator<Item = &'c Client> + Clone) {
        for _ in 0..100_000 {
            for client in clients.clone() {
                if client.wire.tell() {
                    self.with(|connections, scene| connections.writable(scene, client.token));
                }
            }
            let more = self.turn();
            let ready = clients.clone().into_iter().any(|it| it.wire.is_ready());
            if !more && !ready && self.door.mailbox.sleep() {
                self.door.mailbox.wake();
                return;
            }
        }
        panic!("the writer never comes to rest");
    }

    /// Time passes, and the writer does what is due.
    fn pass<'c>(&mut self, time: u64, clients: impl IntoIterator<Item = &'c Client> + Clone) {
        self.settle(clients.clone());
        let end = self.now + time;
        while let Some(due) = self.connections.next_due().filter(|due| *due <= end) {
            // The poller's timeout is never shorter.
            self.now = due.max(self.now + 1).min(end);
            self.settle(clients.clone());
            if self.now == end {
                break;
            }
        }
        self.now = end;
        self.settle(clients);
    }

    /// What is counted and listed agrees with what there is.
    fn check(&self) {
        let connections = &self.connections;
        let there = connections
            .slots
            .iter()
            .flatten()
            .map(|slot| &slot.connection);
        let (mut count, mut sources, mut pinned) = (0, 0, 0);
        for connection in there {
            count += 1;
            sources += connection.stream.cursor.sources().len();
            if connection.over.is_none() {
                pinned += connection.pinned().map_or(0, |frame| frame.len());
            }
        }
        assert_eq!((connections.count, connections.pinned), (count, pinned));
        let lists = connections.readers.values();
        assert_eq!(lists.map(Vec::len).sum::<usize>(), sources);
        for (topic, list) in &connections.readers {
            for (index, source) in list {
                let slot = connections.slots[*index as usize].as_ref();
                let cursor = &slot.expect("it is there").connection.stream.cursor;
                assert_eq!(cursor.sources()[*source as usize], *topic);
            }
        }
    }

    /// Nobody is left, and nothing of anybody.
    fn check_empty(&mut self) {
        let connections = &self.connections;
        assert_eq!((connections.count, connections.pinned), (0, 0));
        assert!(connections.readers.is_empty(), "no lists of readers");
        assert_eq!(self.door.directory().len(), 0);
        let stats = self.hub.stats();
        assert_eq!((stats.connections, stats.detached, stats.held), (0, 0, 0));
    }
}

impl Client {
    /// The body as it came, what was dispatched, and the last event id.
    fn seen(&self) -> (Body, Vec<Seen>, Option<u64>) {
        let state = self.wire.state();
        let body = unframe(&state.taken, self.framing);
        let (seen, last) = parse(&body, &state.heads);
        (body, seen, last)
    }
}

fn publish(hub: &Hub, topics: &[&str], data: &str, key: Option<&str>) -> u64 {
    let fields = Fields {
        data: Some(data),
        ..Fields::default()
    };
    hub.publish_fields(topics, &fields, key).expect("valid").seq
}

/// What `Hub::disconnect` does.
fn kick(hub: &Hub, door: &Door, key: &str, farewell: Option<&str>) {
    let through = hub.last_event_id().seq;
    let last = farewell.map(|text| {
        let fields = Fields {
            data: Some(text),
            event: Some("farewell"),
            ..Fields::default()
        };
        encode_checked(&fields).into()
    });
    let mut directory = door.directory();
    let tokens = directory.end_where(through, |entry| entry.key.as_deref() == Some(key));
    door.send(Command::End(tokens, EndReason::Kick, last));
}

/// What `Hub::drain` does, at this time.
fn drain(door: &Door, hub: &Shared, now: u64, timeout: u64, spread: u64) {
    hub.state.store(State::Draining as u8, Ordering::Release);
    let farewell: Arc<[u8]> = b"event: farewell\ndata: drain\n\n"[..].into();
    let plan = Arc::new(Plan {
        now,
        spread,
        deadline: now + timeout,
        through: hub.table().head(),
        farewells: [farewell].into(),
    });
    hub.set_plan(Some(plan.clone()));
    door.send(Command::Drain(plan, None));
}
