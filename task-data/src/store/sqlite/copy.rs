//! A copy of a SQLite database, made beside the program that has it open.

use std::path::Path;
use std::sync::Arc;

use database::Sqlite;
use database::schema::{attempts, paid_calls, table_rows, tasks};
use database::sqlite::connect;
use database::types::sql_ids;
use diesel::dsl::{delete, sql_query};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use super::super::{LogHead, StoreError};
use super::followers;
use crate::task::TaskId;

/// A database that another program may have open. It is only read.
pub struct Original {
    connection: SqliteConnection,
}

impl Original {
    /// Opens the database read-only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file can't be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(path)? })
    }

    /// Returns how far the log of that name is written.
    pub fn log_head(&mut self, name: &str) -> Result<Option<LogHead>, StoreError> {
        let log = followers::find(&mut self.connection, name.to_owned())?;
        Ok(log.map(|(log, _)| log.head))
    }

    /// Writes the rows as they are at one moment into an empty file, without syncing it.
    pub fn copy_into(&mut self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_str().ok_or_else(|| {
            let error = std::io::Error::other("expected a UTF-8 path for the copy");
            StoreError::Unavailable(Arc::new(error))
        })?;
        // Reads in one transaction, beside writers: https://www.sqlite.org/lang_vacuum.html#vacuuminto
        sql_query("VACUUM INTO ?").bind::<Text, _>(path).execute(&mut self.connection)?;
        Ok(())
    }
}

/// Removes all followers: the copied log is another file, and is read anew.
pub async fn forget_logs(copy: &Sqlite) -> Result<(), StoreError> {
    copy.write(|connection| {
        sql_query("DELETE FROM followers").execute(connection)?;
        Ok(())
    })
    .await
}

/// Deletes tasks that have not ended, with all their rows.
pub async fn forget(copy: &Sqlite, ids: Vec<TaskId>) -> Result<(), StoreError> {
    copy.write(move |connection| {
        let of_tasks = sql_ids(&ids);
        delete(table_rows::table.filter(table_rows::task.eq_any(&of_tasks))).execute(connection)?;
        delete(attempts::table.filter(attempts::task.eq_any(&of_tasks))).execute(connection)?;
        delete(paid_calls::table.filter(paid_calls::task.eq_any(&of_tasks))).execute(connection)?;
        let open = tasks::table.filter(tasks::finished.is_null());
        delete(open.filter(tasks::id.eq_any(&of_tasks))).execute(connection)?;
        Ok(())
    })
    .await
}
