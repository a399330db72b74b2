use proptest::prelude::*;

use super::super::backoff::Backoff;
use super::super::options::Reconnect;
use super::{Dice, assert_uniform};

#[test]
fn delays_double_up_to_the_limit_and_are_drawn_from_nearly_all_below() {
    let rules = Reconnect::default();
    for (random, expected) in [
        (u64::MAX, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]),
        (u64::MAX / 2, [550, 1050, 2050, 4050, 8050, 15_050, 15_050]),
        (0, [100; 7]),
    ] {
        let mut backoff = Backoff::new();
        let delays = [(); 7].map(|()| backoff.next(&rules, 0, random, None).unwrap());
        assert_eq!(delays, expected);
    }
}

#[test]
fn a_good_connection_starts_it_anew() {
    let rules = Reconnect::default();
    let mut backoff = Backoff::new();
    for _ in 0..5 {
        backoff.next(&rules, 0, 0, None);
    }
    backoff.reset();
    assert_eq!(backoff.next(&rules, 0, u64::MAX, None), Some(1000));
}

#[test]
fn the_servers_retry_is_the_least_delay() {
    let rules = Reconnect::default();
    let mut backoff = Backoff::new();
    backoff.set_server_delay(3000, &rules);
    // A quarter more, since all clients of that server were told the same; then growing, as ever.
    for (random, expected) in [(0, [3000; 3]), (u64::MAX, [3750, 6000, 12_000])] {
        backoff.reset();
        let delays = [(); 3].map(|()| backoff.next(&rules, 0, random, None).unwrap());
        assert_eq!(delays, expected);
    }
}

#[test]
fn what_servers_ask_for_is_bounded() {
    let rules = Reconnect::default();
    for (asked, least) in [(0, 100), (99, 100), (u64::MAX, 300_000), (5000, 5000)] {
        let mut backoff = Backoff::new();
        backoff.set_server_delay(asked, &rules);
        assert_eq!(backoff.next(&rules, 0, 0, None), Some(least));
        assert_eq!(Backoff::new().next(&rules, 0, 0, Some(asked)), Some(least));
    }
}

#[test]
fn the_bounds_on_what_servers_ask_for_are_settable_and_bound_nothing_else() {
    let rules = Reconnect {
        server_delay: 2000..=8000,
        ..Reconnect::default()
    };
    for (asked, [least, after_retry, after_refusal]) in [
        (0, [2000, 2500, 2200]),
        (4000, [4000, 5000, 4400]),
        (u64::MAX, [8000, 10_000, 8800]),
    ] {
        for (random, retry, refusal) in [(0, least, least), (u64::MAX, after_retry, after_refusal)]
        {
            let mut backoff = Backoff::new();
            let delay = backoff.next(&rules, 0, random, Some(asked));
            assert_eq!(delay, Some(refusal));
            backoff.reset();
            backoff.set_server_delay(asked, &rules);
            assert_eq!(backoff.next(&rules, 0, random, None), Some(retry));
        }
    }
    // Delays of our own are not theirs.
    assert_eq!(Backoff::new().next(&rules, 0, 0, None), Some(100));
    assert_eq!(Backoff::new().next(&rules, 0, u64::MAX, None), Some(1000));
}

#[test]
fn a_short_delay_is_drawn_from_nearly_all_of_it_too() {
    for (delay, least) in [(1, 0), (50, 5), (500, 50), (5000, 100)] {
        let rules = Reconnect {
            delay,
            ..Reconnect::default()
        };
        assert_eq!(Backoff::new().next(&rules, 0, 0, None), Some(least));
        assert_eq!(Backoff::new().next(&rules, 0, u64::MAX, None), Some(delay));
    }
}

#[test]
fn retry_after_comes_before_retry() {
    let rules = Reconnect::default();
    let mut backoff = Backoff::new();
    backoff.set_server_delay(3000, &rules);
    assert_eq!(backoff.next(&rules, 0, 0, Some(20_000)), Some(20_000));
    assert_eq!(backoff.next(&rules, 0, 0, None), Some(3000));
}

#[test]
fn it_gives_up_after_so_many_tries_or_so_long() {
    let tries = Reconnect {
        max_retries: Some(2),
        ..Reconnect::default()
    };
    let mut backoff = Backoff::new();
    let given = [(); 4].map(|()| backoff.next(&tries, 0, 0, None).is_some());
    assert_eq!(given, [true, true, false, false]);
    backoff.reset();
    assert!(backoff.next(&tries, 0, 0, None).is_some());

    let elapsed = Reconnect {
        max_elapsed: Some(1000),
        ..Reconnect::default()
    };
    let mut backoff = Backoff::new();
    // It counts from the first loss, and includes the delay.
    assert_eq!(backoff.next(&elapsed, 50_000, 0, None), Some(100));
    assert_eq!(backoff.next(&elapsed, 50_900, 0, None), Some(100));
    assert_eq!(backoff.next(&elapsed, 50_901, 0, None), None);
}

/// Many clients' delays after so many failures, each with a fixed draw of its own.
fn delays(rules: &Reconnect, retry: Option<u64>, failures: u32) -> Vec<u64> {
    let mut dice = Dice(1);
    let mut one = || {
        let mut backoff = Backoff::new();
        if let Some(retry) = retry {
            backoff.set_server_delay(retry, rules);
        }
        for _ in 0..failures {
            backoff.next(rules, 0, dice.roll(), None);
        }
        backoff.next(rules, 0, dice.roll(), None).unwrap()
    };
    (0..60_000).map(|_| one()).collect()
}

#[test]
fn the_draw_is_uniform() {
    let rules = Reconnect::default();
    let own_floor = Reconnect {
        // Above our own first delays: no reason for all of them to be the same.
        server_delay: 5000..=300_000,
        ..Reconnect::default()
    };
    for (rules, retry, failures, range) in [
        (&rules, None, 0, 100..=1000),
        (&rules, None, 1, 100..=2000),
        (&rules, None, 5, 100..=30_000),
        (&own_floor, None, 0, 100..=1000),
        (&rules, Some(3000), 0, 3000..=3750),
        (&rules, Some(3000), 2, 3000..=12_000),
    ] {
        assert_uniform(&delays(rules, retry, failures), &range);
    }
}

proptest! {
    #[test]
    fn delays_stay_within_what_was_agreed(
        retry in proptest::option::of(any::<u64>()),
        asked in proptest::option::of(any::<u64>()),
        randoms in proptest::collection::vec(any::<u64>(), 1..80),
    ) {
        let rules = Reconnect::default();
        let mut backoff = Backoff::new();
        if let Some(retry) = retry {
            backoff.set_server_delay(retry, &rules);
        }
        for random in randoms {
            let delay = backoff.next(&rules, 0, random, asked).unwrap();
            prop_assert!((100..=375_000).contains(&delay));
            if retry.is_none() && asked.is_none() {
                prop_assert!(delay <= rules.max_delay);
            }
        }
    }
}
