//! Coming back with an id.

use super::super::doctor::facts::{Resume, Resumed};
use super::super::doctor::findings::Verdict;
use super::{HUB, advice, answer, of, verdict};
use crate::client::{ClientError, ClientErrorKind};
use crate::topic::cursor::GapReason;

fn after(resume: Resume) -> (Verdict, String) {
    let mut answer = answer(&HUB, &[(0, b"retry: 1\nid: a-0\n\n"), (15_000, b":\n")]);
    answer.resume = resume;
    let found = of(answer);
    (verdict(&found, "resume"), advice(&found, "resume"))
}

fn resumed() -> Resumed {
    Resumed {
        from: "a-0".into(),
        expected: Some("a-1".into()),
        status: 200,
        ..Resumed::default()
    }
}

#[test]
fn what_came_shows_whether_it_goes_on() {
    let hub = Resumed {
        opening: Some("a-0".into()),
        ..resumed()
    };
    let cases: Vec<(Resumed, Verdict, &str)> = vec![
        // The event that followed follows again.
        (
            Resumed {
                ids: vec!["a-1".into(), "a-2".into()],
                events: 2,
                ..hub
            },
            Verdict::Ok,
            "",
        ),
        // Another one does.
        (
            Resumed {
                ids: vec!["a-9".into()],
                events: 1,
                ..resumed()
            },
            Verdict::Problem,
            "not heeded",
        ),
        (
            Resumed {
                events: 3,
                ..resumed()
            },
            Verdict::Problem,
            "not heeded",
        ),
        (resumed(), Verdict::Problem, "not heeded"),
        // Nothing had followed.
        (
            Resumed {
                expected: None,
                opening: Some("a-0".into()),
                ..resumed()
            },
            Verdict::Ok,
            "",
        ),
        (
            Resumed {
                expected: None,
                ..resumed()
            },
            Verdict::Unknown,
            "",
        ),
        (
            Resumed {
                expected: None,
                events: 1,
                ..resumed()
            },
            Verdict::Unknown,
            "",
        ),
        // A hub that says so.
        (
            Resumed {
                gap: Some(GapReason::Unknown),
                ..resumed()
            },
            Verdict::Problem,
            "worker",
        ),
        (
            Resumed {
                gap: Some(GapReason::Expired),
                ..resumed()
            },
            Verdict::Problem,
            "history",
        ),
        // Other statuses.
        (
            Resumed {
                status: 204,
                ..resumed()
            },
            Verdict::Ok,
            "",
        ),
        (
            Resumed {
                status: 429,
                ..resumed()
            },
            Verdict::Problem,
            "limit",
        ),
    ];
    for (resumed, expected, word) in cases {
        let text = format!("{resumed:?}");
        let (verdict, advice) = after(Resume::Answered(resumed));
        assert_eq!(verdict, expected, "{text}");
        assert!(advice.contains(word), "{text}");
    }
}

#[test]
fn what_was_not_tried() {
    assert_eq!(after(Resume::NotTried).0, Verdict::Unknown);
    assert_eq!(after(Resume::NotRepeated).0, Verdict::Unknown);
    assert_eq!(after(Resume::NoIds).0, Verdict::Note);
    assert_eq!(after(Resume::Failed(None)).0, Verdict::Problem);
    let error = ClientError::new(ClientErrorKind::Connect, "refused");
    assert_eq!(after(Resume::Failed(Some(error))).0, Verdict::Problem);
}
