//! `ringfence spec`: an example of a configuration.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use platform::host::setup;

use super::Failure;
use crate::spec;

/// Writes an example of a bundle's configuration, config.json.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle's directory.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,

    /// For a user who is not root: a user namespace in which root is the caller.
    #[arg(long)]
    rootless: bool,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let path = arguments.bundle.join(spec::CONFIG);
    let failed =
        |error: std::io::Error| Failure::own(format!("cannot write `{}`: {error}", path.display()));
    let (uid, gid, _) = setup::current_ids();
    let example = spec::example(arguments.rootless.then_some((uid, gid)));
    let mut text = serde_json::to_string_pretty(&example).map_err(|error| failed(error.into()))?;
    text.push('\n');
    let file = File::options().write(true).create_new(true).open(&path);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::own(format!(
                "File `{}` exists. Remove it first",
                path.display()
            )));
        }
        opened => opened.map_err(failed)?,
    };
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(0)
}
