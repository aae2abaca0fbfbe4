//! Users in PostgreSQL.

use async_trait::async_trait;
use database::postgres::{Session, answer};
use database::schema::{user_rights, users};
use database::types::{SqlTime, SqlUuid};
use database::{Postgres, StoreError, now};
use diesel::dsl::insert_into;
use diesel::result::QueryResult;
use diesel::{OptionalExtension, QueryDsl, select};
use diesel_async::{AsyncConnection, RunQueryDsl};
use uuid::Uuid;

use super::super::users::{
    self as queries, AccountRow, Login, LoginRow, NewUser, NewUserRow, RightRow, Users, into_account,
    into_accounts, into_login,
};
use crate::password::PasswordHash;
use crate::user::{Account, Right, TypedName, User, UserId};

#[async_trait]
impl Users for Postgres {
    async fn add_user(&self, new: NewUser) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let NewUser { user, password_hash } = new;
        let add = connection.transaction(async |connection| {
            let now: SqlTime = select(now()).get_result(connection).await?;
            let row = NewUserRow::new(&user, password_hash, now.into());
            let added =
                insert_into(users::table).values(row).on_conflict_do_nothing().execute(connection).await?;
            if added > 0 {
                let rights: Vec<RightRow> =
                    user.rights.iter().map(|right| RightRow::new(user.id, *right)).collect();
                insert_into(user_rights::table).values(rights).execute(connection).await?;
            }
            Ok(added > 0)
        });
        answer(add).await
    }

    async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let mut connection = self.get().await?;
        answer(account(&mut connection, id)).await
    }

    async fn accounts(&self, after: Option<UserId>, limit: i64) -> Result<Vec<Account>, StoreError> {
        let mut connection = self.get().await?;
        let after = after.unwrap_or(UserId(Uuid::nil()));
        let page = async {
            let rows: Vec<AccountRow> = queries::accounts(after, limit).load(&mut connection).await?;
            let rights: Vec<(SqlUuid, String)> =
                queries::rights_of(queries::ids(&rows)).load(&mut connection).await?;
            Ok(into_accounts(rows, &rights))
        };
        answer(page).await
    }

    async fn login(&self, name: TypedName) -> Result<Option<Login>, StoreError> {
        let mut connection = self.get().await?;
        let logins = queries::logins(name.exact().to_owned(), name.mapped().to_owned());
        let rows: Vec<LoginRow> = answer(logins.load(&mut connection)).await?;
        Ok(into_login(&name, rows))
    }

    async fn grant(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        let mut connection = self.get().await?;
        let grant = (*connection).transaction(async |connection: &mut Session| {
            // A statement that removes the user waits for this one.
            let user: Option<String> =
                queries::username(id).for_key_share().get_result(connection).await.optional()?;
            if user.is_none() {
                return QueryResult::Ok(None);
            }
            insert_into(user_rights::table)
                .values(RightRow::new(id, right))
                .on_conflict_do_nothing()
                .execute(connection)
                .await?;
            account(connection, id).await
        });
        Ok(answer(grant).await?.map(|account| account.user))
    }

    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        let mut connection = self.get().await?;
        let revoke = async {
            queries::revoke(id, right).execute(&mut connection).await?;
            account(&mut connection, id).await
        };
        Ok(answer(revoke).await?.map(|account| account.user))
    }

    async fn set_password(&self, id: UserId, hash: PasswordHash) -> Result<Option<i64>, StoreError> {
        let mut connection = self.get().await?;
        let set = async { queries::set_password(id, hash).get_result(&mut connection).await.optional() };
        answer(set).await
    }

    async fn end_sessions(&self, id: UserId) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        Ok(answer(queries::end_sessions(id).execute(&mut connection)).await? > 0)
    }

    async fn set_disabled(&self, id: UserId, is_disabled: bool) -> Result<Option<Account>, StoreError> {
        let mut connection = self.get().await?;
        let set = async {
            let now: SqlTime = select(now()).get_result(&mut connection).await?;
            let since = is_disabled.then_some(now);
            queries::set_disabled(id, since).execute(&mut connection).await?;
            account(&mut connection, id).await
        };
        answer(set).await
    }

    async fn remove_user(&self, id: UserId) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let remove = (*connection).transaction(async |connection: &mut Session| {
            // Statements that add rights or keys wait here, and then find that the user is gone.
            let user: Option<String> = diesel::QueryDsl::for_update(queries::username(id))
                .get_result(connection)
                .await
                .optional()?;
            queries::remove_rights(id).execute(connection).await?;
            queries::remove_keys(id).execute(connection).await?;
            queries::remove(id).execute(connection).await?;
            QueryResult::Ok(user.is_some())
        });
        answer(remove).await
    }
}

async fn account(connection: &mut Session, id: UserId) -> QueryResult<Option<Account>> {
    Ok(into_account(queries::account(id).load(connection).await?))
}
