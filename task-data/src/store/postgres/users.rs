//! Users in PostgreSQL.

use async_trait::async_trait;
use diesel::dsl::insert_into;
use diesel::result::QueryResult;
use diesel::{OptionalExtension, select};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::super::StoreError;
use super::super::schema::{user_rights, users};
use super::super::tasks::now;
use super::super::types::SqlTime;
use super::super::users::{
    self as queries, NewUser, NewUserRow, RightRow, UserRow, Users, by_id, by_username, into_login, rights_of,
};
use super::PostgresStore;
use super::connection::answer;
use crate::password::PasswordHash;
use crate::user::{Right, User, UserId, Username};

#[async_trait]
impl Users for PostgresStore {
    async fn add_user(&self, new: NewUser) -> Result<bool, StoreError> {
        let mut connection = self.connections.get().await?;
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

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let mut connection = self.connections.get().await?;
        user(answer(find(&mut connection, id)).await?)
    }

    async fn login(&self, username: Username) -> Result<Option<(User, PasswordHash)>, StoreError> {
        let mut connection = self.connections.get().await?;
        let login = async {
            let row = by_username(username).get_result(&mut connection).await.optional()?;
            with_rights(&mut connection, row).await
        };
        let found = answer(login).await?;
        found.map(|(row, rights)| into_login(row, rights)).transpose()
    }

    async fn grant(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        let mut connection = self.connections.get().await?;
        let grant = async {
            if find(&mut connection, id).await?.is_none() {
                return Ok(None);
            }
            insert_into(user_rights::table)
                .values(RightRow::new(id, right))
                .on_conflict_do_nothing()
                .execute(&mut connection)
                .await?;
            find(&mut connection, id).await
        };
        user(answer(grant).await?)
    }

    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        let mut connection = self.connections.get().await?;
        let revoke = async {
            queries::revoke(id, right).execute(&mut connection).await?;
            find(&mut connection, id).await
        };
        user(answer(revoke).await?)
    }
}

type Found = Option<(UserRow, Vec<String>)>;

async fn find(connection: &mut AsyncPgConnection, id: UserId) -> QueryResult<Found> {
    let row = by_id(id).get_result(connection).await.optional()?;
    with_rights(connection, row).await
}

async fn with_rights(connection: &mut AsyncPgConnection, row: Option<UserRow>) -> QueryResult<Found> {
    match row {
        Some(row) => {
            let rights = rights_of(row.0).load(connection).await?;
            Ok(Some((row, rights)))
        }
        None => Ok(None),
    }
}

fn user(found: Found) -> Result<Option<User>, StoreError> {
    found.map(|(row, rights)| Ok(into_login(row, rights)?.0)).transpose()
}
