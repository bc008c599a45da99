//! Programs of the host that the bundle wants run on the way: with the container's state on
//! their standard input.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Hooks};
use serde_json::Value;

use crate::cli::Failure;
use crate::log::Log;

/// When hooks run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// The sandbox is ready, its program not started; what fails, fails `create`.
    Create,
    /// The program was started; what fails is told.
    Poststart,
    /// The container is gone; what fails is told.
    Poststop,
}

/// Runs the hooks of a moment, in order.
pub(crate) fn run(hooks: &Hooks, moment: Moment, state: &Value, log: &Log) -> Result<(), Failure> {
    let of = |name: &'static str, hooks: &Option<Vec<Hook>>| {
        let hooks = hooks.clone().unwrap_or_default();
        hooks.into_iter().map(move |hook| (name, hook))
    };
    let all: Vec<_> = match moment {
        Moment::Create => of("prestart", hooks.prestart())
            .chain(of("createRuntime", hooks.create_runtime()))
            .chain(of("createContainer", hooks.create_container()))
            .collect(),
        Moment::Poststart => of("poststart", hooks.poststart()).collect(),
        Moment::Poststop => of("poststop", hooks.poststop()).collect(),
    };
    for (name, hook) in all {
        let path = hook.path().display();
        log.info(&format!("running the {name} hook {path}"));
        if let Err(why) = run_one(&hook, state) {
            let message = format!("the {name} hook `{path}` failed: {why}");
            if moment == Moment::Create {
                return Err(Failure::own(message));
            }
            log.warn(&message);
        }
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &Value) -> Result<(), String> {
    if !hook.path().is_absolute() {
        return Err("its path is not absolute".to_owned());
    }
    let mut command = Command::new(hook.path());
    let mut args = hook.args().iter().flatten();
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env_clear();
    for line in hook.env().iter().flatten() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        command.env(name, value);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it may have ended.
        let _ = stdin.write_all(state.to_string().as_bytes());
    }
    let timeout = hook
        .timeout()
        .and_then(|seconds| u64::try_from(seconds).ok());
    let timeout = timeout
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    if let Some(timeout) = timeout {
        let deadline = Instant::now() + timeout;
        while child
            .try_wait()
            .map_err(|error| error.to_string())?
            .is_none()
        {
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it was ended after {} seconds", timeout.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", output.status, said.trim().escape_debug()))
}
