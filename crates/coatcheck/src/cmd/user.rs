//! `coatcheck user`: makes users and changes their rights, in the database itself. This is how the first admin is made.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use accounts::audit::{Act, NewEntry};
use accounts::password::{Password, PasswordError, Passwords};
use accounts::user::{Account, Right, TypedName, User, UserId, Username};
use accounts::{Accounts, NewUser};
use clap::Subcommand;
use console::Term;
use database::StoreError;
use program::{complain, conclude, in_one_line, refuse, visible};
use task_data::stack::{OpenError, open_database};

/// The variable with a new password.
const PASSWORD: &str = "COATCHECK_PASSWORD";
/// The message after a command that leaves the server without an admin.
const NO_ADMIN: &str = "no admin is left who can log in; make one: coatcheck user create NAME --admin, or coatcheck user grant NAME admin";
/// The users that are read at once.
const PAGE: i64 = 1000;

/// Make users, list them, change what they may do, and end their sessions
///
/// Users can register themselves, unless REGISTRATION is closed; only this command makes the first admin, who can then do the
/// rest over HTTP. It works on the database itself, which must be there, beside a running server or without one. What is taken from a user is gone at
/// once; a right that is granted shows in tokens from the next log-in on, in API keys at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done, and one line a user says what; 1 the database can't be opened, or standard output could not be written after it was done; 2 bad usage, a taken or unknown username.

Examples:
  coatcheck user create ada --admin              asks for the password
  COATCHECK_PASSWORD_FILE=secret coatcheck user create bob
  coatcheck user grant bob paid
  coatcheck user revoke bob paid
  coatcheck user list
  coatcheck user logout bob                      ends their sessions")]
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
    /// The file with a user's new password, which the variable COATCHECK_PASSWORD may have instead
    #[arg(long, env, global = true, value_name = "COATCHECK_PASSWORD_FILE")]
    coatcheck_password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user; the password is read from COATCHECK_PASSWORD, or asked for on a terminal
    #[command(after_help = "\
Examples:
  coatcheck user create ada --admin              asks for the password
  COATCHECK_PASSWORD_FILE=secret coatcheck user create bob")]
    Create {
        /// 1 to 64 letters, digits, ASCII signs and single spaces within; upper and lower case are one
        name: Username,
        /// Let them manage users and see all tasks
        #[arg(long)]
        admin: bool,
    },
    /// Grant a user a right; it shows in tokens from the next log-in on, in API keys at once
    #[command(after_help = "\
Examples:
  coatcheck user grant bob paid                  may send messages that cost
  coatcheck user grant bob viewer                sees all tasks
  coatcheck user grant bob operator              sees and changes all tasks
  coatcheck user grant bob admin                 also manages users")]
    Grant {
        /// The user's name
        name: String,
        /// `paid`, `viewer`, `operator` or `admin`
        right: Right,
    },
    /// Revoke a right, at once
    #[command(after_help = "\
Examples:
  coatcheck user revoke bob paid")]
    Revoke {
        /// The user's name
        name: String,
        /// `paid`, `viewer`, `operator` or `admin`
        right: Right,
    },
    /// List all users, the oldest first: a line each with name, id, rights, and whether they are disabled
    #[command(after_help = "\
Examples:
  coatcheck user list
  coatcheck user list | grep admin")]
    List,
    /// Set a user's password, read as for `create`, and end their sessions
    #[command(after_help = "\
Examples:
  coatcheck user password bob                    asks for the password
  COATCHECK_PASSWORD_FILE=secret coatcheck user password bob")]
    Password {
        /// The user's name
        name: String,
    },
    /// Disable a user: log-ins, tokens and API keys are rejected
    #[command(after_help = "\
Examples:
  coatcheck user disable bob")]
    Disable {
        /// The user's name
        name: String,
    },
    /// Enable a user again
    #[command(after_help = "\
Examples:
  coatcheck user enable bob")]
    Enable {
        /// The user's name
        name: String,
    },
    /// Delete a user and their API keys; only admins see their tasks from then on. It can't be undone: see `disable`
    #[command(after_help = "\
