//! `mirrorlab completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, CliError, Exit, print};

/// The flags of `mirrorlab completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  mirrorlab completions bash > /etc/bash_completion.d/mirrorlab
  mirrorlab completions zsh > ~/.zfunc/_mirrorlab
  mirrorlab completions fish > ~/.config/fish/completions/mirrorlab.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: CompletionsArgs) -> Result<Exit, CliError> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mirrorlab", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Held)
}
