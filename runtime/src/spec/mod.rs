//! An OCI bundle: its configuration, checked, and what a sandbox makes of it.
//!
//! `load` reads config.json, which is user input: a mistake in it is told with its place.
//! `check` goes through every field that a sandbox treats otherwise than a container would be
//! treated, and refuses it or warns by name; so does the rest for what it reads. Nothing is
//! ignored in silence.

mod check;
mod example;
mod mounts;
mod plan;
mod process;
mod seccomp;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::cli::Failure;
use crate::log::Log;

pub(crate) use check::mount_options;
pub(crate) use example::example;
pub(crate) use plan::{Choices, plan};
pub(crate) use process::process;

/// The version of the specification.
pub(crate) const VERSION: &str = "1.2.0";

/// The configuration's name in a bundle.
pub(crate) const CONFIG: &str = "config.json";

/// Longest configuration in bytes.
const CONFIG_MAX: u64 = 16 << 20;

/// A directory with a configuration.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// What it asks for.
    pub(crate) spec: Spec,
}

/// Reads the configuration of the bundle at `path`, and checks it.
pub(crate) fn load(path: &Path, log: &Log) -> Result<Bundle, Failure> {
    let path = std::path::absolute(path)
        .and_then(|path| path.canonicalize())
        .map_err(|error| {
            Failure::own(format!(
                "cannot use the bundle `{}`: {error}",
                path.display()
            ))
        })?;
    let config = path.join(CONFIG);
    let text = read(&config)?;
    let spec = parse(&text, &config, log)?;
    check::check(&spec, log).map_err(|failure| failure.in_file(&config))?;
    Ok(Bundle { path, spec })
}

fn read(config: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::own(format!(
            "JSON specification file {CONFIG} not found: there is no `{}`; make one with \
             `ringfence spec`",
            config.display()
        )),
        _ => Failure::own(format!("cannot read `{}`: {error}", config.display())),
    };
    let mut text = Vec::new();
    let file = File::open(config).map_err(failed)?;
    file.take(CONFIG_MAX.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(failed)?;
    if base::num::u64_of(text.len()) > CONFIG_MAX {
        return Err(Failure::own(format!(
            "`{}` is longer than {CONFIG_MAX} bytes",
            config.display()
        )));
    }
    Ok(text)
}

/// Parses a configuration; fields that nobody knows are told.
fn parse(text: &[u8], config: &Path, log: &Log) -> Result<Spec, Failure> {
    let mut unknown = Vec::new();
    let parsed = from_json(text, |field| unknown.push(field));
    let spec = parsed.map_err(|message| {
        Failure::own(format!("`{}` is not right: {message}", config.display()))
    })?;
    for field in unknown {
        log.warn(&format!("{CONFIG}: unknown field `{field}` is ignored"));
    }
    Ok(spec)
}

/// A value from its JSON: `Err` names the field and what is wrong; `unknown` gets fields that
/// the type does not have.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    text: &[u8],
    mut unknown: impl FnMut(String),
) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let located = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let value = serde_ignored::deserialize(located, |path| unknown(path.to_string()));
    let value = value.map_err(|error| match track.path().to_string().as_str() {
        "." => error.to_string(),
        path => format!("`{path}`: {error}"),
    })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(value)
}
