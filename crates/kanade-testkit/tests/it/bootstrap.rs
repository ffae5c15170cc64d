//! The reconcile of broker resources, on a real broker.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{Context, kv, object_store};
use futures::StreamExt as _;
use kanade_shared::bootstrap::catalogue::Republish;
use kanade_shared::bootstrap::{
    Kind, Options, Outcome, Report, Resource, Settings, catalogue, ensure_jetstream_resources,
    ensure_resources, plan_resources,
};
use kanade_testkit::nats::{Nats, Setup};
use kanade_testkit::wait;

const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) async fn check(js: &Context) -> Report {
    ensure_jetstream_resources(js)
        .await
        .expect("everything is there or can be made")
}

async fn config(js: &Context, stream: &str) -> Config {
    js.get_stream(stream)
        .await
        .expect("the stream is there")
        .cached_info()
        .config
        .clone()
}

pub(crate) async fn streams(js: &Context) -> usize {
    js.stream_names().count().await
}

/// Stores a message and waits until it is stored.
async fn store(js: &Context, subject: &'static str, text: &'static str) {
    let ack = js
        .publish(subject, text.into())
        .await
        .expect("it can be sent");
    ack.await.expect("it is stored");
}

#[tokio::test]
async fn an_empty_broker_gets_everything_and_a_second_run_does_nothing() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let first = check(&js).await;
    assert_eq!(25, first.count(Outcome::Created));
    assert!(first.warnings.is_empty(), "{first}");

    let second = check(&js).await;
    assert_eq!("nothing to do, 25 as they were", second.to_string());
    let options = Options::default();
    let plan = plan_resources(&js, &catalogue(&options), &options)
        .await
        .expect("readable");
    assert!(plan.is_satisfied(), "{plan}");
    assert_eq!(25, streams(&js).await, "nothing else was left there");
}

#[tokio::test]
async fn buckets_and_stores_serve_the_usual_clients() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    check(&js).await;

    let jobs = js.get_key_value("jobs").await.expect("the bucket is there");
    for n in ["1", "2", "3"] {
        jobs.put("inventory", n.into()).await.expect("it is stored");
    }
    assert_eq!(
        3,
        jobs.history("inventory")
            .await
            .expect("there")
            .count()
            .await
    );
    jobs.purge("inventory")
        .await
        .expect("a key can be removed with its history");

    let releases = js
        .get_object_store("agent_releases")
        .await
        .expect("the store is there");
    let bytes = vec![7_u8; 300_000];
    releases
        .put("1.0.0", &mut bytes.as_slice())
        .await
        .expect("it is stored");
    let object = releases.info("1.0.0").await.expect("it is listed");
    assert_eq!(bytes.len(), object.size);
    releases.delete("1.0.0").await.expect("it can be deleted");
}

#[tokio::test]
async fn agents_hear_what_was_stored_with_its_sequence() {
    let nats = Nats::start().await;
    let client = nats.client().await;
    let js = async_nats::jetstream::new(client.clone());
    check(&js).await;
    let mut live = client.subscribe("live.>").await.expect("it may listen");
    client.flush().await.expect("it is connected");

    store(&js, "commands.pc.pc-1", "document").await;
    store(&js, "$KV.agent_desired.pc-1", "desired").await;
    store(&js, "$KV.fleet_config.brake", "brake").await;
    for subject in [
        "live.commands.pc.pc-1",
        "live.desired.pc-1",
        "live.fleet.brake",
    ] {
        let heard = tokio::time::timeout(wait::LONG, live.next())
            .await
            .expect("in time");
        let heard = heard.expect("the subscription lives");
        assert_eq!(subject, heard.subject.as_str());
        let headers = heard.headers.expect("republished messages have headers");
        assert_eq!(
            "1",
            headers
                .get("Nats-Sequence")
                .expect("with a sequence")
                .as_str()
        );
    }
}

#[tokio::test]
async fn commands_keep_the_newest_per_subject_and_may_expire() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    check(&js).await;
    store(&js, "commands.all", "old").await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-TTL", "1h");
    let ack = js
        .publish_with_headers("commands.all", headers, "new".into())
        .await;
    ack.expect("it can be sent")
        .await
        .expect("it is stored with its time to live");

    let mut exec = js.get_stream("EXEC").await.expect("the stream is there");
    assert_eq!(1, exec.info().await.expect("it is there").state.messages);
    let newest = exec
        .direct_get_last_for_subject("commands.all")
        .await
        .expect("direct get");
    assert_eq!("new", newest.payload);
}

