//! Users and their rights: their part of the port, and its queries, written once for each database.

use async_trait::async_trait;
use database::schema::{api_keys, user_rights, users};
use database::types::{SqlTime, SqlUuid};
use database::{StoreError, Time};
use diesel::dsl::{auto_type, delete, update};
use diesel::prelude::*;

use crate::password::PasswordHash;
use crate::user::{Account, Right, TypedName, User, UserId, Username};

/// A user to insert.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user, with their rights.
    pub user: User,
    /// The hash of their password.
    pub password_hash: PasswordHash,
}

/// A user whose password is to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's id.
    pub id: UserId,
    /// The hash of the password.
    pub password_hash: PasswordHash,
    /// [`Account::sessions`] at the time that password was read: a log-in with it begins a session of that number.
    pub sessions: i64,
}

/// The rows of users and their rights.
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user with their rights; returns `false` if the username is taken.
    async fn add_user(&self, new: NewUser) -> Result<bool, StoreError>;

    /// Returns the user of that id, with the fields that decide whether they may log in.
    async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// Returns at most `limit` users, oldest first, starting after the given one.
    async fn accounts(&self, after: Option<UserId>, limit: i64) -> Result<Vec<Account>, StoreError>;

    /// Finds a user by the name as it was typed. Costs the same whether or not the user exists.
    async fn login(&self, name: TypedName) -> Result<Option<Login>, StoreError>;

    /// Grants a user a right, if they lack it. Returns the user in the new state; `None` if the user does not exist.
    async fn grant(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError>;

    /// Revokes a user's right, if they have it. Returns the user in the new state; `None` if the user does not exist.
    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError>;

    /// Sets a user's password and ends their sessions. Returns the number that later sessions carry; `None` if the user does not exist.
    async fn set_password(&self, id: UserId, hash: PasswordHash) -> Result<Option<i64>, StoreError>;

    /// Ends a user's sessions; returns `false` if the user does not exist.
    async fn end_sessions(&self, id: UserId) -> Result<bool, StoreError>;

    /// Disables a user and ends their sessions, or enables one. Returns the user in the new state; `None` if the user does not exist.
    async fn set_disabled(&self, id: UserId, is_disabled: bool) -> Result<Option<Account>, StoreError>;

    /// Removes a user with their rights and API keys; returns `false` if the user does not exist. Tasks stay as they are.
    async fn remove_user(&self, id: UserId) -> Result<bool, StoreError>;
}

/// The row of a user to insert.
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

/// The row of a right to insert.
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

/// Selects the username of that id.
#[auto_type]
pub(super) fn username(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    users::table.filter(users::id.eq(id)).select(users::username)
}

/// Selects the users that a typed name may refer to, with the hashes of their passwords.
#[auto_type]
pub(super) fn logins(exact: String, mapped: String) -> _ {
    users::table.filter(users::username.eq(exact).or(users::username.eq(mapped))).select((
        users::username,
        users::id,
        users::password_hash,
        users::sessions,
    ))
}

/// A row of [`logins`].
pub(super) type LoginRow = (String, SqlUuid, String, i64);

/// Returns the user that a typed name refers to: the one of exactly that name, or the one of its mapped form.
pub(super) fn into_login(name: &TypedName, mut rows: Vec<LoginRow>) -> Option<Login> {
    rows.sort_by_key(|(username, ..)| username != name.exact());
    let (_, id, password_hash, sessions) = rows.into_iter().next()?;
    Some(Login { id: UserId(id.0), password_hash: PasswordHash(password_hash), sessions })
}

/// Deletes a right of a user.
#[auto_type]
pub(super) fn revoke(id: UserId, right: Right) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let right: &'static str = right.name();
    delete(user_rights::table).filter(user_rights::user_id.eq(id)).filter(user_rights::right_name.eq(right))
}

/// A user's row: (id, username, created, disabled, sessions).
pub(super) type AccountRow = (SqlUuid, String, SqlTime, Option<SqlTime>, i64);

