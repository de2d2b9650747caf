//! The `master-key-manager` program.

fn main() -> std::process::ExitCode {
    master_key_manager::cli::main()
}
