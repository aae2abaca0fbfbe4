//! The HTTP client of the client commands: hands a file in, waits for its digest, reads tasks; adds records and reads them.
//!
//! It hashes nothing and prints nothing. It retries failures that may pass (a server that is starting, full or restarting). Every upload
//! carries an `Idempotency-Key`, so one that is repeated after a lost answer is one task.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

pub use self::error::{ClientError, SettingError};
use self::error::{one_line, root_cause};
use self::meter::Trouble;
pub use self::meter::{Meter, Outages};
use self::patience::Series;
pub use self::records::Added;
pub use self::tasks::{WAITS, status};
pub use self::upload::STDIN;
use self::upload::{Body, Upload};

mod error;
mod lines;
mod meter;
mod patience;
mod records;
mod tasks;
mod upload;

/// How long the server is asked to wait for an end; polls are repeated.
pub const WAIT: Duration = Duration::from_secs(30);
/// The time without any progress on a connection after which its request is given up. Longer than [`WAIT`].
const SILENCE: Duration = Duration::from_secs(90);
/// How often the client checks for progress.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The setting with the server's address.
pub const URL: &str = "COATCHECK_URL";
/// The server that client commands use if no setting names one.
const DEFAULT_URL: &str = "http://127.0.0.1:9000";
/// How often a server may say that it is busy before a message says so: many servers are full for a moment.
const TRIES_IN_SILENCE: u32 = 5;
/// How long an idle connection is reused. Shorter than servers keep one open: a request on a connection that they close is lost.
const IDLE: Duration = Duration::from_secs(4);
/// How long a connection may take to be established.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the answer to a request may take that is sent only once.
const LOOK: Duration = Duration::from_secs(4);
/// The least time between polls of a server that doesn't wait.
const POLL_AT_MOST_EVERY: Duration = Duration::from_millis(250);

/// Characters to escape in a path segment: all but RFC 3986's unreserved ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The settings that name the server of the client commands.
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
        Ok(Client { shown: format!("{} ({given})", client.name), ..client })
    }

    /// Returns a client of that server, and the ids of tickets as they were given.
    ///
    /// # Errors
    /// One line, if a setting is wrong or an id is not one.
    pub fn client_and_ids(&self, given: &[String]) -> Result<(Client, Vec<Uuid>), String> {
        let client = self.client().map_err(|error| error.to_string())?;
        Ok((client, tasks::ids(given).map_err(|error| error.to_string())?))
    }
}

/// A client of one server, shared by all that a command has under way.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// The server's address without a password.
    name: String,
    /// How messages name the server: as [`Self::name`], and the setting that it comes from.
    shown: String,
    has_token: bool,
    meter: Arc<Meter>,
    /// The number of requests that got through. While it stays the same, the server accepts nothing.
    answers: AtomicU64,
    /// The value of `answers` at which one request gave up: until it changes, the others need not wait too.
    gave_up_at: AtomicU64,
    /// The number of records that had to be sent again.
    tries_repeated: AtomicU64,
}

