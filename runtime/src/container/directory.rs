//! The directories that containers are remembered in, and the locks on them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::state::{FORM, Record};
use crate::cli::Failure;

const STATE: &str = "state.json";
const SOCKET: &str = "control.sock";
const EXIT: &str = "exit";

/// Longest state.json in bytes that is read.
const STATE_MAX: u64 = 4 << 20;

/// Longest name of a container.
const ID_MAX: usize = 1024;

/// Where containers are remembered unless `--root` says otherwise.
pub(crate) fn default_root() -> PathBuf {
    let (uid, ..) = platform::host::setup::current_ids();
    if uid == 0 && !in_user_namespace() {
        return "/run/ringfence".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(own) => Path::new(&own).join("ringfence"),
        None if uid == 0 => "/run/ringfence".into(),
        None => std::env::temp_dir().join(format!("ringfence-{uid}")),
    }
}

/// Whether root here is somebody else outside, as under rootless clients: not all ids are
/// mapped.
fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let ranges = platform::host::setup::parse_id_map(&map);
    ranges.is_some_and(|ranges| ranges != [(0, 0, u32::MAX)])
}

/// A container's directory, by name: nothing says that it exists.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Its name.
    pub(crate) id: String,
    path: PathBuf,
}

/// A container's directory that is locked by this process.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its name and place.
    pub(crate) container: Container,
    directory: File,
}

impl Container {
    /// The one named `id`. `Err` if that is no name.
    pub(crate) fn new(root: &Path, id: &str) -> Result<Self, Failure> {
        let fits =
            |character: char| character.is_ascii_alphanumeric() || "_+-.".contains(character);
        if id.is_empty() || id.len() > ID_MAX || !id.chars().all(fits) || id == "." || id == ".." {
            return Err(Failure::own(format!(
                "invalid container ID format: `{}`; letters, digits and _ + - . make one",
                id.escape_debug()
            )));
        }
        Ok(Self {
            id: id.to_owned(),
            path: root.join(id),
        })
    }

    /// Makes the directory, which claims the name, and locks it.
    pub(crate) fn claim(self) -> Result<Held, Failure> {
        let failed = |error: io::Error| {
            Failure::own(format!(
                "cannot make the state directory `{}`: {error}; name another with --root",
                self.path.display()
            ))
        };
        if let Some(root) = self.path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o711);
            builder.create(root).map_err(failed)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::own(format!(
                    "container with given ID already exists: `{}`",
                    self.id
                )));
            }
            made => made.map_err(failed)?,
        }
        self.lock()?
            .ok_or_else(|| Failure::own("the state directory was removed meanwhile"))
    }

    /// Waits for the lock; `None` if there is no such container.
    pub(crate) fn lock(self) -> Result<Option<Held>, Failure> {
        loop {
            let Some(directory) = self.open()? else {
                return Ok(None);
            };
            directory.lock().map_err(|error| self.unusable(&error))?;
            // Whoever had the lock may have removed it, and another made one of this name.
            let held = directory
                .metadata()
                .map_err(|error| self.unusable(&error))?;
            match fs::metadata(&self.path) {
                Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                    return Ok(Some(Held {
                        container: self,
                        directory,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                _ => {}
            }
        }
    }

    /// The lock of a container that is to exist.
    pub(crate) fn must_lock(self) -> Result<Held, Failure> {
        let missing = self.missing();
        self.lock()?.ok_or(missing)
    }

    /// That there is no such container, in the words that clients look for.
    pub(crate) fn missing(&self) -> Failure {
        Failure::own(format!("container `{}` does not exist", self.id))
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::own(format!(
            "cannot use the state directory `{}`: {error}",
            self.path.display()
        ))
    }

    fn open(&self) -> Result<Option<File>, Failure> {
        match File::options()
            .read(true)
            .custom_flags(libc_directory())
            .open(&self.path)
        {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(&error)),
        }
    }

    /// What is remembered; `None` if it does not exist, or nothing was remembered yet.
    pub(crate) fn record(&self) -> Result<Option<Record>, Failure> {
        let Some(text) = self.read(STATE, STATE_MAX)? else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
            Failure::own(format!(
                "`{}` is not right: {error}; `delete --force` removes the container",
                self.path.join(STATE).display()
            ))
        })?;
        if record.form != FORM {
            return Err(Failure::own(format!(
                "`{}` was written by another version of ringfence",
                self.path.join(STATE).display()
            )));
        }
        Ok(Some(record))
    }

    /// The program's status, if it has ended.
    pub(crate) fn exit(&self) -> Option<u8> {
        let text = self.read(EXIT, 16).ok().flatten()?;
        String::from_utf8(text).ok()?.trim().parse().ok()
    }

    fn read(&self, name: &str, longest: u64) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path.join(name);
        let failed =
            |error: io::Error| Failure::own(format!("cannot read `{}`: {error}", path.display()));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut text = Vec::new();
        file.take(longest).read_to_end(&mut text).map_err(failed)?;
        Ok(Some(text))
    }

    /// A connection to the sandbox's process.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        let directory = self.open().ok().flatten().ok_or(io::ErrorKind::NotFound)?;
        UnixStream::connect(by_descriptor(&directory, SOCKET))
    }
}

impl Held {
    /// Remembers `record` in place of what was remembered.
    pub(crate) fn remember(&self, record: &Record) -> Result<(), Failure> {
        let path = &self.container.path;
        let failed = |error: io::Error| {
            Failure::own(format!(
                "cannot write `{}`: {error}",
                path.join(STATE).display()
            ))
        };
        let text = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        let new = path.join("state.json.new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&new, path.join(STATE)).map_err(failed)?;
        self.directory.sync_all().map_err(failed)
    }

    /// The control socket's listening end.
    pub(crate) fn listen(&self) -> Result<OwnedFd, Failure> {
        let listener = UnixListener::bind(by_descriptor(&self.directory, SOCKET));
        listener.map(OwnedFd::from).map_err(|error| {
            Failure::own(format!(
                "cannot make the control socket in `{}`: {error}",
                self.container.path.display()
            ))
        })
    }

    /// Where the program's status will stand.
    pub(crate) fn exit_file(&self) -> Result<File, Failure> {
        let path = self.container.path.join(EXIT);
        let mut options = File::options();
        options.write(true).create(true).mode(0o600);
        options
            .open(&path)
            .map_err(|error| Failure::own(format!("cannot make `{}`: {error}", path.display())))
    }

    /// Removes the directory, and with it the name.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        let path = &self.container.path;
        let failed = |error: io::Error| {
            Failure::own(format!(
                "cannot remove the state directory `{}`: {error}",
                path.display()
            ))
        };
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// All containers' directories below `root`, by name.
pub(crate) fn list(root: &Path) -> Result<Vec<Container>, Failure> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries
            .map_err(|error| Failure::own(format!("cannot read `{}`: {error}", root.display())))?,
    };
    let mut all: Vec<Container> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Container::new(root, entry.file_name().to_str()?).ok())
        .collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// A name in a directory that is open, however long the way to it: socket addresses have room
/// for 108 bytes.
fn by_descriptor(directory: &File, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()).into()
}

/// O_DIRECTORY.
fn libc_directory() -> i32 {
    arch::abi::OpenFlags::DIRECTORY.bits().cast_signed()
}
