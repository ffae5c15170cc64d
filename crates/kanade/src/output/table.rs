//! Rows in every form of `-o`.
//!
//! Machines get everything there is, exact; people get what fits, short.

use serde::Serialize;

use super::Screen;
use super::paint::Tone;
use super::words::When;
use crate::failure::Failure;

/// How to show data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// All there is, as JSON
    Json,
    /// All there is, as YAML
    Yaml,
    /// Names or ids alone, one a line
    Name,
    /// All columns, exact
    Csv,
}

/// The `-o` flag.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct FormatArg {
    /// How to show it
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORM",
        default_value = "table"
    )]
    pub output: Format,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its head.
    pub title: &'static str,
    /// Only in wide tables and CSV.
    pub wide: bool,
}

/// A column that is always there.
pub(crate) const fn column(title: &'static str) -> Column {
    Column { title, wide: false }
}

/// A column of wide tables.
pub(crate) const fn wide(title: &'static str) -> Column {
    Column { title, wide: true }
}

/// A place in a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    shown: String,
    exact: Option<String>,
    tone: Tone,
}

impl Cell {
    /// A text that is the same for people and machines.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            shown: text.into(),
            ..Self::default()
        }
    }

    /// With another text for machines.
    pub(crate) fn exact(mut self, exact: impl Into<String>) -> Self {
        self.exact = Some(exact.into());
        self
    }

    /// In this tone.
    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// How long ago; a time for machines.
    pub(crate) fn age(at: Option<chrono::DateTime<chrono::Utc>>, when: &When) -> Self {
        match at {
            Some(at) => Self::new(when.age(at)).exact(at.to_rfc3339()),
            None => Self::new("-").exact(""),
        }
    }

    /// A text that may be absent.
    pub(crate) fn maybe(text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => Self::new(text),
            None => Self::new("-").exact(""),
        }
    }
}

/// Something that can be a row.
pub(crate) trait Row: Serialize {
    /// The columns.
    const COLUMNS: &'static [Column];
    /// A cell for each column.
    fn cells(&self, when: &When) -> Vec<Cell>;
    /// Its name, that other commands take.
    fn name(&self) -> String;
}

/// Shows rows.
///
/// # Errors
/// They can't be written in this form.
pub(crate) fn show_rows<T: Row>(
    screen: &Screen,
    rows: &[T],
    format: Format,
    when: &When,
) -> Result<(), Failure> {
    match format {
        Format::Table => screen.data(&table(rows, Columns::Usual, when, screen)),
        Format::Wide => screen.data(&table(rows, Columns::All, when, screen)),
        Format::Json | Format::Yaml => show_whole(screen, &rows, format)?,
        Format::Name => {
            let names: String = rows.iter().map(|row| row.name() + "\n").collect();
            screen.data(&names);
        }
        Format::Csv => screen.data(&csv_of(rows, when)?),
    }
    Ok(())
}

/// Shows one thing: whole for JSON and YAML, else as a row.
///
/// # Errors
/// As [`show_rows`].
pub(crate) fn show_one<T: Row>(
    screen: &Screen,
    row: &T,
    format: Format,
    when: &When,
) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Yaml => show_whole(screen, row, format),
        Format::Table | Format::Wide | Format::Name | Format::Csv => {
            show_rows(screen, std::slice::from_ref(row), format, when)
        }
    }
}

/// Shows a value as YAML, or JSON for every other form.
///
/// # Errors
/// It can't be written so.
pub(crate) fn show_whole<T: Serialize + ?Sized>(
    screen: &Screen,
    value: &T,
    format: Format,
) -> Result<(), Failure> {
    let text = if format == Format::Yaml {
        yaml(value)
    } else {
        json(value)
    }?;
    screen.data(&text);
    Ok(())
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::usage("could not write this as JSON").caused_by(&error))
}

fn yaml<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(&value)
        .map_err(|error| Failure::usage("could not write this as YAML").caused_by(&error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    Usual,
    All,
}

fn table<T: Row>(rows: &[T], columns: Columns, when: &When, screen: &Screen) -> String {
    let chosen: Vec<usize> = (0..T::COLUMNS.len())
        .filter(|&place| columns == Columns::All || !T::COLUMNS[place].wide)
        .collect();
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .force_no_tty();
    table.set_header(
        chosen
            .iter()
            .map(|&place| T::COLUMNS[place].title.to_uppercase()),
    );
    for row in rows {
        let cells = row.cells(when);
        table.add_row(chosen.iter().map(|&place| match cells.get(place) {
            Some(cell) => one_line(&cell.shown),
            None => String::new(),
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().enumerate().map(|(number, line)| {
        let line = line.trim_end();
        match number.checked_sub(1).and_then(|place| rows.get(place)) {
            Some(row) => in_tones(line, &row.cells(when), screen) + "\n",
            None => screen.paint.tone(Tone::Dim, line) + "\n",
        }
    });
    lines.collect()
}

/// Colours the cells of a line that was laid out without colours, so that they don't count as
/// width.
fn in_tones(line: &str, cells: &[Cell], screen: &Screen) -> String {
    let mut text = String::new();
    let mut rest = line;
    for cell in cells {
        let shown = one_line(&cell.shown);
        if let Some((before, after)) = rest.split_once(&shown)
            && before.trim().is_empty()
        {
            text.push_str(before);
            text.push_str(&screen.paint.tone(cell.tone, &shown));
            rest = after;
        }
    }
    text + rest
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn csv_of<T: Row>(rows: &[T], when: &When) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::usage("could not write this as CSV").caused_by(error)
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let titles = T::COLUMNS
        .iter()
        .map(|column| column.title.replace(' ', "_"));
    writer
        .write_record(titles)
        .map_err(|error| failed(&error))?;
    for row in rows {
        let cells = row.cells(when);
        let exact = cells
            .iter()
            .map(|cell| cell.exact.as_deref().unwrap_or(&cell.shown));
        writer.write_record(exact).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
