//! A day of a client's life against a server that comes and goes, in a moment.

use super::super::options::ClientOptions;
use super::super::session::Do;
use super::{Dice, Harness, assert_uniform, lost, stream_head};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// What happened to one client on that day.
#[derive(Default)]
struct Day {
    attempts: u64,
    opened: u64,
    // After the n-th failure in a row.
    delays: Vec<Vec<u64>>,
    // From the server's return to the client's.
    returns: Vec<u64>,
}

/// What a server is like.
#[derive(Clone, Copy)]
struct Server {
    // Of each hour, how long it is up.
    up: u64,
    // What its streams begin with.
    greeting: &'static str,
}

const PLAIN: Server = Server {
    up: 55 * MINUTE,
    greeting: "",
};
/// A hub that falls over for no longer than the blink of an eye.
const HUB: Server = Server {
    up: 60 * MINUTE - 1,
    greeting: "retry: 3000\n\n",
};

/// The server is up for most of each hour; when it goes down, it cuts everything.
fn day(seed: u64, server: Server) -> Day {
    let up = |now: u64| now % (60 * MINUTE) < server.up;
    let mut client = Harness::get(ClientOptions::default());
    client.dice = Dice(seed);
    let mut day = Day {
        delays: vec![Vec::new(); 64],
        ..Day::default()
    };
    let mut failures = 0;
    let mut next = client.due();
    while client.now < DAY {
        next = match next {
            Do::Send(_) => {
                day.attempts += 1;
                if up(client.now) {
                    day.opened += 1;
                    let hour = client.now - client.now % (60 * MINUTE);
                    if failures > 0 {
                        day.returns.push(client.now - hour);
                    }
                    failures = 0;
                    client.head(stream_head())
                } else {
                    client.fail(lost())
                }
            }
            Do::Read => {
                client.bytes(server.greeting.as_bytes());
                // Until the next outage.
                client.now += server.up - client.now % (60 * MINUTE);
                client.fail(lost())
            }
            Do::Wait(delay) => {
                day.delays[failures].push(delay);
                failures += 1;
                client.now += delay;
                client.due()
            }
            other => panic!("{other:?}"),
        };
        client.told();
    }
    day
}

#[test]
fn a_day_of_outages() {
    let days: Vec<Day> = (0..200).map(|seed| day(seed, PLAIN)).collect();
    for day in &days {
        assert_eq!(day.opened, 24);
        // Five minutes of outage cost a few dozen attempts, not thousands.
        assert!(
            (24 * 15..24 * 60).contains(&day.attempts),
            "{}",
            day.attempts
        );
        assert!(day.returns.iter().all(|late| *late <= 30 * SECOND));
    }
    // Each delay in a row is drawn from nearly all up to its limit: its mean is the half, its ends are reached.
    for (nth, limit) in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        .into_iter()
        .enumerate()
    {
        let delays: Vec<u64> = days
            .iter()
            .flat_map(|day| day.delays[nth].clone())
            .collect();
        let half = u64::midpoint(limit, 100);
        let mean = delays.iter().sum::<u64>() / delays.len() as u64;
        assert!(
            (half * 92 / 100..=half * 108 / 100).contains(&mean),
            "{nth}: {mean} of {limit}"
        );
        assert!(delays.iter().any(|delay| *delay < limit / 10 + 100));
        assert!(delays.iter().any(|delay| *delay > limit * 9 / 10));
    }
}

#[test]
fn clients_that_lost_the_same_server_come_back_spread_out() {
    let days: Vec<Day> = (0..1000).map(|seed| day(seed, PLAIN)).collect();
    // After an outage, in each tenth of half a minute comes about a tenth of them or less, never a crowd. The last
    // delay before the return is longer than a random one, so the first seconds see more than the last.
    let mut tenths = [0_u32; 10];
    for day in &days {
        tenths[usize::try_from(day.returns[0] / (3 * SECOND))
            .unwrap()
            .min(9)] += 1;
    }
    assert!(tenths.iter().all(|n| *n < 250), "{tenths:?}");
    assert!(tenths[..8].iter().all(|n| *n > 10), "{tenths:?}");
}

#[test]
fn clients_that_a_hub_told_the_same_do_not_come_back_together() {
    let days: Vec<Day> = (0..1000).map(|seed| day(seed, HUB)).collect();
    for day in &days {
        // It is back long before anybody asks: one attempt per outage.
        assert_eq!((day.opened, day.attempts), (24, 24));
    }
    // Each time: over three quarters of a second from what it has asked for, evenly.
    let returns: Vec<u64> = days.iter().flat_map(|day| day.delays[0].clone()).collect();
    assert_eq!(returns.len(), 24 * 1000);
    assert_uniform(&returns, &(3000..=3750));
}
