//! What a bootstrap says when the broker has no room, no JetStream, or isn't there.

use std::time::Duration;

use kanade_shared::bootstrap::{
    BootstrapError, Credentials, Options, Outcome, Retry, catalogue, connect,
    ensure_jetstream_resources, ensure_resources,
};
use kanade_testkit::nats::{Nats, Setup};
use kanade_testkit::ports;

use crate::bootstrap::{check, streams};

const GIB: u64 = 1 << 30;

/// What a too small broker says, and that its hint is one that works.
async fn refuses_and_hints(nats: &Nats) {
    let js = nats.jetstream().await;
    let error = ensure_jetstream_resources(&js)
        .await
        .expect_err("there is no room");
    let text = error.to_string();
    assert!(
        text.starts_with("the broker has no room: 10.8 GiB to reserve, "),
        "{text}"
    );
    assert!(text.ends_with(" free, broker.cap_scale is 1"), "{text}");
    assert_eq!(0, streams(&js).await, "nothing was made");

    let help = error.help();
    let hint = help
        .rsplit("= ")
        .next()
        .and_then(|rest| rest.strip_suffix('`'));
    let cap_scale = hint
        .and_then(|hint| hint.parse().ok())
        .expect("the help names a scale");
    let options = Options {
        cap_scale,
        ..Options::default()
    };
    let report = ensure_resources(&js, &catalogue(&options), &options)
        .await
        .expect("it fits");
    assert_eq!(25, report.count(Outcome::Created));
    assert!(report.warnings.is_empty(), "{report}");
}

#[tokio::test]
async fn an_account_that_is_too_small_is_found_before_anything_is_made() {
    let setup = Setup {
        account_bytes: Some(3 * GIB),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await;
    refuses_and_hints(&nats).await;
}

#[tokio::test]
async fn a_server_that_is_too_small_and_does_not_say_so_is_found_too() {
    let setup = Setup {
        server_bytes: Some(2 * GIB),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await;
    refuses_and_hints(&nats).await;
}

#[tokio::test]
async fn a_broker_without_jetstream_is_told() {
    let nats = Nats::start_with(Setup {
        without_jetstream: true,
        ..Setup::default()
    })
    .await;
    let error = ensure_jetstream_resources(&nats.jetstream().await)
        .await
        .expect_err("it is off");
    assert_eq!("JetStream is off on this broker", error.to_string());
    assert!(error.help().contains("store_dir"));
}

#[tokio::test]
async fn an_account_without_jetstream_is_told() {
    let nats = Nats::start_with(Setup {
        account_disabled: true,
        ..Setup::default()
    })
    .await;
    let error = ensure_jetstream_resources(&nats.jetstream().await)
        .await
        .expect_err("it is off");
    assert_eq!("JetStream is off for this account", error.to_string());
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once_without_the_secret() {
    let login = Some(("fleet".to_owned(), "right".to_owned()));
    let nats = Nats::start_with(Setup {
        login,
        ..Setup::default()
    })
    .await;
    let wrong = Credentials::password("fleet", "wr0ng");
    let error = connect(&nats.url(), &wrong, "test", Retry::default())
        .await
        .expect_err("wrong");
    assert!(matches!(error, BootstrapError::Credentials { .. }));
    let told = format!("the broker at {} refused the user `fleet`", nats.url());
    assert_eq!(told, error.to_string());
    check(&nats.jetstream().await).await;
}

#[tokio::test]
async fn an_unreachable_broker_is_told_after_a_bounded_number_of_attempts() {
    let url = format!("nats://127.0.0.1:{}", ports::free());
    let soon = Duration::from_millis(1);
    let retry = Retry {
        attempts: 3,
        first: soon,
        longest: soon,
    };
    let error = connect(&url, &Credentials::None, "test", retry)
        .await
        .expect_err("nobody there");
    assert_eq!(
        format!("could not reach the broker at {url} in 3 attempts"),
        error.to_string()
    );
}

#[tokio::test]
async fn a_broker_that_comes_later_is_reached() {
    let mut nats = Nats::start().await;
    nats.kill9();
    let (url, credentials) = (nats.url(), nats.credentials());
    let connecting = tokio::spawn(async move {
        connect(&url, &credentials, "test", Retry::default())
            .await
            .map(drop)
    });
    nats.restart().await;
    connecting.await.expect("no panic").expect("it is reached");
}
