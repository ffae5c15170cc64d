//! The agent's program; all of it is in the library.

fn main() -> std::process::ExitCode {
    kanade_agent::cli::main()
}