Examples:
  coatcheck user delete bob")]
    Delete {
        /// The user's name
        name: String,
    },
    /// End a user's sessions; API keys stay
    #[command(after_help = "\
Examples:
  coatcheck user logout bob")]
    Logout {
        /// The user's name
        name: String,
    },
}

/// A reason why the command failed.
#[derive(Debug, thiserror::Error)]
enum UserError {
    /// The command was called wrongly; the text says how.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Runs the command; returns its exit status.
pub async fn run(args: UserArgs) -> ExitCode {
    match act(args).await {
        Ok(done) => conclude(&done.iter().map(|line| format!("{}\n", visible(line))).collect::<String>()),
        Err(error @ (UserError::Usage(_) | UserError::Open(OpenError::Setting { .. }))) => {
            refuse(&in_one_line(&error))
        }
        Err(error) => {
            complain(&in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

async fn open_accounts(database_url: &str) -> Result<Arc<dyn Accounts>, OpenError> {
    Ok(accounts::of(&open_database(database_url).await?))
}

/// Runs the action; returns a message, or the users, a line each.
async fn act(
    UserArgs { action, database_url, coatcheck_password_file }: UserArgs,
) -> Result<Vec<String>, UserError> {
    let accounts = open_accounts(&database_url).await?;
    let file = coatcheck_password_file.as_deref();
    let takes_away = matches!(
        action,
        Action::Revoke { right: Right::Admin, .. } | Action::Disable { .. } | Action::Delete { .. }
    );
    let done = match action {
        Action::Create { name, admin } => {
            let password = password(name.as_str(), file).await?;
            create(&*accounts, name, password, admin).await?
        }
        Action::Grant { name, right } => {
            let id = id_of(&*accounts, &name).await?;
            let done = told(accounts.grant(id, right).await?, &name)?;
            record(&*accounts, Act::Grant, id, right.name()).await?;
            done
        }
        Action::Revoke { name, right } => {
            let id = id_of(&*accounts, &name).await?;
            let done = told(accounts.revoke(id, right).await?, &name)?;
            record(&*accounts, Act::Revoke, id, right.name()).await?;
            done
        }
        Action::List => return Ok(all(&*accounts).await?.iter().map(account_line).collect()),
        Action::Password { name } => {
            let id = id_of(&*accounts, &name).await?;
            let hash = Passwords::default().hash(password(&name, file).await?).await?;
            accounts.set_password(id, hash).await?.ok_or_else(|| unknown(&name))?;
            record(&*accounts, Act::SetPassword, id, &name).await?;
            format!("set the password of {name} ({id}), and ended their sessions")
        }
        Action::Disable { name } => set_disabled(&*accounts, &name, true).await?,
        Action::Enable { name } => set_disabled(&*accounts, &name, false).await?,
        Action::Delete { name } => {
            let id = id_of(&*accounts, &name).await?;
            if !accounts.remove_user(id).await? {
                return Err(unknown(&name));
            }
            record(&*accounts, Act::DeleteUser, id, &name).await?;
            format!("deleted {name} ({id})")
        }
        Action::Logout { name } => {
            let id = id_of(&*accounts, &name).await?;
            if !accounts.end_sessions(id).await? {
                return Err(unknown(&name));
            }
            record(&*accounts, Act::EndSessions, id, &name).await?;
            format!("ended the sessions of {name} ({id})")
        }
    };
    if takes_away && !has_admin(&*accounts).await? {
        complain(NO_ADMIN);
    }
    Ok(vec![done])
}

async fn create(
    accounts: &dyn Accounts,
    username: Username,
    password: Password,
    is_admin: bool,
) -> Result<String, UserError> {
    let password_hash = Passwords::default().hash(password).await?;
    let rights: BTreeSet<Right> = is_admin.then_some(Right::Admin).into_iter().collect();
    let user = User { id: UserId::random(), username, rights };
    if !accounts.add_user(NewUser { user: user.clone(), password_hash }).await? {
        return Err(UserError::Usage(format!("the username {} is taken", user.username)));
    }
    record(accounts, Act::CreateUser, user.id, user.username.as_str()).await?;
    Ok(format!("created {}", line(&user)))
}

/// Returns all users, the oldest first.
async fn all(accounts: &dyn Accounts) -> Result<Vec<Account>, UserError> {
    let mut found: Vec<Account> = Vec::new();
    loop {
        let page = accounts.accounts(found.last().map(|last| last.user.id), PAGE).await?;
        let is_last = (page.len() as i64) < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

async fn set_disabled(accounts: &dyn Accounts, name: &str, is_disabled: bool) -> Result<String, UserError> {
    let id = id_of(accounts, name).await?;
    let account = accounts.set_disabled(id, is_disabled).await?.ok_or_else(|| unknown(name))?;
    let act = if is_disabled { Act::DisableUser } else { Act::EnableUser };
    record(accounts, act, id, account.user.username.as_str()).await?;
    Ok(account_line(&account))
}

/// Records what was done to a user in the audit.
async fn record(accounts: &dyn Accounts, act: Act, id: UserId, detail: &str) -> Result<(), StoreError> {
    let (who, detail) = ("coatcheck user".to_owned(), Some(detail.to_owned()));
    accounts.add_entry(NewEntry { user: None, who, act, target: id.to_string(), detail }).await
}

/// Returns whether an admin is left who can log in.
async fn has_admin(accounts: &dyn Accounts) -> Result<bool, UserError> {
    let is_admin =
        |account: &Account| account.disabled.is_none() && account.user.rights.contains(&Right::Admin);
    Ok(all(accounts).await?.iter().any(is_admin))
}

/// Finds a user by the name as it was typed.
async fn id_of(accounts: &dyn Accounts, name: &str) -> Result<UserId, UserError> {
    let typed = TypedName::new(name).ok_or_else(|| unknown(name))?;
    Ok(accounts.login(typed).await?.ok_or_else(|| unknown(name))?.id)
}

fn told(user: Option<User>, name: &str) -> Result<String, UserError> {
    user.as_ref().map(line).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> UserError {
    UserError::Usage(format!("user {name} does not exist"))
}

/// Returns a user as [`line()`] does, and whether they may log in.
fn account_line(Account { user, disabled, .. }: &Account) -> String {
    format!("{}{}", line(user), if disabled.is_some() { ", disabled" } else { "" })
}

/// Returns a name, in quotes if it could be read as more than a name.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_.@+".contains(c);
    match name.chars().all(|c| is_plain(c) || c == '-') && !name.starts_with('-') {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}

/// Returns a user in words: `ada (0198…), rights: paid admin`.
fn line(User { id, username, rights }: &User) -> String {
    let mut line = format!("{} ({id}), rights:", quoted(username.as_str()));
    for right in rights {
        // Writing to a string can't fail.
        let _ = write!(line, " {right}");
    }
    if rights.is_empty() {
        line.push_str(" none");
    }
    line
}

/// Returns the user's new password.
async fn password(name: &str, file: Option<&Path>) -> Result<Password, UserError> {
    let text = match program::secret(PASSWORD, file).map_err(UserError::Usage)? {
        Some(text) => text,
        None if stdin().is_terminal() => asked(name).await?,
        None => return Err(UserError::Usage(format!("{PASSWORD}: set it, or run this on a terminal"))),
    };
    text.parse().map_err(|error| UserError::Usage(format!("{PASSWORD}: {error}")))
}

/// Asks for it twice on the terminal, without an echo.
async fn asked(name: &str) -> Result<String, UserError> {
    let prompt = format!("Password for {name}: ");
    let asking = tokio::task::spawn_blocking(move || {
        let terminal = Term::stderr();
        let ask = |prompt: &str| {
            terminal.write_str(prompt)?;
            terminal.read_secure_line()
        };
        Ok((ask(&prompt)?, ask("Once more: ")?))
    });
    let unreadable = |error: std::io::Error| UserError::Usage(format!("the password can't be read: {error}"));
    let asked = asking.await.map_err(|error| unreadable(std::io::Error::other(error)))?;
    let (first, second) = asked.map_err(unreadable)?;
    if first != second {
        return Err(UserError::Usage("these are two different passwords".to_owned()));
    }
    Ok(first)
}
