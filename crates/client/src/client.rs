//! A client of one server: sends requests, tries again what may pass, and says what went wrong.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::answers::{self, Description, Problem, Readiness};
use crate::calls::{self, Call};
use crate::error::{ClientError, SettingError, one_line, root_cause};
use crate::http;
use crate::meter::{Meter, Outages, Trouble};
use crate::patience::Series;

/// The time without any progress on a connection after which its request is given up. Longer than [`crate::WAIT`].
const SILENCE: Duration = Duration::from_secs(90);
/// How often the client checks for progress.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a server may say that it is busy before a message says so: many servers are full for a moment.
pub(crate) const TRIES_IN_SILENCE: u32 = 5;
/// How long an idle connection is reused. Shorter than servers keep one open: a request on a connection that they close is lost.
const IDLE: Duration = Duration::from_secs(4);
/// How long a connection may take to be established.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the answer to a request may take that is sent only once.
pub(crate) const LOOK: Duration = Duration::from_secs(4);

/// How long the answer to a request of a live view may take.
const LIVE: Duration = Duration::from_secs(10);

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
    /// Whether each request is made once, and its answer awaited for [`LIVE`].
    is_live: bool,
    pub(crate) meter: Arc<Meter>,
    /// The number of requests that got through. While it stays the same, the server accepts nothing.
    answers: AtomicU64,
    /// The value of `answers` at which one request gave up: until it changes, the others need not wait too.
    gave_up_at: AtomicU64,
    /// The number of records that had to be sent again.
    tries_repeated: AtomicU64,
}

impl Client {
    /// Returns a client of the server at that URL, which sends the API key `token`. `setting` is what has the URL, for messages.
    ///
    /// # Errors
    /// If the URL can't be a server's address, or the token is malformed.
    pub fn new(setting: &'static str, url: &str, token: Option<&str>) -> Result<Self, SettingError> {
        let base = http::base_url(url).map_err(|reason| SettingError::Url(setting, reason))?;
        let http = http::builder(base.scheme() == "https")
            .map_err(|reason| SettingError::Tls(setting, reason))?
            .default_headers(http::credentials(token)?)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("coatcheck/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SettingError::Url(setting, root_cause(&error)))?;
        let name = http::name(&base);
        Ok(Self {
            http,
            base,
            shown: name.clone(),
            name,
            has_token: token.is_some(),
            is_live: false,
            meter: Arc::default(),
            answers: AtomicU64::new(0),
            gave_up_at: AtomicU64::new(u64::MAX),
            tries_repeated: AtomicU64::new(0),
        })
    }

    /// Returns the client with messages that say where the server's address comes from.
    pub(crate) fn given_by(self, setting: &str) -> Self {
        Self { shown: format!("{} ({setting})", self.name), ..self }
    }

    /// Returns the client as that of a live view, which makes its requests again by itself: each is made once, and fails after 10 s without an
    /// answer.
    pub fn for_live_view(self) -> Self {
        Self { is_live: true, ..self }
    }

    /// Returns the server's address without a password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether requests bring an API key.
    pub const fn has_token(&self) -> bool {
        self.has_token
    }

    /// Returns the progress of what is under way.
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

    /// Returns the status of a program's `/readyz`, and its answer; `None` if that is not one of Coatcheck's. Asks once.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if it doesn't answer.
    pub async fn readiness(&self) -> Result<(StatusCode, Option<Readiness>), ClientError> {
        let (status, text) = self.look(&calls::READINESS).await?;
        Ok((status, answers::read(&text)))
    }

    /// Returns the status of a program's `/metrics`, and its text. Asks once.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if it doesn't answer.
    pub async fn metrics(&self) -> Result<(StatusCode, String), ClientError> {
        self.look(&calls::METRICS).await
    }

    /// Returns the version of the server; `None` if it does not tell it. Asks once.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if it doesn't answer.
    pub async fn version(&self) -> Result<Option<String>, ClientError> {
        let (_, text) = self.look(&calls::DESCRIPTION).await?;
        Ok(answers::read::<Description>(&text).map(|description| description.info.version))
    }

    async fn look<T>(&self, call: &Call<T>) -> Result<(StatusCode, String), ClientError> {
        let lost = |source| self.lost(source);
        let response = self.request(call, &[], &[]).timeout(LOOK).send().await.map_err(lost)?;
        let status = response.status();
        Ok((status, response.text().await.map_err(lost)?))
    }

    /// Returns a request for an address of a call by GET, whatever the call's method is.
    pub(crate) fn get_at<T>(&self, call: &Call<T>, segments: &[&str]) -> RequestBuilder {
        self.http.get(call.url(&self.base, segments, &[]))
    }

    /// Returns the request of a call.
    pub(crate) fn request<T>(
        &self,
        call: &Call<T>,
        segments: &[&str],
        parameters: &[(&str, &str)],
    ) -> RequestBuilder {
        self.http.request(call.method.clone(), call.url(&self.base, segments, parameters))
    }

    /// Makes a call, patiently, and returns its answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        call: &Call<T>,
        segments: &[&str],
        parameters: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.read(|| self.request(call, segments, parameters)).await
    }

