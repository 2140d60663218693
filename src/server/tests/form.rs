//! A webhook that was set to send forms.

use super::{Door, GUID};

#[tokio::test]
async fn a_ping_as_a_form_is_refused_like_every_event_after_it() {
    let door = Door::with_defaults().await;
    let ping = "payload=%7B%22zen%22%3A%22Keep+it+logically+awesome.%22%7D";
    for event in ["ping", "push", "pull_request", "installation"] {
        assert_eq!(door.post_signed(event, GUID, ping).await, 400, "{event}");
    }
    assert_eq!(door.post_signed("ping", GUID, r#"{"zen":"Keep it logically awesome."}"#).await, 200);
    assert_eq!(door.stored(), []);
    assert!(door.store.rung.lock().expect("no test panics inside").is_empty(), "nor is anything looked for");
}
