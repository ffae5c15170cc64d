//! The simulated fleet.

fn main() -> std::process::ExitCode {
    kanade_sim::cli::main()
}