impl Client {
    /// # Errors
    /// If the URL can't be a server's address, or the token is malformed.
    pub fn new(setting: &'static str, url: &str, token: Option<&str>) -> Result<Self, SettingError> {
        let base = base_url(url).map_err(|reason| SettingError::Url(setting, reason))?;
        let tls = program::tls::of_http_client(base.scheme() == "https")
            .map_err(|reason| SettingError::Tls(setting, reason))?;
        let http = reqwest::Client::builder()
            .default_headers(credentials(token)?)
            // A proxy from the environment would be used for 127.0.0.1 too.
            .no_proxy()
            // An upload can't be replayed to another address, and Coatcheck never redirects.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tls_backend_preconfigured(tls)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("coatcheck/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SettingError::Url(setting, root_cause(&error)))?;
        let mut shown = base.clone();
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        let name = shown.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            base,
            shown: name.clone(),
            name,
            has_token: token.is_some(),
            meter: Arc::default(),
            answers: AtomicU64::new(0),
            gave_up_at: AtomicU64::new(u64::MAX),
            tries_repeated: AtomicU64::new(0),
        })
    }

    /// Returns the server's address without a password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether requests bring an API key.
    pub const fn has_token(&self) -> bool {
        self.has_token
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Returns messages on each time that the server becomes unreachable or accepts nothing, and when it is back.
    pub fn outages(&self) -> Outages {
        self.meter.outages(format!("{} answers again", self.name))
    }

    /// Runs `work`, and reports on standard error when the server becomes unreachable or accepts nothing, and when it is back.
    pub async fn telling<T>(&self, work: impl Future<Output = T>) -> T {
        let (mut outages, mut work) = (self.outages(), pin!(work));
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                told = outages.next() => program::complain(&told),
            }
        };
        if let Some(told) = outages.rest() {
            program::complain(&told);
        }
        done
    }

    /// Hands a file in under an idempotency key; returns the ticket, which is the id of its task, and the task as the server answered it.
    ///
    /// The file is streamed, whatever its size. `path` may also be a pipe, a device, or `-` for standard input; `name` is the file name for
    /// the server, if it is not the path's own.
    ///
    /// # Errors
    /// If the file can't be read, the server rejects it, or the server accepts nothing for a minute. [`ClientError::OtherContent`] if the
    /// key stands for another content.
    ///
    /// # Cancel safety
    /// If the call is dropped midway, the task may exist or not. A call with the same key finds it.
    pub async fn put(
        &self,
        path: &Path,
        name: Option<&str>,
        key: Uuid,
    ) -> Result<(Uuid, Value), ClientError> {
        let url = self.url(&["v1", "md5", &upload::name(name.map_or(path, Path::new))]);
        let mut upload = Upload::open(path).await.map_err(ClientError::Read)?;
        let text = self
            .patiently(async || {
                let body = upload.body(&self.meter).await.map_err(ClientError::Read)?;
                let Some(Body { stream, len, sent, fault }) = body else { return Err(ClientError::ReadOnce) };
                let mut request = self.http.put(url.clone()).header("Idempotency-Key", key.to_string());
                if let Some(bytes) = len {
                    request = request.header(CONTENT_LENGTH, bytes);
                }
                let answer = self.answer(request.body(stream), &sent).await;
                // reqwest reports a reader's error only as "the request failed"; the reader's own words are better.
                let answer = fault.take().map_or(answer, |fault| Err(ClientError::Read(fault)));
                if answer.is_err() {
                    self.meter.take_back(sent.load(Relaxed));
                }
                answer
            })
            .await?;
        task(&text)
            .and_then(|task| Some((task["id"].as_str()?.parse().ok()?, task)))
            .ok_or_else(|| self.foreign(StatusCode::ACCEPTED))
    }

    /// Returns the status and the text of one of the server's own addresses such as `/readyz`, requested once.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if it doesn't answer.
    pub async fn look(&self, path: &str) -> Result<(StatusCode, String), ClientError> {
        let lost = |source| self.lost(source);
        let mut url = self.base.clone();
        url.set_path(path);
        let response = self.http.get(url).timeout(LOOK).send().await.map_err(lost)?;
        let status = response.status();
        Ok((status, response.text().await.map_err(lost)?))
    }

    /// Returns the digest of a task that has ended: 32 hex digits.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if it ended without one.
    pub fn digest(&self, task: &Value) -> Result<String, ClientError> {
        match task["status"].as_str() {
            Some("succeeded") => {
                let digest = task["result"]["md5"].as_str().filter(|digest| is_md5(digest));
                digest.map(str::to_owned).ok_or_else(|| self.foreign(StatusCode::OK))
            }
            Some(ended) => {
                let error = &task["error"];
                let why = error["detail"].as_str().or(error["code"].as_str()).unwrap_or("no reason given");
                Err(ClientError::Failed(one_line(&format!("the task ended as {ended}: {why}"))))
            }
            None => Err(self.foreign(StatusCode::OK)),
        }
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut path = "/api".to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        url
    }

    fn foreign(&self, status: StatusCode) -> ClientError {
        ClientError::Foreign { server: self.shown.clone(), status }
    }

    async fn read(&self, url: &Url) -> Result<Value, ClientError> {
        let nothing_sent = AtomicU64::new(0);
        let text =
            self.patiently(async || self.answer(self.http.get(url.clone()), &nothing_sent).await).await?;
        task(&text).ok_or_else(|| self.foreign(StatusCode::OK))
    }

    /// Retries until the call succeeds, is rejected, or has used up its time.
    async fn patiently<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut series = Series::new(self.answers.load(Relaxed));
        loop {
            let begun = Instant::now();
            let error = match attempt().await {
                Err(error) if error.is_passing() => error,
                ended => {
                    self.answers.fetch_add(1, Relaxed);
                    self.meter.clear_before(begun);
                    return ended;
                }
            };
            let answers = self.answers.load(Relaxed);
            let Some(pause) = series.pause(&error, begun.elapsed(), answers) else {
                self.gave_up_at.store(answers, Relaxed);
                return Err(ClientError::GivenUp(Box::new(error)));
            };
            if self.gave_up_at.load(Relaxed) == answers {
                return Err(ClientError::GivenUp(Box::new(error)));
            }
            let is_worth_a_word = !error.is_answer() || series.tries() > TRIES_IN_SILENCE;
            self.meter.set(Trouble::new(format!("{error}; trying for a minute"), is_worth_a_word));
            sleep(pause).await;
        }
    }

    /// Sends a request and reads the whole answer; `sent` counts bytes and so shows whether an upload still moves.
    async fn answer(&self, request: RequestBuilder, sent: &AtomicU64) -> Result<String, ClientError> {
        let lost = |source| self.lost(source);
        let mut exchange = pin!(async {
            let response = request.send().await.map_err(lost)?;
            let (status, retry_after) = (response.status(), retry_after(&response));
            let text = response.text().await.map_err(lost)?;
            if status.is_success() { Ok(text) } else { Err(self.refusal(status, &text, retry_after)) }
        });
        let begun = Instant::now();
        let (mut seen, mut waited, mut quiet) = (sent.load(Relaxed), Duration::ZERO, Duration::ZERO);
        // Counted by checks, not by the clock: a process that was stopped for long, or a computer that slept, has not waited.
        while quiet < SILENCE {
            if let Ok(answer) = timeout(LOOK_EVERY, &mut exchange).await {
                return answer;
            }
            waited += LOOK_EVERY;
            quiet += LOOK_EVERY;
            let now = sent.load(Relaxed);
            if now != seen {
                (seen, quiet) = (now, Duration::ZERO);
            }
            // There is progress, so the earlier trouble is over.
            if quiet.is_zero() || waited > CONNECT {
                self.meter.clear_before(begun);
            }
        }
        Err(ClientError::Silent { server: self.shown.clone() })
    }

    fn lost(&self, source: reqwest::Error) -> ClientError {
        if let Some(advice) = program::tls::advice(&source) {
            return ClientError::Tls { server: self.shown.clone(), advice };
        }
        ClientError::Lost { server: self.shown.clone(), source: source.without_url() }
    }

    fn refusal(&self, status: StatusCode, text: &str, retry_after: Option<Duration>) -> ClientError {
        let problem: Value = serde_json::from_str(text).unwrap_or_default();
        let words = problem["detail"].as_str().or(problem["title"].as_str());
        let code = problem["code"].as_str();
        let reason = words.map(|words| {
            format!(
                "{} ({})",
                one_line(words.trim_end_matches('.')),
                one_line(code.unwrap_or(status.as_str()))
            )
        });
        match (status.as_u16(), code, reason) {
            // Proxies answer 520 to 529 when they can't reach the server behind them.
            (408 | 425 | 429 | 500 | 502..=504 | 520..=529, _, reason) => ClientError::Busy {
                reason: reason.unwrap_or_else(|| format!("{} answers {status}", self.shown)),
                retry_after,
            },
            // Another program that answers in the same form: Coatcheck has all of these addresses.
            (_, Some("not-found"), _) => self.foreign(status),
            (_, Some("task-not-found"), _) => ClientError::UnknownTask,
            (_, Some("task-ended"), Some(reason)) => ClientError::Ended(reason),
            (_, Some("record-not-found"), _) => ClientError::UnknownRecord,
            (_, Some("invalid-id"), Some(reason)) => ClientError::Refused(reason),
            (_, Some("idempotency-mismatch"), Some(reason)) => ClientError::OtherContent(reason),
            (401, _, Some(_)) => ClientError::Unauthenticated { has_token: self.has_token },
            (403, _, Some(reason)) => ClientError::Forbidden(reason),
            (401 | 403, _, None) => ClientError::Forbidden(format!("{} answers {status}", self.shown)),
            (.., Some(reason)) => ClientError::Refused(reason),
            (.., None) => self.foreign(status),
        }
    }
}

