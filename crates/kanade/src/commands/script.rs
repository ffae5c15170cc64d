//! From words, a file or standard input to a script; pure but for the reading.

use std::io::Read as _;
use std::path::Path;

use kanade_shared::wire::command::Shell;

use crate::failure::Failure;

/// The shell's word on the command line.
///
/// # Errors
/// No such shell, as clap shows it.
pub(crate) fn parse_shell(word: &str) -> Result<Shell, String> {
    let known = || Shell::ALL.map(Shell::as_str);
    Shell::ALL
        .into_iter()
        .find(|shell| shell.as_str() == word)
        .ok_or_else(|| format!("one of: {}", known().join(", ")))
}

/// The shell that a file's name asks for; `None` when it asks for none.
pub(crate) fn shell_of(file: &Path) -> Option<Shell> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "sh" => Some(Shell::Sh),
        "bash" => Some(Shell::Bash),
        "ps1" => Some(Shell::Powershell),
        "cmd" | "bat" => Some(Shell::Cmd),
        _ => None,
    }
}

/// A script that does what these words say. One word is a script as it stands; of several, each
/// stays one word, whatever is in it.
pub(crate) fn of_words(words: &[String], shell: Shell) -> String {
    if let [script] = words {
        return script.clone();
    }
    let quoted = |quote: fn(&str) -> String| {
        words
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    match shell {
        Shell::Sh | Shell::Bash => quoted(quote_posix),
        Shell::Cmd => quoted(quote_cmd),
        Shell::Pwsh | Shell::Powershell => {
            let line = quoted(quote_powershell);
            if line.starts_with('\'') {
                format!("& {line}")
            } else {
                line
            }
        }
    }
}

fn plain(word: &str, also: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || also.contains(c);
    !word.is_empty() && word.chars().all(plain)
}

fn quote_posix(word: &str) -> String {
    match plain(word, "-_./:=@%+,") {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn quote_powershell(word: &str) -> String {
    match plain(word, "-_./:\\") {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "''")),
    }
}

fn quote_cmd(word: &str) -> String {
    match word.is_empty() || word.contains([' ', '\t', '&', '|', '<', '>', '^', '(', ')']) {
        true => format!("\"{}\"", word.replace('"', "\"\"")),
        false => word.to_owned(),
    }
}

/// A script in a file; `-` is standard input.
///
/// # Errors
/// It can't be read, or is not text.
pub(crate) fn of_file(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let failed = |error: &std::io::Error| {
        Failure::usage(format!("could not read the script in {name}")).caused_by(error)
    };
    let bytes = match file.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().read_to_end(&mut bytes);
            read.map(|_| bytes)
        }
        _ => std::fs::read(file),
    };
    let text = decoded(&bytes.map_err(|error| failed(&error))?).ok_or_else(|| {
        Failure::usage(format!("the script in {name} is not UTF-8 text"))
            .help("save it as UTF-8; a program belongs on the PCs, not into a script")
    })?;
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("the script in {name} is empty")));
    }
    Ok(text)
}

/// The text in a file, without the mark that editors on Windows put in front and no reader of it
/// wants; that mark says whether it is UTF-16, as PowerShell ISE saves it.
pub(super) fn decoded(bytes: &[u8]) -> Option<String> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => std::str::from_utf8(rest).ok().map(str::to_owned),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(units.iter().copied().map(unit)).collect::<Result<_, _>>();
    text.ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(words: &[&str], shell: Shell) -> String {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        of_words(&words, shell)
    }

    #[test]
    fn one_word_is_a_script_and_several_stay_words() {
        assert_eq!(
            script(&["echo $HOME | wc -c"], Shell::Sh),
            "echo $HOME | wc -c"
        );
        assert_eq!(script(&["df", "-h", "/"], Shell::Sh), "df -h /");
        assert_eq!(
            script(&["sh", "-c", "echo it's"], Shell::Bash),
            r"sh -c 'echo it'\''s'"
        );
        assert_eq!(script(&["echo", ""], Shell::Sh), "echo ''");
        let get = ["Get-Service", "-Name", "Print Spooler"];
        assert_eq!(
            script(&get, Shell::Pwsh),
            "Get-Service -Name 'Print Spooler'"
        );
        let run = [r"C:\Program Files\x.exe", "it's"];
        assert_eq!(
            script(&run, Shell::Powershell),
            r"& 'C:\Program Files\x.exe' 'it''s'"
        );
        assert_eq!(script(&["dir", r"C:\a b"], Shell::Cmd), "dir \"C:\\a b\"");
    }

    #[test]
    fn a_file_says_its_shell_by_its_name() {
        let shell = |name: &str| shell_of(Path::new(name));
        assert_eq!(shell("x.ps1"), Some(Shell::Powershell));
        assert_eq!(shell("x.SH"), Some(Shell::Sh));
        assert_eq!(shell("x.bat"), Some(Shell::Cmd));
        assert_eq!(shell("x"), None);
        assert_eq!(shell("-"), None);
    }

    #[test]
    fn a_script_file_is_text_with_something_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.ps1");
        std::fs::write(&file, "\u{feff}Get-Date\r\n").unwrap();
        assert_eq!(of_file(&file).unwrap(), "Get-Date\r\n");
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            let text = "\u{feff}echo 'grün 🌳'\r\n";
            let bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(of_file(&file).unwrap(), "echo 'grün 🌳'\r\n");
        }
        std::fs::write(&file, [0xff, 0xfe, 0]).unwrap();
        assert!(
            of_file(&file)
                .unwrap_err()
                .title()
                .ends_with("is not UTF-8 text")
        );
        std::fs::write(&file, " \n").unwrap();
        assert!(of_file(&file).unwrap_err().title().ends_with("is empty"));
        assert_eq!(
            of_file(&folder.path().join("none"))
                .unwrap_err()
                .exit()
                .code(),
            2
        );
    }
}
