//! Users and their rights: their part of the port, and its queries, written once for each database.

use async_trait::async_trait;
use diesel::dsl::{auto_type, delete};
use diesel::prelude::*;

use super::schema::{user_rights, users};
use super::types::{SqlTime, SqlUuid};
use super::{Cause, StoreError};
use crate::password::PasswordHash;
use crate::task::Time;
use crate::user::{InvalidUsername, Right, User, UserId, Username};

/// A user's row to be.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Who he is, and what he may do.
    pub user: User,
    /// What is kept of his password.
    pub password_hash: PasswordHash,
}

/// Who may log in, and what each may do.
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user with his rights; `false` if the username is taken.
    async fn add_user(&self, new: NewUser) -> Result<bool, StoreError>;

    /// The user of that id.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user of that name, and what is kept of his password. Costs the same whether or not there is one.
    async fn login(&self, username: Username) -> Result<Option<(UserId, PasswordHash)>, StoreError>;

    /// Gives a user a right, if he lacks it. Gives him as he stands now; `None` if there is no such user.
    async fn grant(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError>;

    /// Takes a right from a user, if he has it. Gives him as he stands now; `None` if there is no such user.
    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError>;
}

/// A user's row to insert.
#[derive(Insertable)]
#[diesel(table_name = users)]
pub(super) struct NewUserRow {
    id: SqlUuid,
    username: String,
    password_hash: String,
    created: SqlTime,
}

impl NewUserRow {
    pub fn new(user: &User, password_hash: PasswordHash, now: Time) -> Self {
        let username = user.username.to_string();
        Self { id: SqlUuid(user.id.0), username, password_hash: password_hash.0, created: SqlTime(now.0) }
    }
}

/// A right's row to insert.
#[derive(Insertable)]
#[diesel(table_name = user_rights)]
pub(super) struct RightRow {
    user_id: SqlUuid,
    right_name: &'static str,
}

impl RightRow {
    pub fn new(id: UserId, right: Right) -> Self {
        Self { user_id: SqlUuid(id.0), right_name: right.name() }
    }
}

/// What the user of that id is called.
#[auto_type]
pub(super) fn username(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    users::table.filter(users::id.eq(id)).select(users::username)
}

/// The user of that name, and what is kept of his password.
#[auto_type]
pub(super) fn login(username: Username) -> _ {
    let username: String = username.to_string();
    users::table.filter(users::username.eq(username)).select((users::id, users::password_hash))
}

/// What [`login`] gives.
pub(super) type LoginRow = (SqlUuid, String);

pub(super) fn into_login((id, password_hash): LoginRow) -> (UserId, PasswordHash) {
    (UserId(id.0), PasswordHash(password_hash))
}

/// The names of a user's rights.
#[auto_type]
pub(super) fn rights(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    user_rights::table.filter(user_rights::user_id.eq(id)).select(user_rights::right_name)
}

/// Takes a right from a user.
#[auto_type]
pub(super) fn revoke(id: UserId, right: Right) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let right: &'static str = right.name();
    delete(user_rights::table).filter(user_rights::user_id.eq(id)).filter(user_rights::right_name.eq(right))
}

/// A user by what his rows say.
pub(super) fn into_user(id: UserId, username: String, rights: Vec<String>) -> Result<User, StoreError> {
    let username = username
        .parse()
        .map_err(|error: InvalidUsername| StoreError::Internal(Cause::from(Box::from(error.to_string()))))?;
    Ok(User { id, username, rights: rights.iter().filter_map(|name| name.parse().ok()).collect() })
}
