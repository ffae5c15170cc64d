//! `cargo xtask dev`: a fleet of one that follows the sources.
//!
//! The dashboard's development server runs beside it, with the operator's token: a change of a page
//! shows at once, and needs no restart.
//!
//! Looks at the times of the sources twice a second; that needs no library and no rights, and
//! costs some milliseconds. When a build fails the last good fleet keeps running.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::process::seconds;
use crate::stack::service::Service;
use crate::stack::{AgentPlan, OnlyOne, Plan, Ports, Stack};
use crate::web::Web;
use crate::workspace::Workspace;
use crate::{tools, up};

const LOOK_AGAIN: Duration = Duration::from_millis(500);
const WATCHED: [&str; 3] = ["crates", "Cargo.toml", "Cargo.lock"];

/// How long the development server may take to stop.
const SERVER_STOPS_WITHIN: Duration = Duration::from_secs(5);

/// What `cargo xtask dev` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    ports: Ports,
    /// Port of the dashboard's development server on 127.0.0.1
    #[arg(long, default_value_t = 5173)]
    web_port: u16,
    /// Leave the dashboard out, which needs Node.js
    #[arg(long)]
    no_dashboard: bool,
}

/// Rebuilds and restarts until Ctrl-C.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let _only_one = OnlyOne::take(workspace)?;
    let nats_server = tools::nats_server(workspace)?;
    let plan = Plan {
        workspace,
        home: workspace.fleet(),
        ports: arguments.ports,
        release: false,
        nats_server: nats_server.path,
        agents: vec![AgentPlan::THIS_PC],
    };
    let web = match arguments.no_dashboard {
        true => None,
        false => Some(Web::find(workspace)?),
    };
    if let Some(web) = &web {
        web.install()?;
    }
    let stop = up::stop_requests()?;
    let mut pages: Option<Service> = None;
    let mut running: Option<Stack> = None;
    let mut built = None;
    while !stop.load(Ordering::Relaxed) {
        let now = Sources::look(workspace.root());
        if built != Some(now) {
            built = Some(now);
            match up::build(false, None) {
                Ok(took) => {
                    println!("built in {}", seconds(took));
                    running = restart(&plan, running);
                }
                Err(error) => println!("{error:#}; the next change is tried again"),
            }
        } else if let Some(Err(error)) = running.as_mut().map(Stack::must_run) {
            println!("{error:#}; it starts again with the next change");
            running = None;
        }
        // Once a backend has made the token that it needs.
        if let (Some(web), None, Some(_)) = (&web, &pages, &running) {
            pages = Some(serve_pages(&plan, web, arguments.web_port)?);
        }
        if let Some(pages) = &mut pages {
            pages.must_run()?;
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn serve_pages(plan: &Plan<'_>, web: &Web, port: u16) -> Result<Service> {
    let path = plan.token_file();
    let token = fs::read_to_string(&path)
        .with_context(|| format!("could not read `{}`", path.display()))?;
    let mut command = web.dev_server(port, &plan.url(), token.trim());
    let service = Service::start("pages", &mut command, &plan.logs(), SERVER_STOPS_WITHIN)?;
    println!("the dashboard is at http://127.0.0.1:{port}, as its sources are");
    Ok(service)
}

fn restart(plan: &Plan<'_>, running: Option<Stack>) -> Option<Stack> {
    if let Some(stack) = running {
        stack.stop();
    }
    match plan.start() {
        Ok(stack) => {
            println!("running at {}; Ctrl-C stops it", plan.url());
            Some(stack)
        }
        Err(error) => {
            println!("{error:#}; it starts again with the next change");
            None
        }
    }
}

/// What is compared between two looks: a change of any file changes one of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sources {
    files: usize,
    newest: SystemTime,
}

impl Sources {
    fn look(root: &Path) -> Self {
        let mut sources = Self {
            files: 0,
            newest: SystemTime::UNIX_EPOCH,
        };
        for path in WATCHED {
            sources.add(&root.join(path));
        }
        sources
    }

    fn add(&mut self, path: &Path) {
        // What vanishes between two calls is a change that the next look sees.
        let Ok(metadata) = fs::metadata(path) else {
            return;
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| self.add(&entry.path()));
        } else {
            self.files += 1;
            self.newest = self
                .newest
                .max(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_a_changed_and_a_deleted_source_are_seen() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str| root.path().join("crates").join(name);
        fs::create_dir(root.path().join("crates")).unwrap();
        fs::write(file("a.rs"), "").unwrap();
        let first = Sources::look(root.path());
        assert_eq!(first, Sources::look(root.path()));
        fs::write(file("b.rs"), "").unwrap();
        let second = Sources::look(root.path());
        assert_ne!(first, second);
        let later = second.newest + Duration::from_secs(1);
        fs::File::options()
            .write(true)
            .open(file("a.rs"))
            .unwrap()
            .set_modified(later)
            .unwrap();
        let third = Sources::look(root.path());
        assert_ne!(second, third);
        fs::remove_file(file("b.rs")).unwrap();
        assert_ne!(third, Sources::look(root.path()));
    }
}
