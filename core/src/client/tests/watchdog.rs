use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;

use super::super::watchdog::{Activity, Watched};

const LIMIT: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(20);
/// Longer in all than the limit.
const PIECES: usize = 60;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(work)
}

fn pair() -> (
    Watched<DuplexStream>,
    DuplexStream,
    std::sync::Arc<Activity>,
) {
    let activity = Activity::new();
    // No more on its way than one piece.
    let (near, far) = duplex(10);
    (Watched::new(near, activity.clone()), far, activity)
}

#[test]
fn whatever_comes_is_no_silence() {
    run(async {
        let (mut near, mut far, activity) = pair();
        let far = async {
            for _ in 0..PIECES {
                far.write_all(b"x").await.unwrap();
                sleep(PAUSE).await;
            }
            drop(far);
        };
        let mut all = Vec::new();
        let near = activity.unless_silent(LIMIT, near.read_to_end(&mut all));
        let ((), read) = tokio::join!(far, near);
        assert_eq!(read.map(Result::unwrap), Some(PIECES));
    });
}

#[test]
fn whatever_goes_is_no_silence() {
    run(async {
        let (mut near, mut far, activity) = pair();
        let far = async {
            for _ in 0..PIECES {
                far.read_exact(&mut [0; 10]).await.unwrap();
                sleep(PAUSE).await;
            }
        };
        let body = vec![b'x'; 10 * PIECES];
        let near = activity.unless_silent(LIMIT, near.write_all(&body));
        let ((), written) = tokio::join!(far, near);
        assert!(written.is_some());
    });
}

#[test]
fn silence_is_noticed_and_counts_from_the_question() {
    run(async {
        let (mut near, mut far, activity) = pair();
        far.write_all(b"x").await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        // Nobody has asked meanwhile: no reason to be told at once.
        sleep(2 * PAUSE).await;
        let late = activity.unless_silent(PAUSE, async {
            sleep(PAUSE / 4).await;
            "in time"
        });
        assert!(late.await.is_some());
        let mut byte = [0];
        let never = activity.unless_silent(PAUSE, near.read_exact(&mut byte));
        assert!(never.await.is_none());
        // The end of a connection is none of its bytes, but it is an answer.
        drop(far);
        let end = activity.unless_silent(PAUSE, near.read(&mut byte));
        assert_eq!(end.await.map(Result::unwrap), Some(0));
    });
}
