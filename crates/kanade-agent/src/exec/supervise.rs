//! The run itself: prepare, hold, note, release, watch, end.
//!
//! One future per run, no thread. Files, spawning and the walk over the process table are done on
//! the blocking pool, so that the agent's only thread is never held up.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use kanade_shared::wire::command::RunAs;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::capture::Capture;
use super::environment::environment;
use super::script::{self, Staged};
use super::{HowEnded, OutputStream, RunEnd, RunSpec, StartError, StopKind, TailBuffer};
use crate::platform::{Launch, Launched, Platform, ProcessMark, ProcessTree};

/// Between the polite stop and the kill.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// For output that is still in the pipes after the program's end.
const PIPE_GRACE: Duration = Duration::from_secs(2);
/// Between looks at a group that was asked to stop.
const GROUP_POLL: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 32 * 1024;

/// Runs scripts on this PC; cheap to clone, any number of runs at once.
#[derive(Debug, Clone)]
pub struct Runner {
    platform: Arc<dyn Platform>,
    folder: PathBuf,
    stop_grace: Duration,
    pipe_grace: Duration,
}

impl Runner {
    /// A runner that stages its scripts in `folder`, which it makes private and empties: call it
    /// once, before the first run. Blocks.
    ///
    /// # Errors
    /// The folder can't be made or read.
    pub fn open(platform: Arc<dyn Platform>, folder: &Path) -> io::Result<Self> {
        // Absolute, since a run may have another working folder.
        let folder = std::path::absolute(folder)?;
        script::sweep(&folder)?;
        platform.sweep();
        Ok(Self {
            platform,
            folder,
            stop_grace: STOP_GRACE,
            pipe_grace: PIPE_GRACE,
        })
    }

    /// The same with other times: from the polite stop to the kill, and from the program's end to
    /// the end of reading its output.
    #[must_use]
    pub fn with_graces(self, stop_grace: Duration, pipe_grace: Duration) -> Self {
        Self {
            stop_grace,
            pipe_grace,
            ..self
        }
    }

    /// Runs one script and comes back when it has ended, whatever happens.
    ///
    /// `on_spawn` gets the process before it begins; if that fails, the script never begins. A
    /// stop works at any moment; that nobody holds the other end of `stop` any more stops nothing.
    /// `tail` gets the output as it comes, and its end.
    pub async fn run<Noted, Failure>(
        &self,
        spec: RunSpec,
        mut stop: watch::Receiver<Option<StopKind>>,
        tail: &TailBuffer,
        on_spawn: impl FnOnce(ProcessMark) -> Noted,
    ) -> RunEnd
    where
        Noted: Future<Output = Result<(), Failure>>,
        Failure: std::fmt::Display,
    {
        let end = match self.try_run(spec, &mut stop, tail, on_spawn).await {
            Ok(end) => end,
            Err(error) => RunEnd::not_begun(HowEnded::NotStarted {
                reason: error.into_reason(),
            }),
        };
        tail.end();
        end
    }

    async fn try_run<Noted, Failure>(
        &self,
        spec: RunSpec,
        stop: &mut watch::Receiver<Option<StopKind>>,
        tail: &TailBuffer,
        on_spawn: impl FnOnce(ProcessMark) -> Noted,
    ) -> Result<RunEnd, StartError>
    where
        Noted: Future<Output = Result<(), Failure>>,
        Failure: std::fmt::Display,
    {
        let (shell, limit, cap) = (spec.shell.as_str(), spec.timeout, spec.output_cap_bytes);
        if let Some(kind) = *stop.borrow() {
            return Ok(RunEnd::not_begun(HowEnded::Killed(kind)));
        }
        let mut held = self.hold(spec).await?;
        if let Err(error) = on_spawn(held.launched.mark.clone()).await {
            held.discard().await;
            return Err(StartError::Journal(error.to_string()));
        }
        let stopped = *stop.borrow();
        if let Some(kind) = stopped {
            held.discard().await;
            return Ok(RunEnd::not_begun(HowEnded::Killed(kind)));
        }
        if let Err(source) = held.launched.tree.release() {
            held.discard().await;
            return Err(StartError::Release { shell, source });
        }
        let end = self.watch(&mut held, limit, cap, stop, tail).await;
        held.clear().await;
        Ok(end)
    }

    /// Stages the script and starts its shell, held.
    async fn hold(&self, spec: RunSpec) -> Result<Held, StartError> {
        let (platform, folder) = (Arc::clone(&self.platform), self.folder.clone());
        let task = tokio::task::spawn_blocking(move || prepare(platform.as_ref(), &folder, &spec));
        task.await.map_err(|_| StartError::Interrupted)?
    }

    /// Reads the output until the run has ended in one way or another.
    async fn watch(
        &self,
        held: &mut Held,
        limit: Duration,
        cap: u64,
        stop: &mut watch::Receiver<Option<StopKind>>,
        tail: &TailBuffer,
    ) -> RunEnd {
        let began = Instant::now();
        let child = &mut held.launched.child;
        let (mut stdout, mut stderr) = (Capture::new(cap), Capture::new(cap));
        let pumps = (child.stdout.take(), child.stderr.take());
        let (how, survivors, pipe_held) = {
            let mut reading = pin!(async {
                tokio::join!(
                    pump(pumps.0, &mut stdout, tail, OutputStream::Stdout),
                    pump(pumps.1, &mut stderr, tail, OutputStream::Stderr),
                )
            });
            let mut ending = pin!(self.ending(child, &held.launched.tree, limit, stop));
            let mut read_all = false;
            let (how, survivors) = loop {
                tokio::select! {
                    ended = &mut ending => break ended,
                    _ = &mut reading, if !read_all => read_all = true,
                }
            };
            let pipe_held = !read_all && timeout(self.pipe_grace, reading).await.is_err();
            (how, survivors, pipe_held)
        };
        held.watched = true;
        RunEnd {
            how,
            began: true,
            stdout: stdout.finish(),
            stderr: stderr.finish(),
            duration: began.elapsed(),
            pipe_held,
            survivors,
        }
    }

