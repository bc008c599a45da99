//! `numbers!` and `flags!`: one line for each of Linux's names, with its value
//! and its meaning, checked in a test against another project's list.

/// Constants of one type that are no bit sets. The optional `test = path`
/// compares every value with the constant of the same name in that module.
macro_rules! numbers {
    ($ty:ty, $test:ident = $oracle:path; $($name:ident $value:literal $text:literal;)*) => {
        $crate::abi::macros::numbers! { $ty; $($name $value $text;)* }
        #[cfg(test)]
        #[test]
        fn $test() {
            use $oracle as oracle;
            $($crate::abi::macros::same(stringify!($name), $name, oracle::$name);)*
        }
    };
    ($ty:ty; $($name:ident $value:literal $text:literal;)*) => {
        $(#[doc = $text] pub const $name: $ty = $value;)*
    };
}
pub(crate) use numbers;

/// A flags type: Rust's name, Linux's name, value, meaning. `from_bits` refuses
/// unknown bits; `Debug` prints Linux's names as strace does.
macro_rules! flags {
    ($(#[$doc:meta])* $type:ident: $ty:ty, $test:ident = $oracle:path;
     $($name:ident $linux:ident $value:expr, $text:literal;)*) => {
        $crate::abi::macros::flags! { $(#[$doc])* $type: $ty; $($name $linux $value, $text;)* }
        #[cfg(test)]
        #[test]
        fn $test() {
            use $oracle as oracle;
            $($crate::abi::macros::same(stringify!($linux), $type::$name.bits(), oracle::$linux);)*
        }
    };
    ($(#[$doc:meta])* $type:ident: $ty:ty; $($name:ident $linux:ident $value:expr, $text:literal;)*) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)]
        pub struct $type($ty);

        bitflags::bitflags! {
            impl $type: $ty {
                $(#[doc = $text] const $name = $value;)*
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut rest = self.bits();
                let mut separator = "";
                $(let bits = Self::$name.bits();
                if bits != 0 && rest & bits == bits {
                    f.write_str(separator)?;
                    f.write_str(stringify!($linux))?;
                    separator = "|";
                    rest &= !bits;
                })*
                if rest != 0 || separator.is_empty() {
                    write!(f, "{separator}{rest:#x}")?;
                }
                Ok(())
            }
        }
    };
}
pub(crate) use flags;

/// A plain struct of the ABI: `repr(C)`, no hidden padding, any bytes valid.
macro_rules! abi_struct {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $fvis:vis $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)]
        $vis struct $name { $($(#[$field_doc])* $fvis $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    };
}
pub(crate) use abi_struct;

/// Compares two numbers, where 32-bit ones may differ in signedness.
#[cfg(test)]
pub(crate) fn same(name: &str, ours: impl Into<i128>, theirs: impl Into<i128>) {
    let (ours, theirs) = (ours.into(), theirs.into());
    let word = i128::from(i32::MIN)..=i128::from(u32::MAX);
    let equal = if word.contains(&ours) && word.contains(&theirs) {
        (ours ^ theirs) & 0xffff_ffff == 0
    } else {
        ours == theirs
    };
    assert!(
        equal,
        "{name}: {ours:#x} here, {theirs:#x} in the other list"
    );
}

/// Compares size and field offsets of a struct with the oracle's.
#[cfg(test)]
macro_rules! same_layout {
    ($test:ident: $ours:ty = $theirs:ty { $($field:ident = $other:ident),* $(,)? }) => {
        #[test]
        fn $test() {
            assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), "size");
            $(assert_eq!(
                core::mem::offset_of!($ours, $field),
                core::mem::offset_of!($theirs, $other),
                stringify!($field)
            );)*
        }
    };
}
#[cfg(test)]
pub(crate) use same_layout;
