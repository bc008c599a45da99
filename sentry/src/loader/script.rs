//! `#!`: scripts. Source: Linux, fs/binfmt_script.c.

use base::Errno;

/// The first line of a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// The interpreter's path.
    pub(super) interpreter: &'a [u8],
    /// All that follows it, as one argument.
    pub(super) argument: Option<&'a [u8]>,
}

/// Bytes that can be looked at.
const HEAD: usize = 256;

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The line of the script that starts with `head` (256 bytes, fewer only if the file is
/// shorter). `None`: no script. `ENOEXEC`: a script that names no interpreter.
pub(super) fn parse(head: &[u8]) -> Result<Option<Line<'_>>, Errno> {
    let Some(rest) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let end = rest.iter().position(|byte| *byte == b'\n');
    // A file shorter than what is looked at ends in zeros.
    let whole = head.len() < HEAD;
    let line = match end {
        Some(end) => rest.get(..end).unwrap_or(rest),
        None => rest,
    };
    let line = line
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .trim_ascii_blanks();
    if line.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let name_end = line.iter().position(|byte| is_blank(*byte));
    if end.is_none() && !whole && name_end.is_none() {
        // The path may go on beyond what is looked at.
        return Err(Errno::ENOEXEC);
    }
    let (interpreter, rest) = line
        .split_at_checked(name_end.unwrap_or(line.len()))
        .ok_or(Errno::ENOEXEC)?;
    let argument = Some(rest.trim_ascii_blanks()).filter(|rest| !rest.is_empty());
    Ok(Some(Line {
        interpreter,
        argument,
    }))
}

trait TrimBlanks {
    fn trim_ascii_blanks(&self) -> &[u8];
}

impl TrimBlanks for [u8] {
    fn trim_ascii_blanks(&self) -> &[u8] {
        let start = self.iter().position(|byte| !is_blank(*byte));
        let end = self.iter().rposition(|byte| !is_blank(*byte));
        match (start, end) {
            (Some(start), Some(end)) => self.get(start..end.saturating_add(1)).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl Line<'_> {
    /// The interpreter's arguments for a script at `path` that was given `argv`.
    pub(super) fn argv(&self, path: &[u8], argv: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut all = vec![self.interpreter.to_vec()];
        all.extend(self.argument.map(<[u8]>::to_vec));
        all.push(path.to_vec());
        all.extend(argv.iter().skip(1).cloned());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(
        interpreter: &'a str,
        argument: Option<&'a str>,
    ) -> Result<Option<Line<'a>>, Errno> {
        Ok(Some(Line {
            interpreter: interpreter.as_bytes(),
            argument: argument.map(str::as_bytes),
        }))
    }

    #[test]
    fn interpreter_and_one_argument() {
        assert_eq!(parse(b"#!/bin/sh\nexit"), line("/bin/sh", None));
        assert_eq!(
            parse(b"#!  /bin/sh\t -e -u \n"),
            line("/bin/sh", Some("-e -u"))
        );
        assert_eq!(parse(b"#!/bin/sh"), line("/bin/sh", None), "no newline");
        assert_eq!(parse(b"#!/bin/sh -x"), line("/bin/sh", Some("-x")));
    }

    #[test]
    fn no_interpreter() {
        for text in [&b"#!"[..], b"#!\n", b"#!  \t \n/bin/sh"] {
            assert_eq!(parse(text), Err(Errno::ENOEXEC));
        }
        assert_eq!(parse(b"\x7fELF"), Ok(None));
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn a_path_that_may_go_on_is_refused() {
        let mut long = b"#!".to_vec();
        long.resize(256, b'a');
        assert_eq!(parse(&long), Err(Errno::ENOEXEC));
        // The argument may be cut; the path may not.
        long[100] = b' ';
        assert_eq!(parse(&long).unwrap().unwrap().interpreter.len(), 98);
    }

    #[test]
    fn arguments_of_the_interpreter() {
        let line = parse(b"#!/i -a\n").unwrap().unwrap();
        let argv = [b"name".to_vec(), b"x".to_vec()];
        let expected: Vec<Vec<u8>> =
            vec![b"/i".into(), b"-a".into(), b"/script".into(), b"x".into()];
        assert_eq!(line.argv(b"/script", &argv), expected);
    }
}
