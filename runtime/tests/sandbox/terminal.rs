//! Terminals: job control inside, and the sandbox as a job of the shell outside.

use super::harness::{Who, signal};
use super::pty::{CTRL_C, CTRL_D, CTRL_Z, Owner, Terminal, everybody_at_terminals};

/// A shell with job control, in a sandbox that a shell with job control has started.
const INSIDE: &str = "\"$RF\" do -- bash --norc --noediting -i\n";
const PROMPT: &str = "PS1='inside''> '\n";

fn shell_inside(terminal: &mut Terminal) {
    terminal.types(INSIDE);
    terminal.sees("bash-");
    terminal.types(PROMPT);
    terminal.sees("inside> ");
}

/// Types a command; what it printed before the next prompt.
fn inside(terminal: &mut Terminal, command: &str) -> String {
    terminal.types(command);
    terminal.types("\n");
    let shown = terminal.sees("\ninside> ");
    let lines = shown.replace('\r', "");
    let (_, printed) = lines.split_once('\n').unwrap();
    printed.strip_suffix("inside> ").unwrap().trim().to_owned()
}

#[test]
fn it_is_the_controlling_terminal() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        shell_inside(&mut terminal);
        assert_eq!(inside(&mut terminal, "tty"), "/dev/pts/0");
        let ids = inside(&mut terminal, "ps -o tty=,pid=,pgid=,sid=,tpgid= -p $$");
        let ids: Vec<_> = ids.split_whitespace().collect();
        assert_eq!(ids[0], "pts/0");
        assert_eq!((ids[1], ids[1]), (ids[2], ids[3]), "{ids:?}");
        assert_ne!(ids[1], ids[4], "ps is in the foreground: {ids:?}");
        assert_eq!(inside(&mut terminal, "echo x''y > /dev/tty"), "xy");
        // A session of its own has none, and gets none that is another's.
        let none = "(: > /dev/tty) 2>/dev/null || echo none";
        let script = format!("setsid sh -c '{none}' | cat");
        assert_eq!(inside(&mut terminal, &script), "none");
        let script = format!("setsid sh -c ': < /dev/pts/0; {none}' | cat");
        assert_eq!(inside(&mut terminal, &script), "none");
    });
}

#[test]
fn a_leader_gets_the_terminal_that_it_opens() {
    let (who, owner) = (Who::Caller, Owner::Its);
    let mut other = Terminal::start(who, owner, &["sleep", "1000"]);
    let mut terminal = Terminal::shell(who, owner);
    let script = ": < /dev/pts/1; tty < /dev/tty; echo ye''s > /dev/tty";
    terminal.types(&format!(
        "\"$RF\" do -- setsid -w sh -c \"{script}\" 2>{}\n",
        other.name()
    ));
    terminal.sees("/dev/tty\r\n");
    other.sees("yes");
    terminal.sees("outside> ");
}

#[test]
fn keys_are_for_the_foreground_inside() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        shell_inside(&mut terminal);
        terminal.types("sh -c 'echo u''p; exec sleep 1000'\n");
        terminal.sees("up\r\n");
        terminal.types(CTRL_C);
        terminal.sees("inside> ");
        assert_eq!(inside(&mut terminal, "echo $?"), "130");
        terminal.types("sh -c 'echo u''p; read x; echo got $x'\n");
        terminal.sees("up\r\n");
        terminal.types(CTRL_Z);
        terminal.sees("Stopped");
        terminal.sees("inside> ");
        terminal.types("fg\n");
        terminal.sees("read x");
        terminal.types("word\n");
        terminal.sees("got word");
        terminal.sees("inside> ");
        terminal.types("exit\n");
        terminal.sees("outside> ");
    });
}

#[test]
fn the_background_inside_is_stopped() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        shell_inside(&mut terminal);
        // wait(1) may return before the end of a job that was stopped.
        let wait = "until jobs -s | grep .; do :; done; kill -9 %1; \
                    while jobs %1 | grep -q Stopped; do :; done; echo e''nd";
        for job in ["cat", "stty echo", "(stty tostop; echo no)", "echo no"] {
            let shown = inside(&mut terminal, &format!("{job} & {wait}"));
            assert!(shown.contains("end"), "{job}: {shown}");
            assert!(!shown.contains("\nno"), "{job}: {shown}");
            if job.starts_with('(') {
                inside(&mut terminal, "stty tostop");
            }
        }
        // With the signal ignored it goes ahead, or reads nothing.
        let shown = inside(&mut terminal, "(trap '' TTOU; echo ye''s) & wait");
        assert!(shown.contains("yes"), "{shown}");
        let shown = inside(
            &mut terminal,
            "(trap '' TTIN TTOU; cat; echo st''$?) & wait",
        );
        assert!(
            shown.contains("Input/output error") && shown.contains("st1"),
            "{shown}"
        );
    });
}

#[test]
fn the_window_size_is_followed() {
    everybody_at_terminals(|who, owner| {
        let script = "trap 'stty size' WINCH; echo u''p; while :; do sleep 0.01; done";
        let mut terminal = Terminal::shell(who, owner);
        terminal.resize(20, 40);
        terminal.types(&format!("\"$RF\" do -- sh -c \"{script}\"\n"));
        terminal.sees("up\r\n");
        terminal.resize(33, 101);
        terminal.sees("33 101");
        terminal.types(CTRL_C);
        terminal.sees("outside> ");
    });
}