    /// Waits for the program, its limit, or a stop; ends the tree in the latter two cases.
    async fn ending(
        &self,
        child: &mut Child,
        tree: &Arc<dyn ProcessTree>,
        limit: Duration,
        stop: &mut watch::Receiver<Option<StopKind>>,
    ) -> (HowEnded, usize) {
        let how = tokio::select! {
            biased;
            status = child.wait() => {
                tree.let_go();
                return (exited(status), 0);
            }
            kind = stopped(stop) => HowEnded::Killed(kind),
            () = sleep(limit) => HowEnded::TimedOut { limit },
        };
        if tree.ask_to_stop() {
            // Over before the grace is, if the whole group has gone.
            let _ = timeout(self.stop_grace, group_end(child, tree.as_ref())).await;
        }
        let leftovers = kill(tree).await;
        // After the kill; one that even this does not end is a survivor, not a reason to wait.
        let _ = timeout(self.stop_grace, child.wait()).await;
        (how, leftovers)
    }
}

/// A child that waits or runs, and its files; dropped before its end, it is killed.
struct Held {
    launched: Launched,
    staged: Option<Staged>,
    watched: bool,
}

impl Held {
    /// Ends a child that was never released.
    async fn discard(mut self) {
        kill(&self.launched.tree).await;
        let _ = timeout(PIPE_GRACE, self.launched.child.wait()).await;
        self.watched = true;
        self.clear().await;
    }

    /// Removes the files.
    async fn clear(mut self) {
        if let Some(staged) = self.staged.take() {
            // Dropping removes; a failure of the pool leaves it to the next start's sweep.
            let _ = tokio::task::spawn_blocking(move || drop(staged)).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.watched {
            self.launched.tree.kill();
        }
    }
}

fn prepare(platform: &dyn Platform, folder: &Path, spec: &RunSpec) -> Result<Held, StartError> {
    match spec.run_as {
        RunAs::System => {}
        RunAs::User => return Err(StartError::RunAsUnsupported("user")),
        RunAs::SystemGui => return Err(StartError::RunAsUnsupported("system_gui")),
    }
    let own = std::env::vars_os().filter_map(|(name, value)| {
        // What is no text can't be passed on as text; a script has no use for it either.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let env = environment(own, &spec.env, &spec.request_id)?;
    let cwd = spec.cwd.as_deref().map(working_folder).transpose()?;
    let shell = spec.shell.as_str();
    let path = env
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
    let program = platform
        .find_program(shell, path.map(|(_, value)| value.as_str()))
        .ok_or(StartError::ShellMissing(shell))?;
    let staged = script::stage(folder, spec)?;
    let launch = Launch {
        run: spec.request_id.clone(),
        program,
        args: staged.args.clone(),
        env,
        cwd,
        stdin: staged.stdin.clone(),
    };
    let launched = platform.launch(&launch).map_err(|source| {
        let program = launch.program.to_string_lossy().into_owned();
        StartError::Spawn { program, source }
    })?;
    Ok(Held {
        launched,
        staged: Some(staged),
        watched: false,
    })
}

fn working_folder(text: &str) -> Result<PathBuf, StartError> {
    let path = PathBuf::from(text);
    if text.contains('\0') {
        return Err(StartError::NulCharacter("the working folder".to_owned()));
    }
    if !path.is_absolute() {
        return Err(StartError::FolderRelative(text.to_owned()));
    }
    if !path.is_dir() {
        return Err(StartError::FolderMissing(text.to_owned()));
    }
    Ok(path)
}

/// Takes a stream until its end; an error counts as one, and what came before is kept.
async fn pump(
    stream: Option<impl AsyncRead + Unpin>,
    capture: &mut Capture,
    tail: &TailBuffer,
    which: OutputStream,
) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        capture.push(&buffer[..count]);
        tail.push(which, &buffer[..count]);
    }
}

/// Comes back when a stop is asked for; never, if nobody is left to ask.
async fn stopped(stop: &mut watch::Receiver<Option<StopKind>>) -> StopKind {
    loop {
        if let Some(kind) = *stop.borrow_and_update() {
            return kind;
        }
        if stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until the program and all of its group have gone.
async fn group_end(child: &mut Child, tree: &dyn ProcessTree) {
    // A failed wait is looked into by the wait after the kill.
    let _ = child.wait().await;
    while tree.group_alive() {
        sleep(GROUP_POLL).await;
    }
}

/// Kills the tree on the blocking pool and says how many could not be killed.
async fn kill(tree: &Arc<dyn ProcessTree>) -> usize {
    let tree = Arc::clone(tree);
    let task = tokio::task::spawn_blocking(move || tree.kill());
    task.await.map_or(0, |leftovers| leftovers.survivors)
}

fn exited(status: io::Result<ExitStatus>) -> HowEnded {
    // The system lost the child's status (somebody else waited for it): it ended, how is unknown.
    let Ok(status) = status else {
        return HowEnded::Exited {
            code: None,
            signal: None,
        };
    };
    HowEnded::Exited {
        code: status.code(),
        signal: signal_of(status),
    }
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}
