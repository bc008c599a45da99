//! Tables from inode(7) and capabilities(7).

use std::sync::Arc;

use base::{Gid, Uid};

use super::*;

const R: Access = Access::READ;
const W: Access = Access::WRITE;
const X: Access = Access::EXEC;
const FILE: FileKind = FileKind::Regular;
const DIRECTORY: FileKind = FileKind::Directory;

fn who(uid: u32, gid: u32, groups: &[u32], held: Capabilities) -> Credentials {
    let groups: Arc<[Gid]> = groups.iter().copied().map(Gid).collect();
    let mut who = Credentials::new(Uid(uid), Gid(gid), groups, Capabilities::all());
    who.effective = held;
    who
}

fn file(permissions: u16) -> Protection {
    Protection {
        permissions,
        uid: Uid(1000),
        gid: Gid(100),
    }
}

#[test]
fn the_first_class_that_fits_decides() {
    let none = Capabilities::empty();
    let owner = who(1000, 5, &[], none);
    let group = who(1001, 100, &[], none);
    let also_group = who(1001, 5, &[7, 100], none);
    let other = who(1001, 5, &[7], none);
    for (permissions, of_owner, of_group, of_other) in [
        (0o700, true, false, false),
        (0o070, false, true, false),
        (0o007, false, false, true),
        (0o077, false, true, true),
        (0o707, true, false, true),
        (0o777, true, true, true),
    ] {
        let file = file(permissions);
        let allowed = |who| may(FILE, &file, who, R | W | X).is_ok();
        let got = [&owner, &group, &also_group, &other].map(allowed);
        assert_eq!(
            got,
            [of_owner, of_group, of_group, of_other],
            "{permissions:o}"
        );
    }
    let readable = file(0o444);
    assert_eq!(may(FILE, &readable, &owner, R), Ok(()));
    assert_eq!(may(FILE, &readable, &owner, R | W), Err(Errno::EACCES));
    assert_eq!(may(FILE, &file(0), &other, Access::empty()), Ok(()));
}

#[test]
fn capabilities_pass_over_modes() {
    let all = who(0, 0, &[], Capabilities::DAC_OVERRIDE);
    let reader = who(0, 0, &[], Capabilities::DAC_READ_SEARCH);
    let root_without = who(0, 0, &[], Capabilities::empty());
    let cases = [
        (FILE, 0o000, R | W, true, false),
        (FILE, 0o000, R, true, true),
        (FILE, 0o000, X, false, false),
        (FILE, 0o001, R | X, true, false),
        (DIRECTORY, 0o000, R | W | X, true, false),
        (DIRECTORY, 0o000, R | X, true, true),
        (DIRECTORY, 0o000, W, true, false),
    ];
    for (kind, permissions, wanted, by_all, by_reader) in cases {
        let file = file(permissions);
        let allowed = |who| may(kind, &file, who, wanted).is_ok();
        assert_eq!(allowed(&all), by_all, "{kind:?} {permissions:o} {wanted:?}");
        assert_eq!(
            allowed(&reader),
            by_reader,
            "{kind:?} {permissions:o} {wanted:?}"
        );
    }
    assert_eq!(
        may(FILE, &file(0o600), &root_without, R),
        Err(Errno::EACCES)
    );
}

#[test]
fn sticky_directories_keep_what_is_others() {
    let none = Capabilities::empty();
    let (plain, sticky) = (file(0o777), file(0o1777));
    let entry = Protection {
        uid: Uid(7),
        ..file(0o644)
    };
    let stranger = who(9, 9, &[], none);
    assert_eq!(check_sticky(&plain, &entry, &stranger), Ok(()));
    assert_eq!(check_sticky(&sticky, &entry, &stranger), Err(Errno::EPERM));
    for who in [
        who(7, 9, &[], none),
        who(1000, 9, &[], none),
        who(9, 9, &[], Capabilities::FOWNER),
    ] {
        assert_eq!(check_sticky(&sticky, &entry, &who), Ok(()));
    }
}

#[test]
fn set_id_bits() {
    let none = Capabilities::empty();
    let (owner, member) = (who(1000, 5, &[], none), who(1000, 100, &[], none));
    let root = who(0, 0, &[], Capabilities::all());
    assert_eq!(without_set_ids(0o6755, &owner), 0o755);
    assert_eq!(without_set_ids(0o6745, &owner), 0o2745);
    assert_eq!(without_set_ids(0o6755, &root), 0o6755);
    // chown(2) takes them from everyone, and leaves directories.
    assert_eq!(after_chown(FILE, &file(0o6755), &root), 0o755);
    assert_eq!(after_chown(FILE, &file(0o2745), &owner), 0o745);
    assert_eq!(after_chown(FILE, &file(0o2745), &member), 0o2745);
    assert_eq!(after_chown(DIRECTORY, &file(0o6755), &root), 0o6755);
}

#[test]
fn set_group_id_directories_hand_down() {
    let owner = who(1000, 5, &[], Capabilities::empty());
    let above = file(0o2775);
    assert_eq!(
        inherit(&file(0o775), FILE, 0o2755, &owner),
        (Gid(5), 0o2755)
    );
    assert_eq!(inherit(&above, FILE, 0o644, &owner), (Gid(100), 0o644));
    assert_eq!(inherit(&above, FILE, 0o2755, &owner), (Gid(100), 0o755));
    assert_eq!(
        inherit(&above, DIRECTORY, 0o755, &owner),
        (Gid(100), 0o2755)
    );
}