#[tokio::test]
async fn what_differs_is_changed_in_place_and_keeps_its_data() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let results = Config {
        name: "RESULTS".into(),
        subjects: vec!["results.old.*".into()],
        max_age: DAY,
        max_bytes: 64 << 20,
        description: Some("an operator's words".into()),
        ..Config::default()
    };
    js.create_stream(results).await.expect("it can be made");
    let history = kv::Config {
        bucket: "jobs".into(),
        history: 1,
        ..kv::Config::default()
    };
    js.create_key_value(history).await.expect("it can be made");
    store(&js, "results.old.1", "kept").await;
    store(&js, "$KV.jobs.inventory", "kept").await;

    let report = check(&js).await;
    assert_eq!(
        (23, 2),
        (
            report.count(Outcome::Created),
            report.count(Outcome::Updated)
        )
    );
    assert!(report.warnings.is_empty(), "{report}");
    let results = config(&js, "RESULTS").await;
    assert_eq!(vec!["results.>"], results.subjects);
    assert_eq!((30 * DAY, 2 << 30), (results.max_age, results.max_bytes));
    assert!(results.allow_direct);
    assert_eq!(Some("an operator's words"), results.description.as_deref());
    assert_eq!(5, config(&js, "KV_jobs").await.max_messages_per_subject);
    store(&js, "results.pc-1.r-1", "new").await;
    let mut results = js.get_stream("RESULTS").await.expect("the stream is there");
    assert_eq!(2, results.info().await.expect("it is there").state.messages);
    let jobs = js.get_key_value("jobs").await.expect("the bucket is there");
    assert_eq!(
        "kept",
        jobs.get("inventory")
            .await
            .expect("readable")
            .expect("there")
    );
    assert_eq!(
        "nothing to do, 25 as they were",
        check(&js).await.to_string()
    );
}

#[tokio::test]
async fn a_stream_of_before_gets_its_republish_and_its_message_ttl() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    for (name, subject) in [
        ("EXEC", "commands.>"),
        ("KV_agent_desired", "$KV.agent_desired.>"),
    ] {
        let subjects = vec![subject.into()];
        let before = Config {
            name: name.into(),
            subjects,
            ..Config::default()
        };
        js.create_stream(before).await.expect("it can be made");
    }
    let report = check(&js).await;
    assert_eq!(2, report.count(Outcome::Updated), "{report}");
    assert!(report.warnings.is_empty(), "{report}");
    let exec = config(&js, "EXEC").await;
    assert!(exec.allow_message_ttl && exec.allow_direct && exec.republish.is_some());
    assert!(config(&js, "KV_agent_desired").await.deny_delete);
}

#[tokio::test]
async fn an_object_store_made_without_a_cap_gets_it_and_stays_usable() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let uncapped = object_store::Config {
        bucket: "result_output".into(),
        ..object_store::Config::default()
    };
    let made = js
        .create_object_store(uncapped)
        .await
        .expect("it can be made");
    made.put("r-1/stdout", &mut &b"before"[..])
        .await
        .expect("it is stored");

    let report = check(&js).await;
    assert_eq!(1, report.count(Outcome::Updated), "{report}");
    let after = config(&js, "OBJ_result_output").await;
    assert_eq!((1 << 30, 30 * DAY), (after.max_bytes, after.max_age));
    let outputs = js
        .get_object_store("result_output")
        .await
        .expect("the store is there");
    outputs
        .put("r-2/stdout", &mut &b"after"[..])
        .await
        .expect("it is stored");
    for name in ["r-1/stdout", "r-2/stdout"] {
        let mut object = outputs.get(name).await.expect("it is there");
        let mut bytes = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut object, &mut bytes).await;
        assert!(read.is_ok_and(|read| read > 0));
    }
}

#[tokio::test]
async fn a_drift_that_cannot_be_changed_is_a_warning_and_serves() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let in_memory = Config {
        name: "EVENTS".into(),
        subjects: vec!["events.>".into()],
        storage: StorageType::Memory,
        ..Config::default()
    };
    js.create_stream(in_memory).await.expect("it can be made");
    let report = check(&js).await;
    assert_eq!(1, report.warnings.len(), "{report}");
    assert!(report.warnings[0].starts_with("stream EVENTS: storage stays memory, wanted file"));
    assert_eq!(
        7 * DAY,
        config(&js, "EVENTS").await.max_age,
        "the rest was changed"
    );
    store(&js, "events.pc-1.started", "served").await;
}

#[tokio::test]
async fn a_change_that_the_broker_refuses_unforeseen_is_a_warning_too() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let cycle = |republish| Resource {
        kind: Kind::Stream,
        name: "LOOP".into(),
        settings: Settings {
            republish,
            ..Settings::uncapped(vec!["loop.>".into()])
        },
    };
    let options = Options::default();
    ensure_resources(&js, &[cycle(None)], &options)
        .await
        .expect("it can be made");
    let to_itself = Republish {
        from: "loop.>".into(),
        to: "loop.again.>".into(),
    };
    let report = ensure_resources(&js, &[cycle(Some(to_itself.clone()))], &options).await;
    let report = report.expect("it is there and serves");
    assert_eq!(1, report.warnings.len(), "{report}");
    assert!(report.warnings[0].contains("(broker error "), "{report}");

    js.delete_stream("LOOP").await.expect("it was there");
    let error = ensure_resources(&js, &[cycle(Some(to_itself))], &options).await;
    let text = error
        .expect_err("it neither exists nor can be made")
        .to_string();
    assert!(text.starts_with("could not make stream LOOP: "), "{text}");
}