/// Returns the header with the API key, for each request.
fn credentials(token: Option<&str>) -> Result<HeaderMap, SettingError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let wrong = |_| SettingError::Token("COATCHECK_TOKEN: a key is one word of visible ASCII".to_owned());
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(wrong)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn base_url(given: &str) -> Result<Url, String> {
    // A URL with a password is not repeated.
    let shown = if given.contains('@') { "this one".to_owned() } else { format!("{given:?}") };
    let other = format!("{shown} does not begin with http:// or https://");
    if !given.contains("://") {
        return Err(other);
    }
    let url = Url::parse(given).map_err(|error| format!("{shown}: {error}"))?;
    match url.scheme() {
        "http" | "https" if !matches!(url.path(), "" | "/") => {
            Err(format!("{shown} has a path; leave out {}", url.path()))
        }
        "http" | "https" if url.query().is_none() && url.fragment().is_none() => Ok(url),
        "http" | "https" => Err(format!("{shown} has a query or a fragment")),
        _ => Err(other),
    }
}

fn task(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

fn is_md5(digest: &str) -> bool {
    digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn retry_after(response: &Response) -> Option<Duration> {
    task_data::retry_after::read(|name| response.headers().get(name)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Client {
        Client::new(URL, url, None).unwrap()
    }

    #[test]
    fn a_file_name_is_one_segment_of_the_path() {
        let server = client("http://127.0.0.1:9000/");

        let url = server.url(&["v1", "md5", "a/b\\c?d#e%2e é\n"]);

        assert_eq!(url.as_str(), "http://127.0.0.1:9000/api/v1/md5/a%2Fb%5Cc%3Fd%23e%252e%20%C3%A9%0A");
    }

    #[test]
    fn a_wrong_address_is_told_with_its_setting_and_without_its_password() {
        for wrong in [
            "",
            "127.0.0.1:9000",
            "localhost:9000",
            "http://",
            "ftp://h",
            "http://h:99999",
            "http://h/?a",
            "http://h/api/v1",
        ] {
            let error = Client::new(URL, wrong, None).unwrap_err().to_string();
            assert!(error.starts_with("COATCHECK_URL: ") && !error.contains('\n'), "{error}");
        }
        for right in ["http://h", "https://h", "https://[::1]:8443/", "https://me:secret@h"] {
            assert!(base_url(right).is_ok(), "{right}");
        }
        assert!(!base_url("ftp://me:secret@host").unwrap_err().to_string().contains("secret"));
        assert!(!client("http://me:secret@host").name.contains("secret"));
    }
}
