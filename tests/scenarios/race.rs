//! A push and a command that race: whatever came first, and however late we heard of it, nothing is
//! deployed that the author of the command had not seen.

use greenroom::model::CommitSha;
use greenroom::port::Clock as _;
use greenroom::sandbox::{DeliveryMode, Order};

use crate::commands::{SHOP, people};
use crate::world::World;

/// How the two events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Travel {
    AsTheyHappen,
    /// Both are held back and come together.
    Together(Order),
    /// Nobody ever tells of the push.
    PushLost,
}

/// What becomes of a command that is written at `written`, with a push at `pushed`, both in
/// milliseconds: the commit on staging, if any.
async fn told(pushed: i64, written: i64, travel: Travel) -> (Option<CommitSha>, CommitSha, CommitSha, String) {
    let w = World::with_config(SHOP).await;
    people(&w);
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    // From the begin of a second, so that the test knows what falls into the same one.
    w.clock.advance(10_000 - w.clock.now().0 % 1_000);
    let begin = w.clock.now().0;
    if let Travel::Together(_) = travel {
        w.github.set_delivery_mode(DeliveryMode::Hold);
    }
    let mut second = None;
    let push = |w: &World| {
        if travel == Travel::PushLost {
            w.github.set_delivery_mode(DeliveryMode::Drop);
        }
        let sha = w.push("topic", "3");
        if travel == Travel::PushLost {
            w.github.set_delivery_mode(DeliveryMode::Send);
        }
        sha
    };
    let turn_to = |w: &World, at: i64| w.clock.advance((begin + at - w.clock.now().0).max(0));
    if pushed < written {
        turn_to(&w, pushed);
        second = Some(push(&w));
        w.github.deliveries_settled().await;
        turn_to(&w, written);
        w.says("mia", pull, "/deploy staging");
    } else {
        turn_to(&w, written);
        w.says("mia", pull, "/deploy staging");
        w.github.deliveries_settled().await;
        turn_to(&w, pushed);
        second = second.or_else(|| Some(push(&w)));
    }
    if let Travel::Together(order) = travel {
        w.clock.advance(3_000);
        w.github.set_delivery_mode(DeliveryMode::Send);
        w.github.release_deliveries(order);
    }
    w.settle().await;
    let answer = w.answers(pull).pop().unwrap_or_default();
    (w.serving("staging", "web"), first, second.expect("a push"), answer)
}

#[tokio::test]
async fn no_order_and_no_spacing_of_push_and_command_deploys_what_its_author_had_not_seen() {
    let (mut deployed, mut refused) = (0, 0);
    let travels = [
        Travel::AsTheyHappen,
        Travel::Together(Order::AsHappened),
        Travel::Together(Order::Reversed),
        Travel::PushLost,
    ];
    for travel in travels {
        for pushed in [0, 500, 999, 1_000, 1_500, 2_000, 2_999, 3_000, 4_500] {
            let written = 2_000;
            let (serving, first, second, answer) = told(pushed, written, travel).await;
            let case = format!("{travel:?}, push at {pushed}, comment at {written}: {answer}");
            // The one that was the head when the comment was written, by the second.
            let seen = if pushed / 1_000 < written / 1_000 { &second } else { &first };
            match serving {
                Some(sha) => {
                    deployed += 1;
                    assert_eq!(sha, *seen, "{case}");
                    assert_ne!(pushed / 1_000, written / 1_000, "the same second: {case}");
                }
                None => {
                    refused += 1;
                    assert!(answer.contains("**Refused:**"), "{case}");
                    assert!(
                        answer.contains(second.short()) || answer.contains(first.short()),
                        "both heads are shown: {case}"
                    );
                }
            }
        }
    }
    assert!(deployed >= 5 && refused >= 12, "{deployed} deployed, {refused} refused: the cases say nothing");
}