#[tokio::test]
async fn a_name_that_cannot_be_is_fatal_with_the_reason_and_nothing_is_made() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let options = Options::default();
    let mut wanted = catalogue(&options);
    wanted.push(Resource {
        kind: Kind::Bucket,
        name: "a bad.name".into(),
        settings: Settings::uncapped(vec!["$KV.bad.>".into()]),
    });
    let error = ensure_resources(&js, &wanted, &options)
        .await
        .expect_err("it can't be made");
    assert_eq!(
        "could not make bucket a bad.name: `KV_a bad.name` is not a name that a broker takes",
        error.to_string()
    );
    assert_eq!(0, streams(&js).await);
}

#[tokio::test]
async fn a_stream_of_somebody_else_that_overlaps_is_named() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let subjects = vec!["results.*.*".into()];
    let theirs = Config {
        name: "THEIRS".into(),
        subjects,
        ..Config::default()
    };
    js.create_stream(theirs).await.expect("it can be made");
    let error = ensure_jetstream_resources(&js)
        .await
        .expect_err("it overlaps");
    assert_eq!(
        "could not make stream RESULTS: the stream `THEIRS` stores `results.*.*` already, which \
         overlaps `results.>`",
        error.to_string()
    );
    assert_eq!(1, streams(&js).await);
}

#[tokio::test]
async fn results_switched_to_refuse_the_new_are_left_so() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    check(&js).await;
    let mut results = config(&js, "RESULTS").await;
    results.discard = DiscardPolicy::New;
    js.update_stream(results).await.expect("it can be changed");
    assert!(check(&js).await.is_unchanged());
    assert_eq!(DiscardPolicy::New, config(&js, "RESULTS").await.discard);
}

#[tokio::test]
async fn a_cap_below_what_is_held_waits_until_it_is_told() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    let mut options = Options {
        cap_scale: 0.001,
        ..Options::default()
    };
    let audit = Config {
        name: "AUDIT".into(),
        subjects: vec!["audit.>".into()],
        max_bytes: 64 << 20,
        ..Config::default()
    };
    js.create_stream(audit).await.expect("it can be made");
    for _ in 0..4 {
        let ack = js
            .publish("audit.local", vec![0; 500_000].into())
            .await
            .expect("sent");
        ack.await.expect("it is stored");
    }
    let report = ensure_resources(&js, &catalogue(&options), &options)
        .await
        .expect("serves");
    assert_eq!(1, report.warnings.len(), "{report}");
    assert_eq!(64 << 20, config(&js, "AUDIT").await.max_bytes);
    assert_eq!(
        4,
        js.get_stream("AUDIT")
            .await
            .expect("there")
            .cached_info()
            .state
            .messages
    );

    options.loss = kanade_shared::bootstrap::catalogue::Loss::Allowed;
    let report = ensure_resources(&js, &catalogue(&options), &options)
        .await
        .expect("told");
    assert!(report.warnings.is_empty(), "{report}");
    assert_eq!(1 << 20, config(&js, "AUDIT").await.max_bytes);
}

#[tokio::test]
async fn two_backends_at_once_both_succeed() {
    let nats = Nats::start().await;
    let (one, two) = (nats.jetstream().await, nats.jetstream().await);
    let (one_did, two_did) = tokio::join!(check(&one), check(&two));
    for did in [one_did, two_did] {
        assert_eq!(25, did.resources.len());
        assert!(did.warnings.is_empty(), "{did}");
    }
    assert!(check(&one).await.is_unchanged());
    assert_eq!(25, streams(&one).await);
}

#[tokio::test]
async fn two_backends_on_a_broker_with_room_for_one_catalogue_both_succeed() {
    let setup = Setup {
        server_bytes: Some(11 * GIB),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await;
    let (one, two) = (nats.jetstream().await, nats.jetstream().await);
    let (one_did, two_did) = tokio::join!(check(&one), check(&two));
    assert_eq!((25, 25), (one_did.resources.len(), two_did.resources.len()));
}

#[tokio::test]
async fn everything_is_still_as_wanted_after_a_power_cut() {
    let mut nats = Nats::start().await;
    let js = nats.jetstream().await;
    check(&js).await;
    store(&js, "results.pc-1.r-1", "kept").await;
    nats.restart().await;
    let js = nats.jetstream().await;
    assert!(check(&js).await.is_unchanged());
    assert_eq!(
        1,
        js.get_stream("RESULTS")
            .await
            .expect("there")
            .cached_info()
            .state
            .messages
    );
}
