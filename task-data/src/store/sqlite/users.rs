//! Users in SQLite.

use async_trait::async_trait;
use diesel::dsl::insert_into;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::super::StoreError;
use super::super::schema::{user_rights, users};
use super::super::users::{
    self as queries, LoginRow, NewUser, NewUserRow, RightRow, Users, into_login, into_user,
};
use super::{SqliteStore, clock};
use crate::password::PasswordHash;
use crate::user::{Right, User, UserId, Username};

#[async_trait]
impl Users for SqliteStore {
    async fn add_user(&self, new: NewUser) -> Result<bool, StoreError> {
        self.connections
            .write(move |connection| {
                let NewUser { user, password_hash } = new;
                let row = NewUserRow::new(&user, password_hash, clock(connection)?);
                let added =
                    insert_into(users::table).values(row).on_conflict_do_nothing().execute(connection)?;
                if added == 0 {
                    return Ok(false);
                }
                for right in user.rights {
                    grant(connection, user.id, right)?;
                }
                Ok(true)
            })
            .await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.connections.read(move |connection| user(connection, id)).await
    }

    async fn login(&self, username: Username) -> Result<Option<(UserId, PasswordHash)>, StoreError> {
        self.connections
            .read(move |connection| {
                let row: Option<LoginRow> = queries::login(username).get_result(connection).optional()?;
                Ok(row.map(into_login))
            })
            .await
    }

    async fn grant(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        self.connections
            .write(move |connection| {
                if user(connection, id)?.is_none() {
                    return Ok(None);
                }
                grant(connection, id, right)?;
                user(connection, id)
            })
            .await
    }

    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        self.connections
            .write(move |connection| {
                queries::revoke(id, right).execute(connection)?;
                user(connection, id)
            })
            .await
    }
}

fn grant(connection: &mut SqliteConnection, id: UserId, right: Right) -> Result<(), StoreError> {
    insert_into(user_rights::table)
        .values(RightRow::new(id, right))
        .on_conflict_do_nothing()
        .execute(connection)?;
    Ok(())
}

fn user(connection: &mut SqliteConnection, id: UserId) -> Result<Option<User>, StoreError> {
    let username: Option<String> = queries::username(id).get_result(connection).optional()?;
    username.map(|username| into_user(id, username, queries::rights(id).load(connection)?)).transpose()
}
