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

/// A key's row to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is revoked by.
    pub id: KeyId,
    /// Whom it stands for: a user that there is.
    pub user: UserId,
    /// What he calls it.
    pub name: KeyName,
    /// What is kept of it.
    pub hash: KeyHash,
}

/// What stands for users without a log-in.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Adds a key, unless its user has `most` already: `None` then. Of several who add at once, no more get through.
    async fn add_key(&self, new: NewKey, most: i64) -> Result<Option<ApiKey>, StoreError>;

    /// A user's keys, the oldest first.
    async fn keys_of(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError>;

    /// Removes a key of this user's; `false` if he has no such key.
    async fn remove_key(&self, user: UserId, id: KeyId) -> Result<bool, StoreError>;

    /// Whom a key stands for, as he is now; `None` if there is no such key, or no longer, or its user is disabled.
    async fn user_of_key(&self, hash: KeyHash) -> Result<Option<User>, StoreError>;
}

/// A key's row to insert.
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

/// How many keys a user has.
#[auto_type]
pub(super) fn count(user: UserId) -> _ {
    let user: SqlUuid = SqlUuid(user.0);
    api_keys::table.filter(api_keys::user_id.eq(user)).count()
}

/// A user's keys, the oldest first.
#[auto_type]
pub(super) fn of_user(user: UserId) -> _ {
    let user: SqlUuid = SqlUuid(user.0);
    api_keys::table.filter(api_keys::user_id.eq(user)).order((api_keys::created, api_keys::id)).select((
        api_keys::id,
        api_keys::name,
        api_keys::created,
    ))
}

/// What [`of_user`] gives.
pub(super) type KeyRow = (SqlUuid, String, SqlTime);

/// A key by what its row says.
pub(super) fn into_key((id, name, created): KeyRow) -> Result<ApiKey, StoreError> {
    let name = name
        .parse()
        .map_err(|error: InvalidKeyName| StoreError::Internal(Cause::from(Box::from(error.to_string()))))?;
    Ok(ApiKey { id: KeyId(id.0), name, created: created.into() })
}

/// A key of this user's goes.
#[auto_type]
pub(super) fn remove(user: UserId, id: KeyId) -> _ {
    let (user, id): (SqlUuid, SqlUuid) = (SqlUuid(user.0), SqlUuid(id.0));
    delete(api_keys::table).filter(api_keys::id.eq(id)).filter(api_keys::user_id.eq(user))
}

/// Whom a key stands for: a row a right, or one without.
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

/// What [`user_of`] gives.
pub(super) type UserRow = (SqlUuid, String, Option<String>);

/// The user whom the rows are about.
pub(super) fn into_holder(rows: Vec<UserRow>) -> Option<User> {
    let (id, username, _) = rows.first()?.clone();
    Some(into_user(UserId(id.0), username, rows.into_iter().filter_map(|(_, _, right)| right)))
}
