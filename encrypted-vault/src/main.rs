//! Command line entry of the encrypted-vault.

fn main() -> std::process::ExitCode {
    encrypted_vault::cli::main()
}
