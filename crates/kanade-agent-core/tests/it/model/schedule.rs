//! What may happen, and how often.

use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Tick(u64),
    /// One step of one PC.
    Step(Step, usize),
    /// The PC goes through all it can do, so many times.
    Burst(usize, u8),
    /// Something breaks on a PC.
    Fault(Fault, usize),
    /// Steps of the publisher for one scope: read, build, publish.
    Publish {
        scope: usize,
        from: u8,
        to: u8,
    },
    PublishAll,
    Project,
    Sweep,
    Post {
        open: bool,
        all: bool,
        pcs: u8,
        jitter_s: u32,
        deadline_s: i64,
        fails: bool,
    },
    Stop {
        nth: usize,
        kill: bool,
    },
    Retry {
        nth: usize,
        deadline_s: i64,
    },
    Enrol,
    CopyDatabase,
    CopyBroker,
    RestoreDatabase(usize),
    RestoreBroker(usize),
    EmptyDatabase,
    WipeBroker,
    CrashBackend,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Boot,
    Connect,
    Effect,
    Read,
    Deliver,
    End,
    Send,
    Ack,
    Timeout,
    Heartbeat,
}

impl Step {
    pub(crate) const ALL: [Self; 10] = [
        Self::Boot,
        Self::Connect,
        Self::Effect,
        Self::Read,
        Self::Deliver,
        Self::End,
        Self::Send,
        Self::Ack,
        Self::Timeout,
        Self::Heartbeat,
    ];
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Offline,
    Crash,
    /// A live message is lost.
    Lose,
    DeleteJournal,
    DiskFull,
    DiskFree,
}

/// Each schedule draws which kinds of loss it has, so that rules are also tried one by one.
pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    (any::<[bool; 6]>(), prop::collection::vec(op(), 20..140)).prop_map(|(losses, mut ops)| {
        ops.retain(|op| match op {
            Op::RestoreDatabase(_) => losses[0],
            Op::RestoreBroker(_) => losses[1],
            Op::EmptyDatabase => losses[2],
            Op::WipeBroker => losses[3],
            Op::CrashBackend => losses[4],
            Op::Fault(Fault::DiskFull, _) => losses[5],
            _ => true,
        });
        ops
    })
}

fn op() -> impl Strategy<Value = Op> {
    let pc = 0usize..4;
    let step = (prop::sample::select(&Step::ALL[..]), pc.clone()).prop_map(|(s, k)| Op::Step(s, k));
    let all_faults = vec![
        Fault::Offline,
        Fault::Offline,
        Fault::Crash,
        Fault::Crash,
        Fault::Lose,
        Fault::DeleteJournal,
        Fault::DiskFull,
        Fault::DiskFree,
    ];
    let fault = (prop::sample::select(all_faults), pc.clone()).prop_map(|(f, k)| Op::Fault(f, k));
    let post = (
        any::<bool>(),
        any::<bool>(),
        1u8..15,
        prop::sample::select(vec![0u32, 0, 15]),
        prop::sample::select(vec![25i64, 60, 150]),
        any::<bool>(),
    );
    let nth = 0usize..4;
    prop_oneof![
        4 => prop::sample::select(vec![1u64, 1, 3, 8, 30]).prop_map(Op::Tick),
        20 => step,
        14 => (pc, 1u8..4).prop_map(|(k, n)| Op::Burst(k, n)),
        6 => fault,
        5 => (0usize..5, 0u8..2, 1u8..4).prop_map(|(scope, from, to)| Op::Publish { scope, from, to }),
        8 => Just(Op::PublishAll),
        3 => Just(Op::Project),
        2 => Just(Op::Sweep),
        6 => post.prop_map(|(open, all, pcs, jitter_s, deadline_s, fails)| Op::Post { open: open && all, all, pcs, jitter_s, deadline_s, fails }),
        4 => (nth.clone(), any::<bool>()).prop_map(|(nth, kill)| Op::Stop { nth, kill }),
        2 => (nth, prop::sample::select(vec![40i64, 100])).prop_map(|(nth, deadline_s)| Op::Retry { nth, deadline_s }),
        1 => Just(Op::Enrol),
        3 => Just(Op::CopyDatabase),
        3 => Just(Op::CopyBroker),
        2 => (0usize..3).prop_map(Op::RestoreDatabase),
        2 => (0usize..3).prop_map(Op::RestoreBroker),
        1 => Just(Op::EmptyDatabase),
        1 => Just(Op::WipeBroker),
        2 => Just(Op::CrashBackend),
    ]
}
