//! The operator command line.

fn main() -> std::process::ExitCode {
    kanade::run()
}
