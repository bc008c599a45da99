//! `ringfence list`: all containers.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Failure, Globals, show};
use crate::container;

/// Lists all containers.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// As a table for people, or as JSON.
    #[arg(short, long, value_enum, default_value_t = Shape::Table)]
    format: Shape,

    /// Names only.
    #[arg(short, long)]
    quiet: bool,
}

/// `--format`'s values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Shape {
    /// Columns.
    Table,
    /// JSON.
    Json,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    let mut states = Vec::new();
    for container in container::list(&globals.root())? {
        // One that is being made or removed meanwhile is not one yet, or any more.
        let Ok(Some(record)) = container.record() else {
            continue;
        };
        if arguments.quiet {
            show(&format!("{}\n", record.id));
            continue;
        }
        let status = record.status(&container);
        let owner = user_name(record.owner);
        let mut state = record.for_clients(status, container.exit());
        if let Some(members) = state.as_object_mut() {
            members.insert("owner".to_owned(), owner.clone().into());
        }
        states.push(state);
        rows.push([
            record.id.clone(),
            record.pid(status).to_string(),
            status.name().to_owned(),
            record.bundle.display().to_string(),
            record.created.clone(),
            owner,
        ]);
    }
    match arguments.format {
        _ if arguments.quiet => {}
        Shape::Json if states.is_empty() => show("null\n"),
        Shape::Json => show(&format!("{}\n", Value::from(states))),
        Shape::Table => show(&table(&rows)),
    }
    Ok(0)
}

/// The name of a user id in /etc/passwd, or the number.
fn user_name(uid: u32) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// Rows in columns.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
