//! A copy of a SQLite database, made beside the program that has it open.

use std::path::Path;
use std::sync::Arc;

use database::Sqlite;
use database::schema::{log_head, paid_calls, table_rows, tasks};
use database::sqlite::connect;
use database::types::sql_ids;
use diesel::dsl::{delete, sql_query};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use shared_log::Head;

use super::super::{StoreError, outcomes};
use crate::task::TaskId;

/// A database that another program may have open. Nothing of it is changed.
pub struct Original {
    connection: SqliteConnection,
}

impl Original {
    /// # Errors
    /// [`StoreError::Unavailable`] if the file can't be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(path)? })
    }

    /// Where that log was last committed.
    pub fn log_head(&mut self, log: &str) -> Result<Option<Head>, StoreError> {
        head_of(&mut self.connection, log)
    }

    /// Writes the rows as they are at one moment into a file that is empty. It is not synced.
    pub fn copy_into(&mut self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_str().ok_or_else(|| {
            let error = std::io::Error::other("the path of the copy is not UTF-8");
            StoreError::Unavailable(Arc::new(error))
        })?;
        // Reads in one transaction, beside those who write: https://www.sqlite.org/lang_vacuum.html#vacuuminto
        sql_query("VACUUM INTO ?").bind::<Text, _>(path).execute(&mut self.connection)?;
        Ok(())
    }
}

fn head_of(connection: &mut SqliteConnection, log: &str) -> Result<Option<Head>, StoreError> {
    let row: Option<outcomes::HeadRow> = outcomes::head(log).get_result(connection).optional()?;
    Ok(row.map(Head::from))
}

/// Forgets how far the outcome log was written: another file has its place.
pub async fn forget_logs(copy: &Sqlite) -> Result<(), StoreError> {
    copy.write(|connection| {
        delete(log_head::table).execute(connection)?;
        Ok(())
    })
    .await
}

/// Deletes tasks that have not ended, with all that belongs to them.
pub async fn forget(copy: &Sqlite, ids: Vec<TaskId>) -> Result<(), StoreError> {
    copy.write(move |connection| {
        let of_tasks = sql_ids(&ids);
        delete(table_rows::table.filter(table_rows::task.eq_any(&of_tasks))).execute(connection)?;
        delete(paid_calls::table.filter(paid_calls::task.eq_any(&of_tasks))).execute(connection)?;
        let open = tasks::table.filter(tasks::finished.is_null());
        delete(open.filter(tasks::id.eq_any(&of_tasks))).execute(connection)?;
        Ok(())
    })
    .await
}
