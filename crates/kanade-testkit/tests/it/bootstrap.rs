//! The reconcile of broker resources, on a real broker.

use kanade_shared::bootstrap::{Outcome, ensure_jetstream_resources};
use kanade_testkit::nats::Nats;

#[tokio::test]
async fn an_empty_broker_gets_everything_and_a_second_run_does_nothing() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let first = ensure_jetstream_resources(&js)
        .await
        .expect("everything can be made");
    assert_eq!(25, first.count(Outcome::Created));
    assert!(first.warnings.is_empty(), "{first}");

    let second = ensure_jetstream_resources(&js)
        .await
        .expect("everything is there");
    assert_eq!("nothing to do, 25 as they were", second.to_string());
}
