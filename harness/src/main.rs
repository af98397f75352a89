//! The program `mirrorlab`: see [`mirrorlab::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    mirrorlab::cli::main()
}
