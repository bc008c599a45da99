//! What is remembered of a container, and what is told of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cgroup::Cgroups;
use super::client::Client;
use super::directory::Container;
use super::process::ProcessRef;
use crate::sandbox::{Answer, Request};
use crate::spec;

/// state.json.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The version of this file's form.
    pub(crate) form: u32,
    /// The container's name.
    pub(crate) id: String,
    /// The bundle's directory; absolute.
    pub(crate) bundle: PathBuf,
    /// The root directory; absolute.
    pub(crate) rootfs: PathBuf,
    /// When it was made, RFC 3339.
    pub(crate) created: String,
    /// Who made it: a user id, as shown by `list`.
    pub(crate) owner: u32,
    /// The bundle's annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Its cgroups, made or about to be made.
    pub(crate) cgroups: Cgroups,
    /// The sandbox's process; `None`: none was started.
    pub(crate) process: Option<ProcessRef>,
    /// Whether it can be started: nothing of `create` is left to be done.
    pub(crate) complete: bool,
}

/// The present form of state.json.
pub(crate) const FORM: u32 = 1;

/// What a container is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// `create` is not done, and may never be.
    Creating,
    /// It waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its program was stopped by `pause`.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl Status {
    /// As clients know it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Record {
    /// What the container is doing, as its process says itself.
    pub(crate) fn status(&self, container: &Container) -> Status {
        match self.process {
            None => return Status::Creating,
            Some(process) if !process.is_alive() => return Status::Stopped,
            // It is on its last steps.
            Some(_) if container.exit().is_some() => return Status::Stopped,
            Some(_) => {}
        }
        if self.cgroups.is_frozen() {
            return Status::Paused;
        }
        let answer = match Client::connect(container) {
            Ok(Some(mut client)) => client.ask(&Request::State),
            Ok(None) => return Status::Creating,
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(Answer::State { started: true }) => Status::Running,
            Ok(_) if self.complete => Status::Created,
            Ok(_) => Status::Creating,
            // It may have ended while it was asked; a process that is too busy runs.
            Err(_) if self.process.is_some_and(ProcessRef::is_alive) => Status::Running,
            Err(_) => Status::Stopped,
        }
    }

    /// The process id that clients see: 0 once it has ended.
    pub(crate) fn pid(&self, status: Status) -> i32 {
        match (status, self.process) {
            (Status::Stopped, _) | (_, None) => 0,
            (_, Some(process)) => process.pid,
        }
    }

    /// What hooks get on their standard input: the specification's state.
    pub(crate) fn for_hooks(&self, status: Status) -> Value {
        let mut state = json!({
            "ociVersion": spec::VERSION,
            "id": self.id,
            "status": status.name(),
            "bundle": self.bundle,
            "annotations": self.annotations,
        });
        if let (Some(members), pid @ 1..) = (state.as_object_mut(), self.pid(status)) {
            members.insert("pid".to_owned(), pid.into());
        }
        state
    }

    /// What `state` and `list --format json` tell. `exit`: the program's status, if it has ended.
    pub(crate) fn for_clients(&self, status: Status, exit: Option<u8>) -> Value {
        let mut state = json!({
            "ociVersion": spec::VERSION,
            "id": self.id,
            "pid": self.pid(status),
            "status": status.name(),
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "annotations": self.annotations,
            "owner": "",
        });
        if let (Some(members), Some(exit)) = (state.as_object_mut(), exit) {
            members.insert("exitStatus".to_owned(), exit.into());
        }
        state
    }
}
