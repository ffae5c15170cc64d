//! Puts the dashboard into the program: a table of the files in `web/dist`, made by
//! `cargo xtask web`.
//!
//! Release builds have it inside, and every build with `KANADE_EMBED_DASHBOARD` set (its value
//! names the files' state, so that another state builds again). Other builds read the folder when
//! they start: a change of a page then costs no compiler. Where there is no folder, there is no
//! dashboard, and the program builds all the same.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const EMBED: &str = "KANADE_EMBED_DASHBOARD";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={EMBED}");
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let folder =
        PathBuf::from(variable("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../web/dist");
    let release = variable("PROFILE").is_some_and(|profile| profile == "release");
    let out = PathBuf::from(variable("OUT_DIR").unwrap_or_default());
    let table = if release || variable(EMBED).is_some() {
        format!("Some(&[{}])", entries(&folder, &out)?)
    } else {
        "None".to_owned()
    };
    let text = format!("pub(super) const EMBEDDED: Option<&[(&str, &[u8])]> = {table};\n");
    fs::write(out.join("dashboard.rs"), text)
}

/// A line for each file below `folder`: its path in an address, and its bytes. They are copied, so
/// that a dashboard that is being built at the same time cannot take them away.
fn entries(folder: &Path, out: &Path) -> io::Result<String> {
    let mut lines = String::new();
    // One that is not there counts as changed at every build, so that it is seen when it comes.
    println!("cargo::rerun-if-changed={}", folder.display());
    if !folder.is_dir() {
        return Ok(lines);
    }
    let folder = folder.canonicalize()?;
    let mut files = Vec::new();
    walk(&folder, &mut files)?;
    files.sort();
    for (number, file) in files.iter().enumerate() {
        let path = file.strip_prefix(&folder).unwrap_or(file);
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let path = parts.join("/");
        let copy = out.join(format!("dashboard-{number}"));
        fs::copy(file, &copy)?;
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "({path:?}, include_bytes!({copy:?})),");
    }
    Ok(lines)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_none_or(|extension| extension != "map") {
            files.push(path);
        }
    }
    Ok(())
}
