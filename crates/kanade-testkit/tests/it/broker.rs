//! The backend's own broker: a supervised nats-server in the data folder.

use std::fs;
use std::path::Path;

use kanade_backend::broker::{BrokerConfig, BrokerError, BrokerState, Cause, EmbeddedBroker};
use kanade_backend::broker::{bootstrap, bootstrap::Sizing};
use kanade_shared::bootstrap::{BootstrapError, Credentials, Outcome, Retry, connect};
use kanade_testkit::backend::Backend;
use kanade_testkit::{nats, ports, wait};
use tempfile::TempDir;

fn config() -> BrokerConfig {
    BrokerConfig {
        port: 0,
        nats_server: Some(nats::binary()),
        ..BrokerConfig::default()
    }
}

async fn check(config: &BrokerConfig, data: &TempDir) -> Result<EmbeddedBroker, BrokerError> {
    EmbeddedBroker::start(config, data.path()).await
}

fn data() -> TempDir {
    tempfile::tempdir().expect("the temporary folder can be written")
}

fn sizing(broker: &EmbeddedBroker) -> Sizing {
    Sizing {
        cap_scale: broker.cap_scale(),
        ..Sizing::default()
    }
}

#[tokio::test]
async fn it_starts_serves_each_of_its_users_and_stops() {
    let data = data();
    let broker = check(&config(), &data).await.expect("it starts");
    let client = broker
        .connect("test")
        .await
        .expect("the backend's user is known");
    let report = bootstrap::apply(&client, sizing(&broker))
        .await
        .expect("all can be made");
    assert_eq!(25, report.count(Outcome::Created));
    let plan = bootstrap::plan(&client, sizing(&broker))
        .await
        .expect("it can be read");
    assert!(plan.is_satisfied(), "{plan}");

    for credentials in [broker.agent_credentials(), broker.system_credentials()] {
        let connected = connect(broker.client_url(), &credentials, "test", Retry::ONCE).await;
        connected.expect("the user is known");
    }
    let nobody = connect(broker.client_url(), &Credentials::None, "test", Retry::ONCE).await;
    assert!(matches!(nobody, Err(BootstrapError::Credentials { .. })));

    let (url, health) = (broker.client_url().to_owned(), broker.health());
    broker.stop().await;
    assert_eq!(BrokerState::Stopped, health.borrow().state);
    let gone = connect(&url, &Credentials::None, "test", Retry::ONCE).await;
    assert!(matches!(gone, Err(BootstrapError::Unreachable { .. })));
}

#[tokio::test]
async fn the_system_user_hears_who_connects() {
    let data = data();
    let broker = check(&config(), &data).await.expect("it starts");
    let system = broker.system_credentials();
    let system = connect(broker.client_url(), &system, "test", Retry::ONCE).await;
    let system = system.expect("the user is known");
    let mut events = system
        .subscribe("$SYS.ACCOUNT.FLEET.CONNECT")
        .await
        .expect("it may");
    system.flush().await.expect("it is connected");
    let _client = broker.connect("a client").await.expect("the user is known");
    let event = tokio::time::timeout(wait::LONG, futures::StreamExt::next(&mut events)).await;
    let event = event.expect("in time").expect("the subscription lives");
    assert!(String::from_utf8_lossy(&event.payload).contains("a client"));
    broker.stop().await;
}