type AccountColumns = (users::id, users::username, users::created, users::disabled, users::sessions);
const ACCOUNT: AccountColumns =
    (users::id, users::username, users::created, users::disabled, users::sessions);

/// Selects a user's row with the name of each right: a row for each right, or one without a right.
#[auto_type]
pub(super) fn account(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let columns: AccountColumns = ACCOUNT;
    users::table
        .left_join(user_rights::table.on(user_rights::user_id.eq(users::id)))
        .filter(users::id.eq(id))
        .select((columns, user_rights::right_name.nullable()))
}

/// Converts the rows of [`account`] to the user.
pub(super) fn into_account(rows: Vec<(AccountRow, Option<String>)>) -> Option<Account> {
    let row = rows.first()?.0.clone();
    Some(account_of(row, rows.into_iter().filter_map(|(_, right)| right)))
}

/// Selects a page of users' rows, oldest first.
#[auto_type]
pub(super) fn accounts(after: UserId, limit: i64) -> _ {
    let after: SqlUuid = SqlUuid(after.0);
    let columns: AccountColumns = ACCOUNT;
    users::table.filter(users::id.gt(after)).order(users::id).limit(limit).select(columns)
}

/// Selects the rights of these users.
#[auto_type]
pub(super) fn rights_of(ids: Vec<SqlUuid>) -> _ {
    user_rights::table
        .filter(user_rights::user_id.eq_any(ids))
        .select((user_rights::user_id, user_rights::right_name))
}

/// Returns the ids of a page of [`accounts`].
pub(super) fn ids(rows: &[AccountRow]) -> Vec<SqlUuid> {
    rows.iter().map(|row| row.0).collect()
}

/// Converts the rows of [`accounts`] and [`rights_of`] to a page of users.
pub(super) fn into_accounts(rows: Vec<AccountRow>, rights: &[(SqlUuid, String)]) -> Vec<Account> {
    let of_row = |row: AccountRow| {
        let id = row.0;
        let own = rights.iter().filter(|(user, _)| *user == id).map(|(_, right)| right.clone());
        account_of(row, own)
    };
    rows.into_iter().map(of_row).collect()
}

fn account_of(
    (id, username, created, disabled, sessions): AccountRow,
    rights: impl Iterator<Item = String>,
) -> Account {
    let user = into_user(UserId(id.0), username, rights);
    Account { user, created: created.into(), disabled: disabled.map(Time::from), sessions }
}

/// Sets a user's password and ends their sessions.
#[auto_type]
pub(super) fn set_password(id: UserId, hash: PasswordHash) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let hash: String = hash.0;
    update(users::table)
        .filter(users::id.eq(id))
        .set((users::password_hash.eq(hash), users::sessions.eq(users::sessions + 1_i64)))
        .returning(users::sessions)
}

/// Ends a user's sessions.
#[auto_type]
pub(super) fn end_sessions(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    update(users::table).filter(users::id.eq(id)).set(users::sessions.eq(users::sessions + 1_i64))
}

/// Disables or enables a user, and ends their sessions.
#[auto_type]
pub(super) fn set_disabled(id: UserId, since: Option<SqlTime>) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    update(users::table)
        .filter(users::id.eq(id))
        .set((users::disabled.eq(since), users::sessions.eq(users::sessions + 1_i64)))
}

/// Deletes a user's rights.
#[auto_type]
pub(super) fn remove_rights(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    delete(user_rights::table).filter(user_rights::user_id.eq(id))
}

/// Deletes a user's API keys.
#[auto_type]
pub(super) fn remove_keys(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    delete(api_keys::table).filter(api_keys::user_id.eq(id))
}

/// Deletes a user whose other rows are deleted.
#[auto_type]
pub(super) fn remove(id: UserId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    delete(users::table).filter(users::id.eq(id))
}

/// Converts rows to a user.
pub(super) fn into_user(id: UserId, username: String, rights: impl Iterator<Item = String>) -> User {
    User {
        id,
        username: Username::kept(username),
        rights: rights.filter_map(|name| name.parse().ok()).collect(),
    }
}
