//! `kanade logs`: what runs wrote.

use kanade_shared::api::execs::{ExecView, TargetQuery, TargetState, TargetView};
use kanade_shared::api::results::{ResultView, Stream};
use kanade_shared::id::{ExecId, PcId, RequestId};

use crate::cli::Global;
use crate::client::{Asking, Client, list, output_page};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::paint::Tone;
use crate::output::words;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade logs 0193a7f2 --pc lab-19
  kanade logs 0193a7f2 --pc lab-19 -f         go on with what it writes
  kanade logs 0193a7f2                        all its PCs, each line with its PC")]
pub(crate) struct LogsArgs {
    /// An exec, the beginning of its id, or a run
    #[arg(value_name = "EXEC|RUN", value_parser = super::exec_ref)]
    pub name: String,
    /// Only this PC
    #[arg(long, value_name = "PC")]
    pub pc: Option<PcId>,
    /// Go on with what it writes, until it ends
    #[arg(short, long)]
    pub follow: bool,
    /// Standard error instead of standard output
    #[arg(long)]
    pub stderr: bool,
}

/// A run whose output is wanted.
struct Wanted {
    pc: PcId,
    exec: ExecId,
    run: RequestId,
    state: TargetState,
}

/// Shows it.
///
/// # Errors
/// There is no such thing, or the backend can't be reached.
pub(crate) async fn run(
    args: &LogsArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let stream = if args.stderr {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    let wanted = wanted(&client, args).await?;
    if let [one] = wanted.as_slice() {
        if args.follow && one.state != TargetState::Ended {
            return super::tail::follow(&client, screen, one.exec, one.run, stream).await;
        }
        if one.state != TargetState::Ended {
            return Err(
                Failure::not_found(format!("`{}` has not ended there yet", one.pc))
                    .help("`-f` shows what it writes while it runs"),
            );
        }
        whole(&client, screen, one.run, stream).await?;
        return Ok(Exit::Ok);
    }
    if args.follow {
        return Err(Failure::usage("one run at a time can be followed").help("`--pc PC -f`"));
    }
    let width = wanted
        .iter()
        .map(|one| one.pc.as_str().len())
        .max()
        .unwrap_or(0);
    for one in wanted.iter().filter(|one| one.state == TargetState::Ended) {
        with_pc(&client, screen, one, width, stream).await?;
    }
    let left = wanted
        .iter()
        .filter(|one| one.state != TargetState::Ended)
        .count() as u64;
    if left > 0 {
        let have = if left == 1 { "has" } else { "have" };
        screen.words(&format!(
            "{} {have} not ended yet",
            words::count(left, "PC")
        ));
        return Ok(Exit::Waiting);
    }
    Ok(Exit::Ok)
}

/// A name of 32 digits may be an exec or a run: they are asked for in this order.
async fn wanted(client: &Client, args: &LogsArgs) -> Result<Vec<Wanted>, Failure> {
    let exec = client
        .get::<ExecView, _>(&format!("execs/{}", args.name), &())
        .await;
    let exec = match (exec, RequestId::parse(&args.name)) {
        (Err(failure), Ok(run)) if failure.exit() == Exit::NotFound => {
            let result: ResultView = client.get(&format!("results/{run}"), &()).await?;
            return Ok(vec![Wanted {
                pc: result.pc_id,
                exec: result.exec_id,
                run,
                state: TargetState::Ended,
            }]);
        }
        (exec, _) => exec?,
    };
    let path = format!("execs/{}/targets", exec.exec_id);
    let targets =
        list::<TargetView, _>(client, &path, &TargetQuery::default(), Asking::All).await?;
    let meant = |target: &TargetView| args.pc.as_ref().is_none_or(|pc| *pc == target.pc_id);
    let wanted: Vec<Wanted> = targets
        .items
        .into_iter()
        .filter(|target| meant(target))
        .map(|target| Wanted {
            pc: target.pc_id,
            exec: exec.exec_id,
            run: target.request_id,
            state: target.state,
        })
        .collect();
    match (&args.pc, wanted.is_empty()) {
        (Some(pc), true) => Err(Failure::not_found(format!(
            "exec {} is not for `{pc}`",
            exec.exec_id.short()
        ))
        .in_field(format!("--pc {pc}"))
        .help(format!(
            "`kanade describe exec {}` for its PCs",
            exec.exec_id.short()
        ))),
        (_, _) => Ok(wanted),
    }
}

/// One output, byte for byte, page by page.
async fn whole(
    client: &Client,
    screen: &Screen,
    run: RequestId,
    stream: Stream,
) -> Result<(), Failure> {
    let mut next = Some(0);
    while let Some(offset) = next {
        let page = output_page(client, run, stream, offset).await?;
        screen.raw(&page.text);
        next = page.next_offset.filter(|&next| next > offset);
    }
    Ok(())
}

/// One output, each line with its PC.
async fn with_pc(
    client: &Client,
    screen: &Screen,
    one: &Wanted,
    width: usize,
    stream: Stream,
) -> Result<(), Failure> {
    let mut rest = String::new();
    let mut next = Some(0);
    while let Some(offset) = next {
        // A PC that never ran it has no output, which is no reason to stop here.
        let page = match output_page(client, one.run, stream, offset).await {
            Err(failure) if failure.exit() == Exit::NotFound => return Ok(()),
            page => page?,
        };
        next = page.next_offset.filter(|&next| next > offset);
        rest.push_str(&page.text);
        let whole = match next {
            Some(_) => rest.rfind('\n').map_or(0, |end| end + 1),
            None => rest.len(),
        };
        let line = |line| super::follow::line_of(screen, &one.pc, width, line, Tone::Plain);
        let lines: String = rest[..whole].lines().map(line).collect();
        if !lines.is_empty() {
            screen.data(&lines);
        }
        rest.drain(..whole);
    }
    Ok(())
}
