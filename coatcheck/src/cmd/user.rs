//! `coatcheck user`: make users and grant rights, straight in the database. So there is a first admin.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{IsTerminal, stdin};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use program::{in_one_line, refuse};
use task_data::password::{Password, PasswordError, Passwords};
use task_data::stack::{OpenError, open_store};
use task_data::store::{NewUser, Store, StoreError};
use task_data::user::{Right, User, UserId, Username};

/// Where a new user's password is read.
const PASSWORD: &str = "COATCHECK_PASSWORD";

/// Make users, grant them rights and revoke these
///
/// Users can register themselves; only this command makes the first admin, who can then grant rights over HTTP. It works on
/// the database itself, beside a running server or without one. Rights are in a user's token: a change shows at his next
/// log-in, and tokens that he has already hold for up to an hour.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done, and one line says what; 1 the database can't be had; 2 bad usage, a taken or unknown username.

Examples:
  coatcheck user create ada --admin              asks for the password
  COATCHECK_PASSWORD_FILE=secret coatcheck user create bob
  coatcheck user grant bob paid
  coatcheck user revoke bob paid")]
pub struct UserArgs {
    #[command(subcommand)]
    action: Action,
    /// The database: `sqlite:PATH` or `postgres://…`
    #[arg(
        long,
        env,
        global = true,
        value_name = "DATABASE_URL",
        default_value = "sqlite:data/coatcheck.db",
        hide_env_values = true
    )]
    database_url: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user; his password is read from COATCHECK_PASSWORD, or asked for on a terminal
    Create {
        /// 1 to 64 visible characters; upper and lower case are two
        name: Username,
        /// Let him grant rights and revoke them
        #[arg(long)]
        admin: bool,
    },
    /// Grant a user a right: `paid` or `admin`
    Grant { name: Username, right: Right },
    /// Revoke a right
    Revoke { name: Username, right: Right },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum UserError {
    /// The caller has to say something else.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Runs the command; its exit status.
pub async fn run(args: UserArgs) -> ExitCode {
    match act(args).await {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error @ (UserError::Usage(_) | UserError::Open(OpenError::Setting { .. }))) => {
            refuse(&in_one_line(&error))
        }
        Err(error) => {
            eprintln!("coatcheck: {}", in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Does it; what was done, in a line.
async fn act(UserArgs { action, database_url }: UserArgs) -> Result<String, UserError> {
    let open = || open_store(&database_url);
    match action {
        Action::Create { name, admin } => {
            // Before the database is made where it is missing.
            let password = password(&name).await?;
            create(open().await?, name, password, admin).await
        }
        Action::Grant { name, right } => {
            let store = open().await?;
            let id = id_of(&*store, &name).await?;
            let user = store.grant(id, right).await?;
            told(user, &name)
        }
        Action::Revoke { name, right } => {
            let store = open().await?;
            let id = id_of(&*store, &name).await?;
            let user = store.revoke(id, right).await?;
            told(user, &name)
        }
    }
}

async fn create(
    store: Arc<dyn Store>,
    username: Username,
    password: Password,
    is_admin: bool,
) -> Result<String, UserError> {
    let password_hash = Passwords::default().hash(password).await?;
    let rights: BTreeSet<Right> = is_admin.then_some(Right::Admin).into_iter().collect();
    let user = User { id: UserId::random(), username, rights };
    if !store.add_user(NewUser { user: user.clone(), password_hash }).await? {
        return Err(UserError::Usage(format!("the username {} is taken", user.username)));
    }
    Ok(format!("created {}", line(&user)))
}

async fn id_of(store: &dyn Store, name: &Username) -> Result<UserId, UserError> {
    let found = store.login(name.clone()).await?;
    found.map(|(id, _)| id).ok_or_else(|| unknown(name))
}

fn told(user: Option<User>, name: &Username) -> Result<String, UserError> {
    user.as_ref().map(line).ok_or_else(|| unknown(name))
}

fn unknown(name: &Username) -> UserError {
    UserError::Usage(format!("there is no user {name}"))
}

/// A user in words: `ada (0198…), rights: paid admin`.
fn line(User { id, username, rights }: &User) -> String {
    let mut line = format!("{username} ({id}), rights:");
    for right in rights {
        // Writing to a string can't fail.
        let _ = write!(line, " {right}");
    }
    if rights.is_empty() {
        line.push_str(" none");
    }
    line
}

/// The password of a user to be.
async fn password(name: &Username) -> Result<Password, UserError> {
    let text = match program::secret(PASSWORD).map_err(UserError::Usage)? {
        Some(text) => text,
        None if stdin().is_terminal() => asked(name).await?,
        None => return Err(UserError::Usage(format!("{PASSWORD}: set it, or run this on a terminal"))),
    };
    text.parse().map_err(|error| UserError::Usage(format!("{PASSWORD}: {error}")))
}

/// Asks twice on the terminal, without an echo.
async fn asked(name: &Username) -> Result<String, UserError> {
    let prompt = format!("Password for {name}: ");
    let asking = tokio::task::spawn_blocking(move || {
        let first = rpassword::prompt_password(prompt)?;
        Ok((first, rpassword::prompt_password("Once more: ")?))
    });
    let unreadable = |error: std::io::Error| UserError::Usage(format!("the password can't be read: {error}"));
    let asked = asking.await.map_err(|error| unreadable(std::io::Error::other(error)))?;
    let (first, second) = asked.map_err(unreadable)?;
    if first != second {
        return Err(UserError::Usage("these are two different passwords".to_owned()));
    }
    Ok(first)
}
