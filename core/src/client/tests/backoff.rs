use proptest::prelude::*;

use super::super::backoff::Backoff;
use super::super::options::Reconnect;
use super::Dice;

#[test]
fn delays_double_up_to_the_limit_and_are_drawn_from_all_below() {
    let rules = Reconnect::default();
    for (random, expected) in [
        (u64::MAX, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]),
        (u64::MAX / 2, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]),
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
    // A tenth more, since all clients of that server were told the same; then growing, as ever.
    for (random, expected) in [(0, [3000; 3]), (u64::MAX, [3300, 6000, 12_000])] {
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

#[test]
fn the_draw_is_uniform() {
    let rules = Reconnect::default();
    let mut dice = Dice(1);
    let mut buckets = [0_u32; 30];
    let draws = 60_000;
    for _ in 0..draws {
        let mut backoff = Backoff::new();
        for _ in 0..5 {
            backoff.next(&rules, 0, 0, None);
        }
        let delay = backoff.next(&rules, 0, dice.roll(), None).unwrap();
        buckets[usize::try_from(delay / 1000).unwrap().min(29)] += 1;
    }
    // Chi-squared with 29 degrees of freedom: 58.3 is passed once in a thousand.
    let expected = f64::from(draws) / 30.0;
    let chi: f64 = buckets
        .iter()
        .map(|n| (f64::from(*n) - expected).powi(2) / expected)
        .sum();
    assert!(chi < 58.3, "{chi}: {buckets:?}");
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
            prop_assert!((100..=330_000).contains(&delay));
            if retry.is_none() && asked.is_none() {
                prop_assert!(delay <= rules.max_delay);
            }
        }
    }
}
