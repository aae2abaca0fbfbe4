//! Users in SQLite.

use async_trait::async_trait;
use database::schema::{user_rights, users};
use database::sqlite::clock;
use database::types::{SqlTime, SqlUuid};
use database::{Sqlite, StoreError};
use diesel::dsl::insert_into;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use uuid::Uuid;

use super::super::users::{
    self as queries, AccountRow, Login, LoginRow, NewUser, NewUserRow, RightRow, Users, into_account,
    into_accounts, into_login,
};
use crate::password::PasswordHash;
use crate::user::{Account, Right, TypedName, User, UserId};

#[async_trait]
impl Users for Sqlite {
    async fn add_user(&self, new: NewUser) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let NewUser { user, password_hash } = new;
            let row = NewUserRow::new(&user, password_hash, clock(connection)?);
            let added = insert_into(users::table).values(row).on_conflict_do_nothing().execute(connection)?;
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

    async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.read(move |connection| account(connection, id)).await
    }

    async fn accounts(&self, after: Option<UserId>, limit: i64) -> Result<Vec<Account>, StoreError> {
        let after = after.unwrap_or(UserId(Uuid::nil()));
        self.read(move |connection| {
            let rows: Vec<AccountRow> = queries::accounts(after, limit).load(connection)?;
            let rights: Vec<(SqlUuid, String)> = queries::rights_of(queries::ids(&rows)).load(connection)?;
            Ok(into_accounts(rows, &rights))
        })
        .await
    }

    async fn login(&self, name: TypedName) -> Result<Option<Login>, StoreError> {
        self.read(move |connection| {
            let logins = queries::logins(name.exact().to_owned(), name.mapped().to_owned());
            let rows: Vec<LoginRow> = logins.load(connection)?;
            Ok(into_login(&name, rows))
        })
        .await
    }

    async fn grant(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        self.write(move |connection| {
            if account(connection, id)?.is_none() {
                return Ok(None);
            }
            grant(connection, id, right)?;
            Ok(account(connection, id)?.map(|account| account.user))
        })
        .await
    }

    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        self.write(move |connection| {
            queries::revoke(id, right).execute(connection)?;
            Ok(account(connection, id)?.map(|account| account.user))
        })
        .await
    }

    async fn set_password(&self, id: UserId, hash: PasswordHash) -> Result<Option<i64>, StoreError> {
        self.write(move |connection| Ok(queries::set_password(id, hash).get_result(connection).optional()?))
            .await
    }

    async fn end_sessions(&self, id: UserId) -> Result<bool, StoreError> {
        self.write(move |connection| Ok(queries::end_sessions(id).execute(connection)? > 0)).await
    }

    async fn set_disabled(&self, id: UserId, is_disabled: bool) -> Result<Option<Account>, StoreError> {
        self.write(move |connection| {
            let now = SqlTime(clock(connection)?.0);
            queries::set_disabled(id, is_disabled.then_some(now)).execute(connection)?;
            account(connection, id)
        })
        .await
    }

    async fn remove_user(&self, id: UserId) -> Result<bool, StoreError> {
        self.write(move |connection| {
            queries::remove_rights(id).execute(connection)?;
            queries::remove_keys(id).execute(connection)?;
            Ok(queries::remove(id).execute(connection)? > 0)
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

fn account(connection: &mut SqliteConnection, id: UserId) -> Result<Option<Account>, StoreError> {
    Ok(into_account(queries::account(id).load(connection)?))
}
