//! The backend.

fn main() -> std::process::ExitCode {
    kanade_backend::cli::main()
}
