//! What a listener of the hub sees, and what it is told when it cannot see everything.

use super::*;
use kanade_shared::api::execs::{TargetState, TargetView};
use kanade_shared::id::Attempt;
use kanade_shared::wire::agent::TailChunk;

fn run(n: u128) -> RequestId {
    RequestId::parse(&format!("{n:032x}")).unwrap()
}

/// A recognisable event of the topic `tail:<n>`.
fn event(n: u128, text: &str) -> (Topic, LiveEvent) {
    let chunk = TailChunk {
        request_id: run(n),
        found: true,
        running: true,
        stdout_offset: 0,
        stdout: text.to_owned(),
        stderr_offset: 0,
        stderr: String::new(),
    };
    (Topic::Tail(run(n)), LiveEvent::Tail { chunk })
}

/// Ids, kinds and texts of what a listener has waiting, shortened.
async fn read(listener: &mut Listener) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(text) = tokio::time::timeout(Duration::ZERO, listener.next()).await {
        for event in text.split_terminator("\n\n") {
            let field = |name: &str| event.lines().find_map(|l| l.strip_prefix(name));
            let event: serde_json::Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
            let text = event.pointer("/chunk/stdout").or_else(|| event.get("kind"));
            let text = text.and_then(|v| v.as_str()).unwrap().to_owned();
            lines.push(field("id: ").map_or(text.clone(), |id| format!("{id} {text}")));
        }
    }
    lines
}

#[tokio::test]
async fn a_new_listener_is_told_to_read_everything_and_then_hears_its_topics_in_order() {
    let changes = Changes::new(7);
    let mut listener = changes.listen(vec![Topic::Tail(run(1))], None);
    assert!(changes.wants(&Topic::Tail(run(1))) && !changes.wants(&Topic::Agents));
    changes.publish(8, vec![event(1, "a"), event(2, "not mine"), event(1, "b")]);
    changes.publish(9, vec![event(1, "c")]);
    assert_eq!(read(&mut listener).await, ["7 reset", "a", "8 b", "9 c"]);
}

#[tokio::test]
async fn one_who_comes_back_goes_on_where_it_was() {
    let changes = Changes::new(0);
    let topics = vec![Topic::Tail(run(1))];
    drop(changes.listen(topics.clone(), None));
    for change in 1..=3 {
        assert!(
            changes.wants(&topics[0]),
            "a topic stays wanted for a while"
        );
        changes.publish(change, vec![event(1, "x")]);
    }
    let mut listener = changes.listen(topics, Some(1));
    assert_eq!(read(&mut listener).await, ["1 resumed", "2 x", "3 x"]);
}

#[tokio::test]
async fn one_who_saw_a_late_published_change_misses_none_of_the_higher_ones() {
    let changes = Changes::new(0);
    let topics = vec![Topic::Tail(run(1))];
    let _keeps = changes.listen(topics.clone(), None);
    changes.publish(2, vec![event(1, "second")]);
    changes.publish(1, vec![event(1, "first")]);
    changes.publish(3, vec![event(1, "third")]);
    let mut listener = changes.listen(topics, Some(1));
    assert_eq!(read(&mut listener).await, ["1 resumed", "3 third"]);
}

#[tokio::test]
async fn what_is_published_late_never_hides_what_is_newer() {
    let changes = Changes::new(0);
    let exec = ExecId::parse(&format!("{:032x}", 9)).unwrap();
    let target = |pc: &str, state| {
        let target = TargetView {
            pc_id: PcId::parse(pc).unwrap(),
            attempt: Attempt::FIRST,
            request_id: run(1),
            state,
            outcome: None,
            provisional: false,
            why: None,
            exit_code: None,
            started_at: None,
            ended_at: None,
            stopping: false,
        };
        let target = Box::new(target);
        (
            Topic::Exec(exec),
            LiveEvent::Target {
                exec_id: exec,
                target,
            },
        )
    };
    let mut listener = changes.listen(vec![Topic::Exec(exec)], None);
    changes.publish(2, vec![target("pc-1", TargetState::Ended)]);
    let late = [
        target("pc-1", TargetState::Pending),
        target("pc-2", TargetState::Pending),
    ];
    changes.publish(1, late.to_vec());
    let mut seen = String::new();
    while let Ok(text) = tokio::time::timeout(Duration::ZERO, listener.next()).await {
        seen.push_str(&text);
    }
    let last = |pc: &str| {
        seen.lines()
            .rfind(|line| line.contains(pc))
            .unwrap()
            .to_owned()
    };
    assert!(
        last("pc-1").contains("ended") && last("pc-2").contains("pending"),
        "{seen}"
    );
}

#[tokio::test]
async fn one_who_was_away_too_long_or_comes_from_another_database_gets_a_reset() {
    let changes = Changes::new(0);
    let topics = vec![Topic::Tail(run(1))];
    let _keeps = changes.listen(topics.clone(), None);
    let many = || {
        (0..RING_EVENTS / 2)
            .map(|_| event(1, "x"))
            .collect::<Vec<_>>()
    };
    for change in 1..=3 {
        changes.publish(change, many());
    }
    for (after, first) in [(0, "3 reset"), (1, "1 resumed"), (4, "3 reset")] {
        let mut listener = changes.listen(topics.clone(), Some(after));
        assert_eq!(read(&mut listener).await[0], first, "after {after}");
    }
}

#[tokio::test]
async fn resuming_from_before_the_topic_was_wanted_is_a_reset() {
    let changes = Changes::new(0);
    let _other = changes.listen(vec![Topic::Agents], None);
    // Nobody wanted exec 1, so its event was never made.
    changes.publish(5, vec![]);
    let mut listener = changes.listen(vec![Topic::Agents, Topic::Tail(run(1))], Some(4));
    assert_eq!(read(&mut listener).await, ["5 reset"]);
}

#[tokio::test]
async fn a_listener_that_does_not_read_gets_a_reset_and_holds_nobody_up() {
    let changes = Changes::new(0);
    let mut slow = changes.listen(vec![Topic::Tail(run(1))], None);
    let _ = slow.next().await;
    let batch = QUEUE_EVENTS as u64 / 5;
    for change in 1..=6 {
        let events = (0..batch).map(|_| event(1, "x")).collect();
        changes.publish(change, events);
    }
    changes.publish(7, vec![event(1, "after")]);
    assert_eq!(read(&mut slow).await, ["6 reset", "7 after"]);
}

#[test]
fn topics_are_read_back_as_they_are_written() {
    let exec = ExecId::parse(&format!("{:032x}", 9)).unwrap();
    for topic in [
        Topic::Agents,
        Topic::Execs,
        Topic::Exec(exec),
        Topic::Tail(run(3)),
    ] {
        assert_eq!(topic.to_string().parse(), Ok(topic));
    }
    assert_eq!(
        "jobs".parse::<Topic>().unwrap_err().to_string(),
        "`jobs` is no topic; topics are `agents`, `execs`, `exec:<id>` and `tail:<request_id>`"
    );
}
