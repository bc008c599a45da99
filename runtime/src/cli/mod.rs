//! The command line: one file per verb, each its arguments and a short `run`
//! that returns an exit status.

mod create;
mod delete;
mod r#do;
mod doctor;
mod events;
mod exec;
mod features;
mod globals;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use globals::Globals;

/// Runs untrusted Linux programs on a kernel of its own.
///
/// The program sees a complete Linux, but none of its system calls reaches the
/// host's kernel: they are answered by ringfence, an ordinary process that has
/// given up everything it does not need.
#[derive(Debug, Parser)]
#[command(
    name = "ringfence",
    version,
    max_term_width = 100,
    after_help = "Try: ringfence do -- bash -c 'id; uname -a; touch /etc/gone-afterwards'"
)]
struct Arguments {
    #[command(flatten)]
    globals: Globals,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs one command in a sandbox on this machine's own files, or on a root directory.
    Do(r#do::Arguments),
    /// Says what this host offers to sandboxes, and what it lacks.
    Doctor(doctor::Arguments),
    /// Writes an example of a bundle's configuration, config.json.
    Spec(spec::Arguments),
    /// Makes a container of a bundle; its program waits for `start`.
    Create(create::Arguments),
    /// Starts the program of a container that was made.
    Start(start::Arguments),
    /// Makes a container of a bundle, runs its program, and removes it.
    Run(run::Arguments),
    /// Tells of a container, as JSON.
    State(state::Arguments),
    /// Runs another program in a container.
    Exec(Box<exec::Arguments>),
    /// Sends a signal to a container's program.
    Kill(kill::Arguments),
    /// Removes a container.
    Delete(delete::Arguments),
    /// Lists all containers.
    List(list::Arguments),
    /// Lists the processes of a container.
    Ps(ps::Arguments),
    /// Stops all processes of a container.
    Pause(pause::Arguments),
    /// Has the processes of a paused container go on.
    Resume(pause::Arguments),
    /// Tells what a container uses, as JSON.
    Events(events::Arguments),
    /// Changes a container's limits.
    Update(Box<update::Arguments>),
    /// Says what is supported, as JSON.
    Features,
}

/// The exit status for a mistake in ringfence's own use or a failure of its own,
/// as env(1), nohup(1) and timeout(1) have it.
pub(crate) const OWN_FAILURE: u8 = 125;

/// The exit status for a command that is there but cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;

/// The exit status for a command that is not there.
pub(crate) const NOT_FOUND: u8 = 127;

/// Parses the command line and runs the verb.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Prints help to stdout and mistakes to stderr.
            let _ = error.print();
            let help = !error.use_stderr();
            return ExitCode::from(if help { 0 } else { OWN_FAILURE });
        }
    };
    let globals = &arguments.globals;
    let (status, own_failure) = match arguments.verb {
        Verb::Do(arguments) => (r#do::run(arguments), None),
        Verb::Doctor(arguments) => (doctor::run(&arguments), None),
        // Runtimes end with 1 if they fail, whatever fails, and `exec` with 255.
        Verb::Exec(arguments) => (globals.told(|| exec::run(*arguments, globals)), Some(255)),
        verb => (globals.told(|| container_verb(verb, globals)), Some(1)),
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            say(&failure.message);
            ExitCode::from(own_failure.unwrap_or(failure.status))
        }
    }
}

fn container_verb(verb: Verb, globals: &Globals) -> Result<u8, Failure> {
    match verb {
        Verb::Spec(arguments) => spec::run(&arguments),
        Verb::Create(arguments) => create::run(arguments, globals),
        Verb::Start(arguments) => start::run(&arguments, globals),
        Verb::Run(arguments) => run::run(arguments, globals),
        Verb::State(arguments) => state::run(&arguments, globals),
        Verb::Kill(arguments) => kill::run(&arguments, globals),
        Verb::Delete(arguments) => delete::run(&arguments, globals),
        Verb::List(arguments) => list::run(&arguments, globals),
        Verb::Ps(arguments) => ps::run(&arguments, globals),
        Verb::Pause(arguments) => pause::run(&arguments, globals, pause::To::Pause),
        Verb::Resume(arguments) => pause::run(&arguments, globals, pause::To::Resume),
        Verb::Events(arguments) => events::run(&arguments, globals),
        Verb::Update(arguments) => update::run(&arguments, globals),
        Verb::Features => features::run(),
        Verb::Do(_) | Verb::Doctor(_) | Verb::Exec(_) => {
            Err(Failure::own("not a container's verb"))
        }
    }
}

/// Prints on standard output. Who closed it does not want to read.
pub(crate) fn show(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Why a verb could not do its work: one line for a person, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was tried, on what, the reason, and what to do.
    pub(crate) message: String,
    /// The exit status.
    pub(crate) status: u8,
}

impl Failure {
    /// A failure of ringfence's own.
    pub(crate) fn own(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: OWN_FAILURE,
        }
    }

    /// Where the mistake is.
    pub(crate) fn in_file(mut self, file: &std::path::Path) -> Self {
        self.message = format!("`{}`: {}", file.display(), self.message);
        self
    }
}

/// One line on stderr, in ringfence's name. A closed stderr is no reason to fail.
#[expect(clippy::print_stderr, reason = "the command line is where people read")]
pub(crate) fn say(message: &str) {
    eprintln!("ringfence: {message}");
}
