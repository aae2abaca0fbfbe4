//! How values are stored: one SQL type for both databases, and a wrapper for each value.
//!
//! | value | PostgreSQL | SQLite |
//! |---|---|---|
//! | id | `uuid` | 16 bytes |
//! | time | `timestamptz` | integer, microseconds since 1970 |
//! | status | enum `taskstatus` | text |
//! | JSON | `jsonb` | text, so that people can read it |

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{self, BigInt, Binary, Double, Nullable, SqlOrd, SqlType, Text};
use diesel::sqlite::{Sqlite, SqliteValue};
use serde_json::Value;
use uuid::Uuid;

use crate::Time;

/// The SQL type of ids.
#[derive(SqlType, QueryId)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Binary"))]
pub struct UuidType;

/// The SQL type of times.
#[derive(SqlType, QueryId)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Long"))]
pub struct TimeType;

impl SqlOrd for TimeType {}

/// The SQL type of tasks' statuses.
#[derive(SqlType, QueryId)]
#[diesel(postgres_type(name = "taskstatus"), sqlite_type(name = "Text"))]
pub struct StatusType;

/// The SQL type of JSON.
#[derive(SqlType, QueryId)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
pub struct JsonType;

#[diesel::declare_sql_function]
extern "SQL" {
    /// Returns the database's time plus that many seconds. Both databases have this function of ours, so that a query with a time has the
    /// same text in both.
    fn now_plus(seconds: Double) -> TimeType;

    /// Returns whether two texts are the same IP address, in any notation. Both must be addresses.
    fn same_address(one: Text, other: Text) -> Bool;

    /// Returns the first of two times that is not NULL.
    #[sql_name = "coalesce"]
    fn first_time(one: Nullable<TimeType>, other: Nullable<TimeType>) -> Nullable<TimeType>;
}

/// An id on its way to or from a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = UuidType)]
pub struct SqlUuid(pub Uuid);

/// A time on its way to or from a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = TimeType)]
pub struct SqlTime(pub DateTime<Utc>);

/// JSON on its way to or from a column.
#[derive(Debug, Clone, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = JsonType)]
pub struct SqlJson(pub Value);

impl From<SqlTime> for Time {
    fn from(time: SqlTime) -> Self {
        Self(time.0)
    }
}

/// Converts ids to a query's list.
pub fn sql_ids<T: Copy + Into<SqlUuid>>(ids: &[T]) -> Vec<SqlUuid> {
    ids.iter().copied().map(Into::into).collect()
}

/// The type of [`now()`], by which diesel infers the type of a query.
#[allow(non_camel_case_types, reason = "so diesel names the type of a function")]
pub type now = now_plus<f64>;

/// Returns the database's time.
pub fn now() -> now {
    now_plus(0.0)
}

impl ToSql<UuidType, Sqlite> for SqlUuid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_bytes().as_slice());
        Ok(IsNull::No)
    }
}

impl FromSql<UuidType, Sqlite> for SqlUuid {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?;
        Ok(Self(Uuid::from_slice(&bytes)?))
    }
}

impl ToSql<UuidType, Pg> for SqlUuid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<sql_types::Uuid, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<UuidType, Pg> for SqlUuid {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<sql_types::Uuid, Pg>::from_sql(value).map(Self)
    }
}

impl ToSql<TimeType, Sqlite> for SqlTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.timestamp_micros());
        Ok(IsNull::No)
    }
}

impl FromSql<TimeType, Sqlite> for SqlTime {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?;
        Ok(Self(DateTime::from_timestamp_micros(micros).ok_or("the time is outside the range of dates")?))
    }
}

impl ToSql<TimeType, Pg> for SqlTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<sql_types::Timestamptz, Pg>::to_sql(&self.0, &mut out.reborrow())
    }
}

impl FromSql<TimeType, Pg> for SqlTime {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<sql_types::Timestamptz, Pg>::from_sql(value).map(Self)
    }
}

/// The most levels of JSON that `serde_json` parses. A deeper value could be stored, but then every query that reads its row would fail.
const MAX_DEPTH: usize = 127;

/// Rejects a value that could not be parsed again.
fn check_depth(value: &Value, left: usize) -> Result<(), &'static str> {
    let left = || left.checked_sub(1).ok_or("the value is nested too deeply");
    match value {
        Value::Array(items) => {
            left().and_then(|left| items.iter().try_for_each(|item| check_depth(item, left)))
        }
        Value::Object(fields) => {
            left().and_then(|left| fields.values().try_for_each(|field| check_depth(field, left)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

impl ToSql<JsonType, Sqlite> for SqlJson {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        check_depth(&self.0, MAX_DEPTH)?;
        out.set_value(self.0.to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<JsonType, Sqlite> for SqlJson {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(serde_json::from_str(&text)?))
    }
}

impl ToSql<JsonType, Pg> for SqlJson {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        check_depth(&self.0, MAX_DEPTH)?;
        ToSql::<sql_types::Jsonb, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<JsonType, Pg> for SqlJson {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<sql_types::Jsonb, Pg>::from_sql(value).map(Self)
    }
}
