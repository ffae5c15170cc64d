//! What operators are told about their settings, and which source wins.

use super::*;
use figment::Jail;

fn load(jail: &mut Jail, toml: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    jail.create_file("kanade.toml", toml).unwrap();
    for (name, value) in env {
        jail.set_env(name, value);
    }
    Config::load(Some(Path::new("kanade.toml")), &Flags::default()).map_err(|e| {
        let folder = jail.directory().display().to_string();
        e.to_string().replace(&format!("{folder}/"), "")
    })
}

#[expect(clippy::result_large_err, reason = "the jail's own type")]
fn jailed(run: impl FnOnce(&mut Jail)) {
    Jail::expect_with(|jail| {
        jail.clear_env();
        run(jail);
        Ok(())
    });
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    jailed(|jail| {
        jail.create_file(
            "kanade.toml",
            "listen = \"127.0.0.1:1\"\n[broker]\nport = 1\n",
        )
        .unwrap();
        jail.set_env("KANADE_LISTEN", "127.0.0.1:2");
        jail.set_env("KANADE_BROKER__PORT", "2");
        jail.set_env("KANADE_NATS_SERVER", "/opt/nats-server");
        // Of the CLI, in the same shell.
        jail.set_env("KANADE_URL", "http://127.0.0.1:8443");
        // Of who builds and tests it.
        jail.set_env("KANADE_POSTGRES", "/opt/postgresql");
        let flags = Flags {
            broker_port: Some(3),
            ..Flags::default()
        };
        let config = Config::load(Some(Path::new("kanade.toml")), &flags).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.broker.port, 3);
        assert_eq!(config.broker.nats_server, Some("/opt/nats-server".into()));
        assert!(config.broker.host.is_loopback());
    });
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    jailed(|jail| {
        insta::assert_snapshot!(load(jail, "[broker]\nprot = 4222\n", &[]).unwrap_err(), @"unknown key `broker.prot` in `kanade.toml`; did you mean `port`?");
        insta::assert_snapshot!(load(jail, "colour = 1\n", &[]).unwrap_err(), @"unknown key `colour` in `kanade.toml`; known are data_dir, listen, insecure, broker, database, dashboard, limits, log");
        insta::assert_snapshot!(load(jail, "", &[("KANADE_LISTN", "x")]).unwrap_err(), @"unknown key `listn` in the environment; did you mean `listen`?");
    });
}

#[test]
fn a_value_that_cannot_be_is_told_with_what_can() {
    jailed(|jail| {
        let mut told = |toml: &str| load(jail, toml, &[]).unwrap_err();
        let all = [
            told("listen = \"0.0.0.0:8443\"\n"),
            told("listen = \"here\"\n"),
            told("[broker]\nport = 70000\n"),
            told("[broker]\ncap_scale = 0.0\n"),
            told("[broker]\nurl = \"nats://me:secret@host\"\n"),
            told("[broker]\nhost = \"0.0.0.0\"\n"),
            told("[database]\nurl = \"mysql://me:secret@host/kanade\"\n"),
            told("[database]\nurl = \"postgres://me:secret@host\"\n"),
            told("[database]\nurl = \"postgres://me:secret@host/kanade?sslmode=maybe\"\n"),
            told("[database]\nurl = \"postgres://me@host/kanade\"\npassword_file = \"no/such\"\n"),
            told("[dashboard]\nurl = \"https://kanade.example/fleet\"\n"),
            told("[limits]\nbody_bytes = 1\n"),
            told("[limits]\nrequests_per_second = 0\n"),
            told("[log]\nformat = \"xml\"\n"),
            told("[log]\nlevel = \"loud\"\n"),
            told("[log\n"),
        ];
        insta::assert_snapshot!(all.join("\n"));
    });
}

#[test]
fn a_database_is_a_file_or_an_address_and_its_password_is_not_shown() {
    jailed(|jail| {
        let config = load(jail, "", &[]).unwrap();
        assert_eq!(
            config.database().unwrap().to_string(),
            "kanade-data/kanade.db"
        );
        jail.create_file("password", "0071\n").unwrap();
        let toml = "[database]\nurl = \"postgres://me:secret@db-1/kanade\"\n\
             password_file = \"password\"\n";
        let config = load(jail, toml, &[]).unwrap();
        let shown = format!(
            "{config:?}{}{}",
            config.to_toml(),
            config.database().unwrap()
        );
        assert!(
            !shown.contains("secret") && !shown.contains("0071"),
            "{shown}"
        );
        assert!(shown.contains("postgres://me:…@db-1/kanade"), "{shown}");
        assert!(shown.ends_with("postgres://me@db-1:5432/kanade"), "{shown}");
        // As it is: a password of digits is no number.
        let config = load(
            jail,
            "[database]\nurl = \"postgres://me@db-1/kanade\"\n",
            &[("KANADE_DATABASE__PASSWORD", "0071")],
        );
        assert_eq!(
            config
                .unwrap()
                .database
                .password
                .as_ref()
                .map(Secret::reveal),
            Some("0071")
        );
    });
}

#[test]
fn printed_settings_are_complete_and_without_secrets() {
    jailed(|jail| {
        let env = [
            ("KANADE_BROKER__PASSWORD", "0071"),
            ("KANADE_BROKER__USER", "fleet"),
        ];
        let config = load(jail, "", &env).unwrap();
        assert_eq!(
            config.broker.password.as_ref().map(Secret::reveal),
            Some("0071")
        );
        assert!(!format!("{config:?}").contains("0071"));
        insta::assert_snapshot!(config.to_toml());
    });
}
