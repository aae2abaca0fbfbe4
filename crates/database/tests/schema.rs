//! The tables as diesel sees them are the tables that the migrations make.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

use std::collections::BTreeMap;

use database::Postgres;
use test_kit::{psql, servers};

/// By table, each column's type and whether it may be NULL.
type Tables = BTreeMap<String, BTreeMap<String, (String, bool)>>;

/// Each SQL type of the schema, and as PostgreSQL names it.
const TYPES: [(&str, &str); 11] = [
    ("Array<UuidType>", "_uuid"),
    ("BigInt", "int8"),
    ("Binary", "bytea"),
    ("Bool", "bool"),
    ("Integer", "int4"),
    ("SmallInt", "int2"),
    ("Text", "text"),
    ("JsonType", "jsonb"),
    ("StatusType", "taskstatus"),
    ("TimeType", "timestamptz"),
    ("UuidType", "uuid"),
];

/// Returns the tables and columns of `table!`.
fn schema() -> Tables {
    let mut tables = Tables::new();
    let mut table = String::new();
    for line in include_str!("../src/schema.rs").lines().map(str::trim) {
        if let Some(column) = line.strip_suffix(',').and_then(|line| line.split_once(" -> ")) {
            let (name, of) = column;
            let nullable = of.strip_prefix("Nullable<").and_then(|of| of.strip_suffix('>'));
            let known = TYPES.iter().find(|(known, _)| *known == nullable.unwrap_or(of));
            let (_, of) = known.unwrap_or_else(|| panic!("{of} is no type of TYPES"));
            tables.get_mut(&table).unwrap().insert(name.to_owned(), ((*of).to_owned(), nullable.is_some()));
        } else if let Some((name, key)) = line.split_once(" (")
            && key.ends_with(") {")
        {
            table = name.to_owned();
            tables.insert(table.clone(), BTreeMap::new());
        }
    }
    tables
}

/// Reads `table|column|type|nullable`, a line each.
fn tables(lines: &str) -> Tables {
    let mut tables = Tables::new();
    for line in lines.lines() {
        let [table, column, of, nullable] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let columns = tables.entry(table.to_owned()).or_default();
        columns.insert(column.to_owned(), (of.to_owned(), nullable == "1"));
    }
    tables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_what_the_migrations_make() {
    let url = servers().database();
    Postgres::new(&url).unwrap().migrate().await.unwrap();

    let made = psql(
        &url,
        "SELECT concat_ws('|', table_name, column_name, udt_name, (is_nullable = 'YES')::int) \
         FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) \
         WHERE table_type = 'BASE TABLE' AND table_schema = 'public' AND table_name <> '__diesel_schema_migrations'",
    );

    assert_eq!(tables(&made), schema());
}