#[test]
fn a_program_stops_and_goes_on_as_a_job_outside() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        let script = "echo u''p; read x; stty -a | grep -q -- '-echo ' && echo quiet \\$x";
        terminal.types("a=$(stty -g)\n");
        terminal.sees("outside> ");
        terminal.types(&format!("\"$RF\" do -- sh -c \"stty -echo; {script}\"\n"));
        terminal.sees("up\r\n");
        terminal.types(CTRL_Z);
        terminal.sees("Stopped");
        terminal.sees("outside> ");
        terminal.types("[ \"$a\" = \"$(stty -g)\" ] && echo sa''me\n");
        terminal.sees("same");
        terminal.sees("outside> ");
        terminal.types("fg\n");
        terminal.sees("grep");
        terminal.types("word\n");
        terminal.sees("quiet word");
        terminal.sees("outside> ");
        terminal.types("[ \"$a\" = \"$(stty -g)\" ] && echo sa''me\n");
        terminal.sees("same");
        // A shell inside that stops itself.
        shell_inside(&mut terminal);
        terminal.types("suspend\n");
        terminal.sees("Stopped");
        terminal.sees("outside> ");
        terminal.types("fg\n");
        terminal.sees("-i");
        terminal.types("exit 3\n");
        terminal.sees("outside> ");
        terminal.types("echo st$?\n");
        terminal.sees("st3");
    });
}

#[test]
fn a_part_of_a_job_stops_with_it() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        let script = "echo up; read x; echo got \\$x";
        terminal.types(&format!(
            "sh -c '\"$RF\" do -- sh -c \"{script}\"; echo after'\n"
        ));
        terminal.sees("after'");
        terminal.sees("up\r\n");
        terminal.types(CTRL_Z);
        terminal.sees("Stopped");
        terminal.sees("outside> ");
        terminal.types("fg\n");
        terminal.sees("after'");
        terminal.types("word\n");
        terminal.sees("got word");
        terminal.sees("after");
        terminal.sees("outside> ");
    });
}

#[test]
fn the_background_outside_is_stopped() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        for command in ["stty -echo", "cat", "bash --norc --noediting -i"] {
            terminal.types(&format!("\"$RF\" do -- {command} &\n"));
            terminal.sees("outside> ");
            let (outside, _) = terminal.sandbox();
            terminal.sees_stopped(outside);
            terminal.types("stty -a | grep -q -- ' echo ' && echo sa''me\n");
            terminal.sees("same");
            terminal.sees("outside> ");
            terminal.types("fg\n");
            terminal.sees(command);
            if command == "cat" {
                terminal.types("word\n");
                terminal.sees("word\r\nword");
            }
            if command != "stty -echo" {
                terminal.types(CTRL_D);
            }
            terminal.sees("outside> ");
            terminal.types("echo st$?\n");
            terminal.sees("st0");
            terminal.sees("outside> ");
        }
        // Writing is allowed.
        terminal.types("\"$RF\" do -- echo fi''ne & wait\n");
        terminal.sees("fine");
    });
}

#[test]
fn settings_come_back_however_it_ends() {
    everybody_at_terminals(|who, owner| {
        let mut terminal = Terminal::shell(who, owner);
        terminal.types("a=$(stty -g)\n");
        terminal.sees("outside> ");
        let same = "; echo st$?; [ \"$a\" = \"$(stty -g)\" ] && echo sa''me\n";
        let endings = [
            ("stty -echo -icanon; exit 3", 3),
            ("stty raw -echo; kill -TERM \\$\\$", 143),
        ];
        for (script, status) in endings {
            terminal.types(&format!("\"$RF\" do -- sh -c \"{script}\"{same}"));
            terminal.sees(&format!("st{status}"));
            terminal.sees("same");
        }
        let script = "stty raw -echo; echo u''p; exec sleep 1000";
        terminal.types(&format!("\"$RF\" do -- sh -c \"{script}\"{same}"));
        terminal.sees("up\n");
        let (_, sentry) = terminal.sandbox();
        signal("KILL", sentry);
        terminal.sees("st125");
        terminal.sees("same");
    });
}

#[test]
fn a_hang_up_is_told_to_the_leader() {
    everybody_at_terminals(|who, owner| {
        let script = "trap 'exit 7' HUP; echo u''p; while :; do sleep 0.01; done";
        let rf = super::harness::binary();
        let words = [rf.to_str().unwrap(), "do", "--", "sh", "-c", script];
        let mut terminal = Terminal::start(who, owner, &words);
        terminal.sees("up");
        terminal.hangs_up();
        assert_eq!(terminal.ended(), Some(7), "{who:?} {owner:?}");
    });
}

#[test]
fn nobody_stops_who_would_not_be_continued() {
    everybody_at_terminals(|who, owner| {
        let rf = super::harness::binary();
        let script = "echo u''p; read x; kill -TSTP $$; echo on $x; exit 5";
        let words = [rf.to_str().unwrap(), "do", "--", "sh", "-c", script];
        let mut terminal = Terminal::start(who, owner, &words);
        terminal.sees("up");
        terminal.types(CTRL_Z);
        terminal.types("word\n");
        terminal.sees("on word");
        assert_eq!(terminal.ended(), Some(5), "{who:?} {owner:?}");
    });
}
