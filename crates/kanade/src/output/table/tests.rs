//! Lists as people and programs get them.

use kanade_shared::api::agents::{AgentView, Presence};
use kanade_shared::id::{GroupId, PcId};

use super::*;
use crate::output::buffer::{Buffer, screen};
use crate::output::paint::Paint;

fn when() -> When {
    let offset = chrono::FixedOffset::east_opt(0).unwrap();
    When {
        now: "2026-11-23T14:00:00Z".parse().unwrap(),
        offset,
    }
}

fn agents() -> Vec<AgentView> {
    let agent = |pc: &str, presence, since: &str, os: Option<&str>, groups: &[&str]| AgentView {
        pc_id: PcId::parse(pc).unwrap(),
        presence,
        since: since.parse().unwrap(),
        enrolled_at: "2026-11-01T09:00:00Z".parse().unwrap(),
        heartbeat_at: None,
        state: None,
        agent_version: Some("0.1.0".into()),
        host_name: None,
        os_family: Some("linux".into()),
        os: os.map(Into::into),
        groups: groups
            .iter()
            .map(|group| GroupId::parse(group).unwrap())
            .collect(),
        clock_skew_ms: Some(-3),
        blocked: None,
        running: 0,
        outbox_results: 0,
        agent_rss_bytes: None,
        booted_at: None,
        hardware: None,
    };
    let debian = Some("Debian GNU/Linux 12");
    vec![
        agent(
            "lab-01",
            Presence::Online,
            "2026-11-23T13:59:15Z",
            debian,
            &["lab", "linux"],
        ),
        agent(
            "office-17",
            Presence::Offline,
            "2026-11-20T09:12:00Z",
            None,
            &[],
        ),
    ]
}

fn shown(format: Format) -> String {
    let (screen, data, _) = screen();
    show_rows(&screen, &agents(), format, &when()).unwrap();
    data.text()
}

#[test]
fn a_table_has_what_fits_and_a_wide_one_has_all() {
    insta::assert_snapshot!(shown(Format::Table), @"
    PC         PRESENCE  SINCE  OS                   VERSION  GROUPS
    lab-01     online    45s    Debian GNU/Linux 12  0.1.0    lab,linux
    office-17  offline   3d     linux                0.1.0    -
    ");
    insta::assert_snapshot!(shown(Format::Wide), @"
    PC         PRESENCE  SINCE  OS                   VERSION  GROUPS     STATE  HOST NAME  HEARTBEAT  ENROLLED  RUNNING  OUTBOX  SKEW MS  BLOCKED
    lab-01     online    45s    Debian GNU/Linux 12  0.1.0    lab,linux  -      -          -          22d       0        0       -3       -
    office-17  offline   3d     linux                0.1.0    -          -      -          -          22d       0        0       -3       -
    ");
}

#[test]
fn names_are_alone_on_their_lines() {
    assert_eq!(shown(Format::Name), "lab-01\noffice-17\n");
}

#[test]
fn csv_is_exact() {
    insta::assert_snapshot!(shown(Format::Csv), @r#"
    pc,presence,since,os,version,groups,state,host_name,heartbeat,enrolled,running,outbox,skew_ms,blocked
    lab-01,online,2026-11-23T13:59:15+00:00,Debian GNU/Linux 12,0.1.0,"lab,linux",,,,2026-11-01T09:00:00+00:00,0,0,-3,
    office-17,offline,2026-11-20T09:12:00+00:00,linux,0.1.0,,,,,2026-11-01T09:00:00+00:00,0,0,-3,
    "#);
}

#[test]
fn json_and_yaml_are_what_the_api_gave() {
    let json: Vec<AgentView> = serde_json::from_str(&shown(Format::Json)).unwrap();
    assert_eq!(json, agents());
    let yaml: Vec<AgentView> = serde_saphyr::from_str(&shown(Format::Yaml)).unwrap();
    assert_eq!(yaml, agents());
}

#[test]
fn colours_take_no_room() {
    let data = Buffer::default();
    let screen = Screen::of_buffers(data.clone(), Buffer::default(), Paint::Colours);
    show_rows(&screen, &agents(), Format::Table, &when()).unwrap();
    let text = data.text();
    assert!(text.contains("\u{1b}[32monline\u{1b}[0m"), "{text}");
    let bare: String = text
        .lines()
        .map(|line| crate::output::fold::clean(line) + "\n")
        .collect();
    assert_eq!(bare, shown(Format::Table));
}
