//! API keys: their part of the port, and its queries, written once for each database.

use async_trait::async_trait;
use database::schema::{api_keys, user_rights, users};
use database::types::{SqlTime, SqlUuid};
use database::{Cause, StoreError, Time};
use diesel::dsl::{auto_type, delete};
use diesel::prelude::*;

use super::users::into_user;
use crate::api_key::{ApiKey, InvalidKeyName, KeyHash, KeyId, KeyName};
use crate::user::{User, UserId};

/// A key to insert.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The id by which it is revoked.
    pub id: KeyId,
    /// The user it authenticates; must exist.
    pub user: UserId,
    /// The user's name for it.
    pub name: KeyName,
    /// The key's hash.
    pub hash: KeyHash,
}

/// The rows of API keys.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Adds a key; returns `None` if its user has `most` keys already, also if several requests add keys at once.
    async fn add_key(&self, new: NewKey, most: i64) -> Result<Option<ApiKey>, StoreError>;

    /// Returns a user's keys, oldest first.
    async fn keys_of(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError>;

    /// Removes a key of this user; returns `false` if the user has no such key.
    async fn remove_key(&self, user: UserId, id: KeyId) -> Result<bool, StoreError>;

    /// Returns the user that a key authenticates, in its current state; `None` if the key does not exist or its user is disabled.
    async fn user_of_key(&self, hash: KeyHash) -> Result<Option<User>, StoreError>;
}

/// The row of a key to insert.
#[derive(Insertable)]
#[diesel(table_name = api_keys)]
pub(super) struct NewKeyRow {
    id: SqlUuid,
    user_id: SqlUuid,
    name: String,
    created: SqlTime,
    key_sha256: Vec<u8>,
}

impl NewKeyRow {
    pub fn new(NewKey { id, user, name, hash }: NewKey, now: Time) -> Self {
        Self {
            id: SqlUuid(id.0),
            user_id: SqlUuid(user.0),
            name: name.to_string(),
            created: SqlTime(now.0),
            key_sha256: hash.0.to_vec(),
        }
    }
}

/// Counts a user's keys.
#[auto_type]
pub(super) fn count(user: UserId) -> _ {
    let user: SqlUuid = SqlUuid(user.0);
    api_keys::table.filter(api_keys::user_id.eq(user)).count()
}

/// Selects a user's keys, oldest first.
#[auto_type]
pub(super) fn of_user(user: UserId) -> _ {
    let user: SqlUuid = SqlUuid(user.0);
    api_keys::table.filter(api_keys::user_id.eq(user)).order((api_keys::created, api_keys::id)).select((
        api_keys::id,
        api_keys::name,
        api_keys::created,
    ))
}

/// A row of [`of_user`].
pub(super) type KeyRow = (SqlUuid, String, SqlTime);

/// Converts a row to a key.
pub(super) fn into_key((id, name, created): KeyRow) -> Result<ApiKey, StoreError> {
    let name = name
        .parse()
        .map_err(|error: InvalidKeyName| StoreError::Internal(Cause::from(Box::from(error.to_string()))))?;
    Ok(ApiKey { id: KeyId(id.0), name, created: created.into() })
}

/// Deletes a key of this user.
#[auto_type]
pub(super) fn remove(user: UserId, id: KeyId) -> _ {
    let (user, id): (SqlUuid, SqlUuid) = (SqlUuid(user.0), SqlUuid(id.0));
    delete(api_keys::table).filter(api_keys::id.eq(id)).filter(api_keys::user_id.eq(user))
}

/// Selects the user that a key authenticates: a row for each right, or one without a right.
#[auto_type]
pub(super) fn user_of(hash: KeyHash) -> _ {
    let hash: Vec<u8> = hash.0.to_vec();
    api_keys::table
        .inner_join(users::table.on(users::id.eq(api_keys::user_id)))
        .left_join(user_rights::table.on(user_rights::user_id.eq(api_keys::user_id)))
        .filter(api_keys::key_sha256.eq(hash))
        .filter(users::disabled.is_null())
        .select((users::id, users::username, user_rights::right_name.nullable()))
}

/// A row of [`user_of`].
pub(super) type UserRow = (SqlUuid, String, Option<String>);

/// Converts the rows to their user.
pub(super) fn into_holder(rows: Vec<UserRow>) -> Option<User> {
    let (id, username, _) = rows.first()?.clone();
    Some(into_user(UserId(id.0), username, rows.into_iter().filter_map(|(_, _, right)| right)))
}