    /// Makes a request until it is answered, as [`Self::patiently`] does, and reads the answer.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let nothing_sent = AtomicU64::new(0);
        let text = self.patiently(async || self.answer(request(), &nothing_sent).await).await?;
        answers::read(&text).ok_or_else(|| self.foreign(StatusCode::OK))
    }

    /// Returns the error for an answer that does not come from Coatcheck.
    pub(crate) fn foreign(&self, status: StatusCode) -> ClientError {
        ClientError::Foreign { server: self.shown.clone(), status }
    }

    /// Returns the error of a server that does not answer.
    pub(crate) fn silent(&self) -> ClientError {
        ClientError::Silent { server: self.shown.clone() }
    }

    /// Notes that a request of a record is to be made again.
    pub(crate) fn count_repeat(&self) {
        self.tries_repeated.fetch_add(1, Relaxed);
    }

    /// Returns how often a record had to be sent again.
    pub fn tries_repeated(&self) -> u64 {
        self.tries_repeated.load(Relaxed)
    }

    /// Retries until the call succeeds, is rejected, or has used up its time.
    pub(crate) async fn patiently<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        if self.is_live {
            return attempt().await;
        }
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
    pub(crate) async fn answer(
        &self,
        request: RequestBuilder,
        sent: &AtomicU64,
    ) -> Result<String, ClientError> {
        let lost = |source| self.lost(source);
        let mut exchange = pin!(async {
            let response = request.send().await.map_err(lost)?;
            let (status, retry_after) = (response.status(), retry_after(&response));
            let text = response.text().await.map_err(lost)?;
            if status.is_success() { Ok(text) } else { Err(self.refusal(status, &text, retry_after)) }
        });
        let begun = Instant::now();
        let (mut seen, mut waited, mut quiet) = (sent.load(Relaxed), Duration::ZERO, Duration::ZERO);
        let longest = if self.is_live { LIVE } else { SILENCE };
        // Counted by checks, not by the clock: a process that was stopped for long, or a computer that slept, has not waited.
        while quiet < longest {
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
        Err(self.silent())
    }

    /// Waits for a step of an answer that is read in parts.
    pub(crate) async fn in_time<T>(
        &self,
        step: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, ClientError> {
        match timeout(SILENCE, step).await {
            Ok(outcome) => outcome.map_err(|source| self.lost(source)),
            Err(_) => Err(self.silent()),
        }
    }

    fn lost(&self, source: reqwest::Error) -> ClientError {
        if let Some(advice) = program::tls::advice(&source) {
            return ClientError::Tls { server: self.shown.clone(), advice };
        }
        ClientError::Lost { server: self.shown.clone(), source: source.without_url() }
    }

    pub(crate) fn refusal(
        &self,
        status: StatusCode,
        text: &str,
        retry_after: Option<Duration>,
    ) -> ClientError {
        let Problem { code, title, detail } = answers::read(text).unwrap_or_default();
        let (words, code) = (detail.or(title), code.as_deref());
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
            (_, Some(answers::NOT_FOUND), _) => self.foreign(status),
            (_, Some(answers::TASK_NOT_FOUND), _) => ClientError::UnknownTask,
            (_, Some(answers::TASK_ENDED), Some(reason)) => ClientError::Ended(reason),
            (_, Some(answers::RECORD_NOT_FOUND), _) => ClientError::UnknownRecord,
            (_, Some(answers::RECORD_EXPIRED), _) => ClientError::ExpiredRecord,
            (_, Some(answers::INVALID_ID), Some(reason)) => ClientError::Refused(reason),
            (_, Some(answers::IDEMPOTENCY_MISMATCH), Some(reason)) => ClientError::OtherContent(reason),
            (401, _, Some(_)) => ClientError::Unauthenticated { has_token: self.has_token },
            (403, _, Some(reason)) => ClientError::Forbidden(reason),
            (401 | 403, _, None) => ClientError::Forbidden(format!("{} answers {status}", self.shown)),
            (.., Some(reason)) => ClientError::Refused(reason),
            (.., None) => self.foreign(status),
        }
    }
}

/// Returns the pause that a response asks for.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    program::retry_after::read(|name| response.headers().get(name)?.to_str().ok())
}
