//! The settings that name a server: flags, variables and contexts.

use std::path::PathBuf;

use uuid::Uuid;

use crate::URL;
use crate::client::Client;
use crate::error::{ClientError, SettingError};

/// The server that is used if no setting names one.
const DEFAULT_URL: &str = "http://127.0.0.1:9000";

/// The settings that name the server of a client.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// The server to talk to, http:// or https://. A private certificate authority is named by its PEM file in SSL_CERT_FILE
    #[arg(
        long,
        env = "COATCHECK_URL",
        alias = "coatcheck-url",
        value_name = "COATCHECK_URL",
        default_value = DEFAULT_URL
    )]
    pub url: String,
    /// The file with your API key, for a server with AUTH=required. The variable COATCHECK_TOKEN may have the key instead; a file that is named by this flag goes before it
    #[arg(long, env, value_name = "COATCHECK_TOKEN_FILE")]
    pub coatcheck_token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// Returns the command that redeems a ticket at that server.
    pub fn get(&self) -> String {
        match program::context() {
            Some(context) => format!("coatcheck get --context {}", context.name),
            None if self.is_default() => "coatcheck get".to_owned(),
            None => format!("coatcheck get --url {}", program::without_passwords(&self.url)),
        }
    }

    /// Returns whether it is the server that is used if no setting names one.
    pub fn is_default(&self) -> bool {
        self.url == DEFAULT_URL
    }

    /// Returns a client of that server, which sends the API key if there is one.
    ///
    /// # Errors
    /// If a setting is wrong.
    pub fn client(&self) -> Result<Client, SettingError> {
        let file = self.coatcheck_token_file.as_deref();
        let token = match program::context() {
            // The key of a variable is for another server.
            Some(_) => file.map(|file| program::read_secret("COATCHECK_TOKEN", file)).transpose(),
            None => program::secret("COATCHECK_TOKEN", file),
        };
        let token = token.map_err(SettingError::Token)?;
        let by_variable = program::variable(URL).is_ok_and(|url| url.as_ref() == Some(&self.url));
        let setting = if by_variable { URL } else { "--url" };
        let client = Client::new(setting, &self.url, token.filter(|token| !token.is_empty()).as_deref())?;
        let given = match (program::context(), program::place_of(URL, &self.url)) {
            (Some(context), _) => format!("context {}", context.name),
            (None, Some(place)) => place,
            (None, None) if self.url == DEFAULT_URL && !by_variable => {
                "the default; --url or COATCHECK_URL names another".to_owned()
            }
            (None, None) => setting.to_owned(),
        };
        Ok(client.given_by(&given))
    }

    /// Returns a client of that server, and the ids of tickets as they were given.
    ///
    /// # Errors
    /// One line, if a setting is wrong or an id is not one.
    pub fn client_and_ids(&self, given: &[String]) -> Result<(Client, Vec<Uuid>), String> {
        let client = self.client().map_err(|error| error.to_string())?;
        Ok((client, ids(given).map_err(|error| error.to_string())?))
    }
}

/// Parses the ids of tickets; fails at the first that is not one.
fn ids(given: &[String]) -> Result<Vec<Uuid>, ClientError> {
    given
        .iter()
        .map(|id| id.trim())
        .map(|id| id.parse().map_err(|_| ClientError::NotAnId(id.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_told_with_its_setting() {
        let error = Client::new(URL, "ftp://h", None).unwrap_err().to_string();

        assert!(error.starts_with("COATCHECK_URL: "), "{error}");
    }
}
