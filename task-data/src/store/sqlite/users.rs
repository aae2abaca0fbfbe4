//! Users in SQLite.

use async_trait::async_trait;
use diesel::dsl::insert_into;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::super::StoreError;
use super::super::schema::{user_rights, users};
use super::super::users::{
    self as queries, NewUser, NewUserRow, RightRow, UserRow, Users, by_id, by_username, into_login, rights_of,
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

    async fn login(&self, username: Username) -> Result<Option<(User, PasswordHash)>, StoreError> {
        self.connections
            .read(move |connection| {
                let row = by_username(username).get_result(connection).optional()?;
                with_rights(connection, row)
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
    let row = by_id(id).get_result(connection).optional()?;
    Ok(with_rights(connection, row)?.map(|(user, _)| user))
}

fn with_rights(
    connection: &mut SqliteConnection,
    row: Option<UserRow>,
) -> Result<Option<(User, PasswordHash)>, StoreError> {
    row.map(|row| into_login(row.clone(), rights_of(row.0).load(connection)?)).transpose()
}