#[tokio::test]
async fn a_second_start_has_the_same_secrets_and_data() {
    let data = data();
    let first = check(&config(), &data).await.expect("it starts");
    let client = first.connect("test").await.expect("it answers");
    bootstrap::apply(&client, sizing(&first))
        .await
        .expect("all can be made");
    let js = async_nats::jetstream::new(client);
    let ack = js
        .publish("results.pc-1.r-1", "hello".into())
        .await
        .expect("it can be sent");
    ack.await.expect("it is stored");
    let credentials = first.backend_credentials();
    first.stop().await;

    let second = check(&config(), &data).await.expect("it starts again");
    assert!(credentials == second.backend_credentials());
    let client = second.connect("test").await.expect("it answers");
    let report = bootstrap::apply(&client, sizing(&second))
        .await
        .expect("all is there");
    assert!(report.is_unchanged(), "{report}");
    let js = async_nats::jetstream::new(client);
    let mut results = js.get_stream("RESULTS").await.expect("it is there");
    assert_eq!(1, results.info().await.expect("it is there").state.messages);
    second.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn what_it_writes_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = data();
    let broker = check(&config(), &data).await.expect("it starts");
    let mode = |path: &str| {
        let metadata = fs::metadata(data.path().join(path)).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((0o700, 0o700), (mode("broker"), mode("secrets")));
    assert_eq!(
        (0o600, 0o600),
        (mode("secrets/broker.json"), mode("broker/nats-server.conf"))
    );
    broker.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_broker_that_is_killed_comes_back_on_its_port_with_its_data() {
    let data = data();
    let broker = check(&config(), &data).await.expect("it starts");
    let client = broker.connect("test").await.expect("it answers");
    bootstrap::apply(&client, sizing(&broker))
        .await
        .expect("all can be made");
    let health = broker.health();
    let pid = health.borrow().pid.expect("it runs");
    kill9(pid);
    wait::until("the broker serves again", wait::LONG, async || {
        let health = health.borrow();
        health.restarts == 1 && health.state == BrokerState::Serving && health.pid != Some(pid)
    })
    .await;
    assert!(
        health
            .borrow()
            .last_failure
            .as_ref()
            .is_some_and(|how| how.contains("signal: 9"))
    );
    wait::until("the client is back by itself", wait::LONG, async || {
        bootstrap::plan(&client, sizing(&broker))
            .await
            .is_ok_and(|plan| plan.is_satisfied())
    })
    .await;
    broker.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_broker_that_a_killed_backend_left_behind_is_replaced() {
    let data = data();
    let port = ports::free();
    let config = BrokerConfig { port, ..config() };
    // What a killed backend leaves: its folder, and a broker that nobody watches.
    let broker = check(&config, &data).await.expect("it starts");
    broker.stop().await;
    let mut orphan = orphan(data.path());
    wait::until("the orphan has written its id", wait::LONG, async || {
        fs::read_to_string(data.path().join("broker/nats-server.pid"))
            .is_ok_and(|text| text.trim() == orphan.0.id().to_string())
    })
    .await;

    // The child of a test stays as a zombie until it is waited for, and counts as gone.
    let broker = check(&config, &data).await.expect("it takes over");
    let ended = orphan.0.try_wait().expect("it is our child");
    assert!(ended.is_some(), "the orphan was stopped");
    assert_ne!(Some(orphan.0.id()), broker.health().borrow().pid);
    broker.stop().await;
}

#[cfg(unix)]
fn orphan(data: &Path) -> Orphan {
    std::process::Command::new(nats::binary())
        .arg("--config")
        .arg(
            fs::canonicalize(data)
                .expect("it is there")
                .join("broker/nats-server.conf"),
        )
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(Orphan)
        .expect("nats-server can be started")
}

/// A broker that nobody watches but the test, which leaves none behind.
#[cfg(unix)]
struct Orphan(std::process::Child);

#[cfg(unix)]
impl Drop for Orphan {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_backend_that_is_killed_leaves_no_broker_behind() {
    let folder = data();
    let mut backend = Backend::start(folder.path()).await;
    let pid = backend.broker_pid();
    backend.kill9();
    wait::until("the broker is gone", wait::LONG, async || !runs(pid)).await;
}

/// Whether a process runs; one that has ended and wasn't waited for doesn't.
#[cfg(unix)]
fn runs(pid: u32) -> bool {
    let pid = pid.to_string();
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", &pid])
        .output();
    let output = output.expect("there is a ps");
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

#[tokio::test]
async fn a_second_backend_on_the_same_folder_is_refused_and_harms_nobody() {
    let data = data();
    let first = check(&config(), &data).await.expect("it starts");
    let second = check(&config(), &data)
        .await
        .expect_err("the folder is taken");
    assert!(matches!(second, BrokerError::InUse { .. }), "{second}");
    assert_eq!(BrokerState::Serving, first.health().borrow().state);
    first.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_sentence_with_the_last_lines() {
    let (_listener, port) = ports::occupied();
    let error = check(&BrokerConfig { port, ..config() }, &data())
        .await
        .expect_err("port taken");
    let text = error.to_string();
    let first = format!("the broker won't start: 127.0.0.1:{port} is in use by another program\n");
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("[FTL] Error listening on port"), "{text}");
    assert!(error.help().contains("broker.port"));
}

#[tokio::test]
async fn another_broker_on_the_port_is_not_taken_for_ours() {
    let other = nats::Nats::start().await;
    let config = BrokerConfig {
        port: other.port(),
        ..config()
    };
    let error = check(&config, &data())
        .await
        .expect_err("the port is taken");
    assert!(matches!(
        error,
        BrokerError::WontStart {
            cause: Cause::AddressInUse { .. },
            ..
        }
    ));
}

#[tokio::test]
async fn a_damaged_store_is_told_and_left_as_it_is() {
    let data = data();
    let broker = check(&config(), &data).await.expect("it starts");
    let client = broker.connect("test").await.expect("it answers");
    bootstrap::apply(&client, sizing(&broker))
        .await
        .expect("all can be made");
    broker.stop().await;
    let meta = data
        .path()
        .join("broker/store/jetstream/FLEET/streams/RESULTS/meta.inf");
    fs::write(&meta, "damaged").expect("the stream is there");

    let error = check(&config(), &data)
        .await
        .expect_err("the store is damaged");
    assert!(
        matches!(
            &error,
            BrokerError::WontStart { cause: Cause::DamagedStore { line, .. }, .. }
                if line.contains("RESULTS")
        ),
        "{error}"
    );
    assert_eq!(
        "damaged",
        fs::read_to_string(&meta).expect("it was left alone")
    );
}

#[tokio::test]
async fn a_missing_program_and_another_program_are_told() {
    let with = |path: &str| BrokerConfig {
        nats_server: Some(path.into()),
        ..config()
    };
    let missing = check(&with("/no/such/nats-server"), &data())
        .await
        .expect_err("missing");
    assert_eq!(
        "could not run the broker `/no/such/nats-server`",
        missing.to_string()
    );
    assert!(missing.help().contains("broker.nats_server"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = data();
        let old = folder.path().join("old-nats-server");
        fs::write(&old, "#!/bin/sh\necho nats-server: v2.9.10\n").expect("it can be written");
        fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let told = check(&with(&old.to_string_lossy()), &data())
            .await
            .expect_err("too old");
        let ends = "must be nats-server 2.12 or newer, and says `nats-server: v2.9.10`";
        assert!(told.to_string().ends_with(ends), "{told}");
    }
}

#[cfg(unix)]
fn kill9(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a process id is a positive number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}
