//! TRIPS.md: what it costs to leave a virtual machine.

use std::fmt::Write;

use benches::Measured;

use crate::plot::{Bar, Group, Panel, Plot};
use crate::results::Results;
use crate::{MACHINES, WAYS, number};

/// A kind of trip: the name that the example has for it, one for the plot, one for the
/// table, and what it is on arm64, on x86-64.
struct Trip {
    name: &'static str,
    short: &'static str,
    what: &'static str,
    arm64: &'static str,
    x86_64: &'static str,
}

const fn trip(
    [name, short]: [&'static str; 2],
    what: &'static str,
    arm64: &'static str,
    x86_64: &'static str,
) -> Trip {
    Trip {
        name,
        short,
        what,
        arm64,
        x86_64,
    }
}

const TRIPS: &[Trip] = &[
    trip(
        ["inside", "system call, no exit"],
        "system call to a kernel in the machine, no exit",
        "`svc`, `eret`",
        "`syscall`, `sysretq`",
    ),
    trip(
        ["host-kernel", "the host's kernel answers"],
        "instruction that the host's kernel carries out",
        "`hvc`",
        "`cpuid`",
    ),
    trip(
        ["call", "exit by hvc, hlt"],
        "exit by an instruction that is for it",
        "`hvc`",
        "`hlt`",
    ),
    trip(
        ["port-out", "exit by out"],
        "exit by a port, out",
        "",
        "`out`",
    ),
    trip(["port-in", "exit by in"], "exit by a port, in", "", "`in`"),
    trip(
        ["store", "exit by a store"],
        "exit by a store where there is no memory",
        "`strb`",
        "`mov`",
    ),
    trip(
        ["load", "exit by a load"],
        "exit by a load where there is no memory",
        "`ldrb`",
        "`mov`",
    ),
    trip(
        ["program", "program's system call"],
        "a program's system call that a stub hands out",
        "`svc`, `hvc`, `eret`",
        "`syscall`, `hlt`, `sysretq`",
    ),
    trip(
        ["program-set", "the same, registers set"],
        "the same, the host setting all registers to go on with",
        "",
        "`syscall`, `hlt`",
    ),
];

const HEAD: &str = "\
# Leaving a virtual machine, in instructions

Made by `benches/instructions`, in machines that QEMU emulates: one CPU, whose clock goes by the
instruction, so the figures do not depend on what else goes on. From run to run they differ by less
than one in a thousand. An instruction counts wherever it is executed: in the virtual machine, in its
host's kernel, in the program that runs it.

![The figures below as bars](trips.svg)

## Bare trips

A program that does nothing but KVM_RUN (`platform/examples/trips`); what one more trip in a row
costs. An *exit* is one to that program, and ends when the virtual machine runs again.

";

const UNWEIGHED: &str = "
**What these numbers do not weigh.** All instructions count the same. On hardware a change of
worlds costs what hundreds of instructions cost, and an exception that has to save and restore
another system's registers is dear, whatever the number of instructions: there VHE, with which the
host's kernel runs at EL2 itself, saves most, up to an order of magnitude for a call that the host's
kernel answers (Dall and others, \"Optimizing the Design and Implementation of the Linux ARM
Hypervisor\", USENIX ATC 2017). Nor do they weigh caches, the translation of addresses in two
stages, or on x86-64 VMRUN and #VMEXIT themselves, of which each exit there has one. QEMU's CPU has
no `nrip-save`, so KVM decodes `hlt` and `cpuid` to step over them, which real ones seldom need:
these rows are about 1,100 instructions above what hardware would count, `out` and `in` are not.

With VHE, registers of the virtual machine that the host does not use stay in the CPU from exit to
exit as long as the host's kernel answers, and are moved when the thread goes back to user space;
so by instructions such a call gains by VHE, an exit to user space does not.

## Exceptions of one trip on arm64

Each is a change of levels that the instructions above do not weigh; QEMU logs them (`-d int`). EL2
is the host's kernel with VHE, and only the hypervisor's small part of it without, which the
kernel at EL1 has to call to run the virtual machine, and which has to return to it.

";

const WHOLE: &str = "
## A system call of a sandboxed program

`getpid` in a loop, natively and in `ringfence do` on each platform: everything counts, the sentry's
own work too. See [ARCHITECTURES.md](ARCHITECTURES.md) for more than system calls.

";

/// The page; `all` are the machines' results in their order.
pub(crate) fn page(all: &[Results]) -> Measured<String> {
    let mut text = HEAD.to_owned();
    bare(&mut text, all)?;
    text.push_str(UNWEIGHED);
    exceptions(&mut text, all)?;
    text.push_str(WHOLE);
    whole(&mut text, all)?;
    text.push_str(&kernels(all));
    Ok(text)
}

/// The kernels' versions, in words.
pub(crate) fn kernels(all: &[Results]) -> String {
    let of = |place: usize| all.get(place).map_or("", |results| &results.kernel);
    format!(
        "\nKernels of the machines: Linux {} on arm64, {} on x86-64, as Debian builds them.\n",
        of(0),
        of(2)
    )
}

fn bare(text: &mut String, all: &[Results]) -> Measured<()> {
    let names: Vec<&str> = MACHINES.iter().map(|machine| machine.name).collect();
    writeln!(
        text,
        "| trip | on arm64 | on x86-64 | {} | VHE by no VHE |\n|---|---|---|{}---:|",
        names.join(" | "),
        "---:|".repeat(names.len())
    )?;
    for trip in TRIPS {
        let costs: Vec<Option<f64>> = all
            .iter()
            .map(|results| results.trips.get(trip.name).copied())
            .collect();
        let cell = |cost: &Option<f64>| cost.map_or(String::new(), number);
        let cells: Vec<String> = costs.iter().map(cell).collect();
        let ratio = match costs.as_slice() {
            [Some(vhe), Some(without), ..] => format!("{:.2}", vhe / without),
            _ => String::new(),
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {ratio} |",
            trip.what,
            trip.arm64,
            trip.x86_64,
            cells.join(" | ")
        )?;
    }
    Ok(())
}

fn exceptions(text: &mut String, all: &[Results]) -> Measured<()> {
    let [vhe, without, ..] = all else {
        return Err("machines are missing".into());
    };
    text.push_str("| trip | VHE | no VHE | to EL2, VHE / no VHE |\n|---|---|---|---:|\n");
    for trip in TRIPS {
        let both = (
            vhe.exceptions.get(trip.name),
            without.exceptions.get(trip.name),
        );
        if let (Some(vhe), Some(without)) = both {
            writeln!(
                text,
                "| {} | {} | {} | {:.0} / {:.0} |",
                trip.what,
                vhe.describe(),
                without.describe(),
                vhe.to("EL2"),
                without.to("EL2"),
            )?;
        }
    }
    Ok(())
}

fn whole(text: &mut String, all: &[Results]) -> Measured<()> {
    writeln!(text, "| machine | {} |", WAYS.join(" | "))?;
    writeln!(text, "|---|{}", "---:|".repeat(WAYS.len()))?;
    for (machine, results) in MACHINES.iter().zip(all) {
        let cells = WAYS.map(|way| {
            let cost = results.of("getpid", way);
            cost.map_or("not available".to_owned(), number)
        });
        writeln!(text, "| {} | {} |", machine.name, cells.join(" | "))?;
    }
    text.push_str(&absences(all));
    Ok(())
}

/// What could not be had, with reasons, if there is anything.
pub(crate) fn absences(all: &[Results]) -> String {
    let mut text = String::new();
    for (machine, results) in MACHINES.iter().zip(all) {
        for absent in &results.absent {
            let _ = write!(text, "\nNot available on {}: {absent}.\n", machine.name);
        }
    }
    text
}

/// Both tables as bars.
pub(crate) fn plot(all: &[Results]) -> Plot {
    let bars = |value: &dyn Fn(&Results) -> Option<f64>| {
        let bar = |(machine, results): (&crate::Machine, &Results)| {
            value(results).map(|value| Bar {
                colour: machine.colour,
                value,
            })
        };
        MACHINES.iter().zip(all).filter_map(bar).collect()
    };
    let trips = TRIPS.iter().map(|trip| Group {
        name: trip.short.to_owned(),
        bars: bars(&|results| results.trips.get(trip.name).copied()),
    });
    let ways = WAYS.iter().map(|way| Group {
        name: format!("getpid, {way}"),
        bars: bars(&|results| results.of("getpid", way)),
    });
    Plot {
        title: "Instructions of one round trip".to_owned(),
        legend: MACHINES
            .iter()
            .map(|machine| (machine.colour, machine.name))
            .collect(),
        panels: vec![
            Panel {
                title: "Out of a virtual machine and back, by way of exit".to_owned(),
                groups: trips.filter(|group| !group.bars.is_empty()).collect(),
            },
            Panel {
                title: "A system call, natively and in a sandbox".to_owned(),
                groups: ways.filter(|group| !group.bars.is_empty()).collect(),
            },
        ],
    }
}
