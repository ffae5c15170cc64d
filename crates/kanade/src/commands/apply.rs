//! `kanade apply`: jobs from files.
//!
//! Everything is read and checked before anything is sent, so that a mistake in the last file
//! changes nothing.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use kanade_shared::api::catalogue::Applied;
use kanade_shared::id::JobId;
use serde::Serialize;

use super::group::changed;
use super::script::decoded;
use crate::cli::Global;
use crate::client::Written;
use crate::failure::{Exit, Failure};
use crate::manifest::{self, Document};
use crate::output::Screen;
use crate::output::table::{Format, FormatArg, show_whole};
use crate::output::words;

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade apply -f job.yaml
  kanade apply -f fleet/ --dry-run            every .yaml and .yml below the folder
  kanade get job cleanup-temp -o yaml | sed s/1.4/1.5/ | kanade apply -f -

A file may hold several jobs, with `---` between them.")]
pub(crate) struct ApplyArgs {
    /// A file, a folder, or `-` for standard input; repeat it for more
    #[arg(short, long, value_name = "FILE", required = true)]
    pub file: Vec<PathBuf>,
    /// Change nothing, say what would be
    #[arg(long)]
    pub dry_run: bool,
    /// How to show it.
    #[command(flatten)]
    pub format: FormatArg,
}

/// What became of one job.
#[derive(Debug, Serialize)]
struct AppliedJob {
    job_id: JobId,
    #[serde(flatten)]
    applied: Applied,
}

struct Wanted {
    job: JobId,
    yaml: String,
    from: String,
}

/// Applies the files.
///
/// # Errors
/// A file is wrong (and nothing was changed), or the backend refuses or can't be reached.
pub(crate) async fn run(
    args: &ApplyArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut jobs = Vec::new();
    let mut wrong = Vec::new();
    for file in files(&args.file)? {
        let name = shown_name(&file);
        read(&name, &text_of(&file)?, &mut jobs, &mut wrong);
    }
    wrong.extend(twice(&jobs));
    if !wrong.is_empty() {
        for failure in &wrong {
            screen.failure(failure);
        }
        screen.words("nothing was changed");
        return Ok(Exit::Usage);
    }
    if jobs.is_empty() {
        return Err(Failure::usage("there are no jobs in what was given"));
    }
    let client = global.client()?;
    let query = if args.dry_run { "?dry_run=true" } else { "" };
    let mut done = Vec::new();
    let all = jobs.len() as u64;
    for Wanted { job, yaml, from } in jobs {
        screen
            .progress()
            .show(done.len() as u64, all, &format!("job/{job}"));
        let path = format!("jobs/{job}{query}");
        let applied: Result<Applied, Failure> = client.put(&path, Written::Yaml(&yaml), None).await;
        let applied = applied.map_err(|failure| failure.in_field(from))?;
        if matches!(args.format.output, Format::Table | Format::Wide) {
            let would = if args.dry_run { "would be " } else { "" };
            screen.data(&format!("job/{job} {would}{}", changed(applied.change)));
        }
        done.push(AppliedJob {
            job_id: job,
            applied,
        });
    }
    match args.format.output {
        Format::Json | Format::Yaml => show_whole(screen, &done, args.format.output)?,
        Format::Name => {
            screen.data(
                &done
                    .iter()
                    .map(|job| format!("{}\n", job.job_id))
                    .collect::<String>(),
            );
        }
        Format::Csv => {
            let row =
                |job: &AppliedJob| format!("{},{}\n", job.job_id, changed(job.applied.change));
            screen.data(&format!(
                "job,change\n{}",
                done.iter().map(row).collect::<String>()
            ));
        }
        Format::Table | Format::Wide => {}
    }
    Ok(Exit::Ok)
}

fn read(name: &str, text: &str, jobs: &mut Vec<Wanted>, wrong: &mut Vec<Failure>) {
    let mut shown = String::new();
    let (mut many, mut first) = (0, None);
    for document in manifest::documents(text) {
        match manifest::check(document.text) {
            Ok(job) => jobs.push(Wanted {
                job,
                yaml: document.text.to_owned(),
                from: format!("{name}:{}", document.line + 1),
            }),
            Err(mistakes) => {
                many += mistakes.len() as u64;
                first = first.or_else(|| mistakes.first().map(|m| place(document, m)));
                shown.push_str(&manifest::show(document, &mistakes));
            }
        }
    }
    if many > 0 {
        let problems = words::count(many, "problem");
        let (line, column) = first.unwrap_or_default();
        let at = if line > 0 {
            format!(":{line}:{column}")
        } else {
            String::new()
        };
        wrong.push(Failure::usage(format!("{problems} in {name}{at}")).shown(shown));
    }
}

fn place(document: Document<'_>, mistake: &manifest::Mistake) -> (usize, usize) {
    match mistake.line {
        0 => (0, 0),
        line => (document.line + line, mistake.column),
    }
}

/// A job that is there more than once: which one would win is nobody's wish.
fn twice(jobs: &[Wanted]) -> Vec<Failure> {
    let mut known: BTreeMap<&JobId, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Wanted { job, from, .. } in jobs {
        if let Some(other) = known.insert(job, from) {
            let title = format!("job `{job}` is there twice");
            wrong.push(Failure::usage(title).in_field(format!("{other} and {from}")));
        }
    }
    wrong
}

fn shown_name(file: &Path) -> String {
    match file.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => file.display().to_string(),
    }
}

/// The files that are meant, those of a folder in the order of their names.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = files.len();
            below(path, &mut files)?;
            if files.len() == before {
                let title = format!("there is no .yaml or .yml file in {}", path.display());
                return Err(Failure::usage(title));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("could not read the folder {}", folder.display())).caused_by(&error)
    };
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(failed)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let yaml = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml");
        // Links to folders are not followed: they may lead in circles.
        match (hidden, kind.is_dir()) {
            (true, _) => {}
            (false, true) => below(&path, files)?,
            (false, false) if yaml => files.push(path),
            (false, false) => {}
        }
    }
    Ok(())
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::usage(format!("could not read {}", shown_name(file))).caused_by(error)
    };
    let bytes = match file.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().read_to_end(&mut bytes);
            read.map(|_| bytes)
        }
        _ => std::fs::read(file),
    };
    decoded(&bytes.map_err(|error| failed(&error))?).ok_or_else(|| {
        Failure::usage(format!("{} is not UTF-8 text", shown_name(file)))
            .help("save it as UTF-8 and apply it again")
    })
}

#[cfg(test)]
mod tests;
