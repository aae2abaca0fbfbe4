//! Users in PostgreSQL.

use async_trait::async_trait;
use diesel::dsl::insert_into;
use diesel::result::QueryResult;
use diesel::{OptionalExtension, select};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::super::StoreError;
use super::super::schema::{user_rights, users};
use super::super::tasks::now;
use super::super::types::SqlTime;
use super::super::users::{self as queries, LoginRow, NewUser, NewUserRow, RightRow, Users, into_login};
use super::PostgresStore;
use super::connection::answer;
use super::session::Session;
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
        into_user(id, answer(find(&mut connection, id)).await?)
    }

    async fn login(&self, username: Username) -> Result<Option<(UserId, PasswordHash)>, StoreError> {
        let mut connection = self.connections.get().await?;
        let login = async { queries::login(username).get_result(&mut connection).await.optional() };
        let row: Option<LoginRow> = answer(login).await?;
        Ok(row.map(into_login))
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
        into_user(id, answer(grant).await?)
    }

    async fn revoke(&self, id: UserId, right: Right) -> Result<Option<User>, StoreError> {
        let mut connection = self.connections.get().await?;
        let revoke = async {
            queries::revoke(id, right).execute(&mut connection).await?;
            find(&mut connection, id).await
        };
        into_user(id, answer(revoke).await?)
    }
}

/// A user's name and the names of his rights.
type Found = Option<(String, Vec<String>)>;

async fn find(connection: &mut Session, id: UserId) -> QueryResult<Found> {
    let username: Option<String> = queries::username(id).get_result(connection).await.optional()?;
    match username {
        Some(username) => Ok(Some((username, queries::rights(id).load(connection).await?))),
        None => Ok(None),
    }
}

fn into_user(id: UserId, found: Found) -> Result<Option<User>, StoreError> {
    found.map(|(username, rights)| queries::into_user(id, username, rights)).transpose()
}
