//! The database of a service, as SQL.

use std::path::PathBuf;
use std::process::Command;

use crate::error::BenchError;
use crate::process::output_of;

/// Runs the statements after the first argument, and prints rows as `psql` does. `md5` and `unhex` are as in PostgreSQL and newer SQLite.
const SQLITE: &str = "\
import hashlib, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.create_function('md5', 1, lambda text: hashlib.md5(text.encode()).hexdigest(), deterministic=True)
database.create_function('unhex', 1, bytes.fromhex, deterministic=True)
for statement in sys.argv[2:]:
    for row in database.execute(statement):
        print(*('' if value is None else value for value in row), sep='|')
";

/// A database: the file, or the URL.
#[derive(Debug, Clone)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    /// Runs statements, one after the other. Returns what they print, without the last line break.
    ///
    /// # Errors
    /// If one fails.
    pub fn run(&self, statements: &[&str]) -> Result<String, BenchError> {
        let command = match self {
            Self::Sqlite(path) => {
                let mut python = Command::new("python3");
                python.args(["-c", SQLITE]).arg(path).args(statements);
                python
            }
            Self::Postgres(url) => {
                let mut psql = Command::new("psql");
                psql.args(["--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", url]);
                psql.args(statements.iter().flat_map(|statement| ["-c", *statement]));
                psql
            }
        };
        Ok(output_of(command)?.trim_end().to_owned())
    }

    /// Runs a statement. Returns the number that it prints.
    ///
    /// # Errors
    /// If it fails, or prints something else.
    pub fn number(&self, statement: &str) -> Result<f64, BenchError> {
        let told = self.run(&[statement])?;
        told.parse()
            .map_err(|_| BenchError::Unexpected(format!("expected a number, got {told:?}: {statement}")))
    }
}
