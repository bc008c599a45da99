//! A guest thread: its registers, and the host thread that runs them.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use arch::abi::{Addr, Errno};
use arch::{FpState, Regs};

use super::exits::{Came, Meaning, Program};
use super::kick::Kick;
use super::machine::{self, Raised};
use super::refused;
use super::space::{Backed, Space};
use super::vcpus::{FpPlace, FpSlot, Vcpu};
use crate::host::kvm;
use crate::{AddressSpace, Context, Exit, Interrupter, PlatformError};

/// See the module.
pub(super) struct KvmContext {
    space: Arc<dyn AddressSpace>,
    regs: Regs,
    /// The last exit was a system call: the return register holds its number until
    /// somebody looks or answers.
    in_call: Option<u32>,
    /// FP and vector state, if the sentry has looked at it since the last exit.
    fp: Option<Box<FpState>>,
    /// It is newer than the virtual CPU's.
    fp_changed: bool,
    slot: Arc<FpSlot>,
    kick: Arc<Kick>,
    /// Signals reach a thread.
    _not_send: PhantomData<*const ()>,
}

impl KvmContext {
    /// A thread in `space`, all registers zero.
    pub(super) fn new(space: &Arc<dyn AddressSpace>) -> Result<Self, PlatformError> {
        let own = downcast(space)?;
        kvm::admit_kicks().map_err(refused("letting kicks through"))?;
        own.shared.vcpus.join();
        Ok(Self {
            space: Arc::clone(space),
            regs: Regs::new_program(Addr::NULL, Addr::NULL),
            in_call: None,
            fp: Some(Box::default()),
            fp_changed: true,
            slot: Arc::new(Mutex::new(FpPlace::Nowhere)),
            kick: Arc::new(Kick::new()),
            _not_send: PhantomData,
        })
    }

    /// Runs the program once. `None`: nothing happened that matters, run it again.
    fn run(&mut self) -> Result<Option<Exit>, PlatformError> {
        let space = Arc::clone(&self.space);
        let space = downcast(&space)?;
        let mut vcpu = space
            .shared
            .vcpus
            .take(&space.shared, &self.slot, self.kick.tid())?;
        let own = self.fp.take().filter(|_| self.fp_changed);
        self.fp_changed = false;
        let came = vcpu
            .bring_fp(&self.slot, own)
            .map(|()| self.run_on(space, &mut vcpu));
        let id = vcpu.id;
        match came {
            Ok(Some(Came::Broken(_))) => space.shared.vcpus.retire(&vcpu),
            _ => space.shared.vcpus.give(vcpu),
        }
        match came? {
            Some(came) => self.exit(space, id, came),
            None => Ok(Some(Exit::Interrupted)),
        }
    }

    /// Runs the program on `vcpu`. `None`: there was an interrupt before it could.
    fn run_on(&mut self, space: &Space, vcpu: &mut Vcpu) -> Option<Came> {
        vcpu.cpu.load(&self.regs, &space.regime);
        space.will_be_seen();
        let page = vcpu.page.clone();
        let mut midway = false;
        let came = loop {
            space.gate.wait();
            let _world = space.shared.run();
            self.kick.enter();
            let _armed = page.arm();
            if !midway && self.kick.take() {
                self.kick.leave();
                return None;
            }
            if space.shared.is_stopping() {
                continue;
            }
            let Some(_inside) = space.gate.enter(vcpu.id, self.kick.tid()) else {
                continue;
            };
            match vcpu.run(&space.regime, &mut self.regs) {
                Came::Again => midway = true,
                came => break came,
            }
        };
        self.kick.leave();
        Some(came)
    }

    /// What virtual CPU `vcpu` came back for.
    fn exit(
        &mut self,
        space: &Space,
        vcpu: usize,
        came: Came,
    ) -> Result<Option<Exit>, PlatformError> {
        self.in_call = None;
        match came {
            Came::Call { nr, args } => {
                self.in_call = Some(nr);
                Ok(Some(Exit::Syscall { nr, args }))
            }
            Came::Fault { at, access } => match space.backing(at, access, vcpu) {
                Backed::Yes => Ok(Some(Exit::Fault { at, access })),
                Backed::Again => Ok(None),
                Backed::No => Ok(Some(Exit::Exception(machine::bus_error(at)))),
            },
            Came::Raised(raised) => self.raised(raised),
            Came::Kicked => Ok(self.kick.take().then_some(Exit::Interrupted)),
            Came::Unbacked => {
                if space.drop_unbacked()? {
                    return Ok(None);
                }
                Err(broken("the host has no page for its memory".to_owned()))
            }
            Came::Again => Ok(None),
            Came::Broken(how) => Err(broken(how)),
        }
    }

    fn raised(&mut self, raised: Raised) -> Result<Option<Exit>, PlatformError> {
        let space = Arc::clone(&self.space);
        let setup = &downcast(&space)?.shared.setup;
        let mut regs = self.regs;
        let meaning = machine::meaning(setup, raised, &mut regs, self);
        self.regs = regs;
        match meaning {
            Meaning::Signal(exception) => Ok(Some(Exit::Exception(exception))),
            Meaning::Done => Ok(None),
            Meaning::Broken(how) => Err(broken(how)),
        }
    }

    /// FP and vector state: what is here already, or else a copy of what is in a virtual
    /// CPU or was saved from one.
    fn look_at_fp<'a>(
        fp: &'a mut Option<Box<FpState>>,
        space: &Arc<dyn AddressSpace>,
        slot: &Arc<FpSlot>,
        kick: &Kick,
    ) -> Result<&'a mut FpState, PlatformError> {
        if fp.is_none() {
            let shared = &downcast(space)?.shared;
            *fp = Some(shared.vcpus.fp_of(shared, slot, kick.tid())?);
        }
        Ok(fp.get_or_insert_default())
    }

    /// Makes the registers those of a thread in a system call.
    fn show_call(&mut self) {
        if let Some(nr) = self.in_call.take() {
            self.regs.set_syscall_number(nr);
            self.regs.set_return(Errno::ENOSYS.to_return());
        }
    }
}

impl Program for KvmContext {
    fn byte(&self, at: Addr) -> Option<u8> {
        downcast(&self.space).ok()?.read_byte(at)
    }

    fn fp(&mut self) -> Option<FpState> {
        self.fp_seen().ok().cloned()
    }
}

fn broken(how: String) -> PlatformError {
    PlatformError::Dead { how }
}

/// The platform's own type of a space.
pub(super) fn downcast(space: &Arc<dyn AddressSpace>) -> Result<&Space, PlatformError> {
    crate::own_space(space)
}

impl Context for KvmContext {
    fn switch(&mut self) -> Result<Exit, PlatformError> {
        self.show_call();
        self.regs.forget_syscall();
        self.regs.sanitize();
        loop {
            if let Some(exit) = self.run()? {
                return Ok(exit);
            }
        }
    }

    fn answer(&mut self, value: u64) {
        self.show_call();
        self.regs.set_return(value);
    }

    fn regs(&mut self) -> Result<&mut Regs, PlatformError> {
        self.show_call();
        Ok(&mut self.regs)
    }

    fn fp(&mut self) -> Result<&mut FpState, PlatformError> {
        let fp = Self::look_at_fp(&mut self.fp, &self.space, &self.slot, &self.kick)?;
        self.fp_changed = true;
        Ok(fp)
    }

    fn fp_seen(&mut self) -> Result<&FpState, PlatformError> {
        let fp = Self::look_at_fp(&mut self.fp, &self.space, &self.slot, &self.kick)?;
        Ok(fp)
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.kick.clone()
    }

    fn run_on(&mut self, cpus: &crate::host::CpuSet) {
        // EINVAL: the host has none of them.
        let _ = crate::host::set_affinity(0, cpus);
    }

    fn enter(&mut self, space: &Arc<dyn AddressSpace>) -> Result<(), PlatformError> {
        downcast(space)?;
        self.show_call();
        self.space = Arc::clone(space);
        Ok(())
    }
}

impl Drop for KvmContext {
    fn drop(&mut self) {
        if let Ok(space) = downcast(&self.space) {
            space.shared.vcpus.leave();
        }
    }
}
