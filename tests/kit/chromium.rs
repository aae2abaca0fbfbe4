//! A headless Chromium that shows the pages of one stack to a test, driven over WebDriver.
//!
//! When it is closed, the requests that it sent and the messages on its console are checked.

use std::fs;
use std::io::{BufRead, BufReader};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::{DEADLINE, eventually};
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement};
use tokio::sync::{Mutex, MutexGuard};

use crate::kit::stack::Stack;

/// Lets one browser run at a time, because one keeps a small machine busy.
static TURN: Mutex<()> = Mutex::const_new(());

const PAUSE: Duration = Duration::from_millis(10);

const FLAGS: [&str; 10] = [
    "--headless",
    // Chromium does not run as root without this.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A script that finds barriers to access: WCAG's levels A and AA, and the advice of its makers.
const AXE: &str = include_str!("../vendor/axe.min.js");

/// One browser with one window, killed when dropped. A test that went well ends with [`Browser::close`].
pub struct Browser {
    /// Never dropped, because that would wait for an answer that only this thread could bring.
    driver: ManuallyDrop<WebDriver>,
    stack: Arc<Stack>,
    // In this order: the processes are gone before their folder.
    _processes: Processes,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

struct Processes {
    chromedriver: Child,
    profile: PathBuf,
}

impl Processes {
    /// Starts the driver; returns it and its port, or `None` if it has ended instead.
    fn start(folder: &TempDir, profile: &Path) -> Option<(Self, String)> {
        let mut chromedriver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver is needed: Debian's chromium-driver");
        let said = BufReader::new(chromedriver.stdout.take().unwrap());
        let processes = Self { chromedriver, profile: profile.to_owned() };
        let port = said.lines().map(Result::unwrap).find_map(|line| {
            line.strip_prefix("ChromeDriver was started successfully on port ").map(str::to_owned)
        });
        port.map(|port| (processes, port))
    }
}

impl Browser {
    /// Opens a path of the stack in a new browser.
    pub async fn open(stack: &Arc<Stack>, path: &str) -> Self {
        let turn = TURN.lock().await;
        let folder = TempDir::with_prefix("coatcheck-test-").unwrap();
        let profile = folder.path().join("profile");
        // The port that it picks is free in IPv4; it ends if another process has that port in IPv6.
        let mut starts = (0..10).map(|_| Processes::start(&folder, &profile));
        let (processes, port) = starts.find_map(|started| started).expect("chromedriver tells its port");

        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS {
            wanted.add_arg(flag).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.display())).unwrap();
        for log in ["browser", "performance"] {
            wanted.set_logging_prefs(log, LoggingPrefsLogLevel::All).unwrap();
        }
        let address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        let driver = WebDriver::builder(address, wanted).client(stack.http.clone()).connect().await;
        let driver = driver.expect("chromium is needed: Debian's chromium");

        let driver = ManuallyDrop::new(driver);
        let browser = Self { driver, stack: stack.clone(), _processes: processes, folder, _turn: turn };
        let downloads = browser.folder.path().join("downloads");
        let save = json!({"behavior": "allow", "downloadPath": downloads});
        browser.cdp("Browser.setDownloadBehavior", save).await;
        browser.looks("light", 1280).await;
        browser.go(path).await;
        browser
    }

    /// Returns the requests since the page was opened, or since the last call: methods and addresses.
    pub async fn asked(&self) -> Vec<(String, String)> {
        let origin = self.stack.url("/");
        let mut asked = Vec::new();
        for entry in self.driver.get_log("performance").await.unwrap() {
            let event: Value = serde_json::from_str(&entry.message).unwrap();
            let event = &event["message"];
            if event["method"] == "Network.requestWillBeSent" {
                let request = &event["params"]["request"];
                let url = request["url"].as_str().unwrap();
                let is_own = [&*origin, "data:", "blob:", "about:", "chrome:"]
                    .iter()
                    .any(|start| url.starts_with(start));
                assert!(is_own, "asked for {url}");
                asked.push((request["method"].as_str().unwrap().to_owned(), url.to_owned()));
            }
        }
        asked
    }

    /// Closes the browser, and checks that it sent no request to another server and logged no error.
    pub async fn close(self) {
        self.asked().await;
        for entry in self.driver.browser_log().await.unwrap() {
            // A problem, or a failed request: the test itself checks how the page shows it.
            let is_refusal = entry.source.as_deref() == Some("network")
                && ["/api/", "/healthz"].iter().any(|path| entry.message.contains(path));
            assert!(is_refusal || entry.level == "INFO", "{entry:?}");
        }
    }

    pub async fn go(&self, path: &str) {
        self.driver.goto(self.stack.url(path)).await.unwrap();
    }

    pub async fn reload(&self) {
        self.driver.refresh().await.unwrap();
    }

    /// Sets light or dark colours, and the width of the window.
    pub async fn looks(&self, scheme: &str, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.cdp("Emulation.setEmulatedMedia", scheme).await;
    }

    pub async fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// Returns the value of a JavaScript expression.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// Waits until a JavaScript expression is true.
    pub async fn until(&self, expression: &str) {
        eventually(expression, async || match self.value(expression).await {
            Value::Bool(true) => Ok(()),
            _ => Err(self.value("document.body.innerText").await),
        })
        .await;
    }

    /// Returns the texts of all elements that a selector matches.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let texts = format!("Array.from(document.querySelectorAll('{selector}'), e => e.textContent)");
        serde_json::from_value(self.value(&texts).await).unwrap()
    }

    /// Returns the text of one element, once there is one.
    pub async fn text(&self, selector: &str) -> String {
        self.until(&format!("!!document.querySelector('{selector}')?.textContent")).await;
        self.texts(selector).await.remove(0)
    }

    pub async fn find(&self, selector: &str) -> WebElement {
        eventually(selector, async || self.driver.find(By::Css(selector)).await).await
    }

    /// Clicks an element as soon as it is clickable.
    pub async fn click(&self, selector: &str) {
        eventually(selector, async || self.find(selector).await.click().await).await;
    }

    /// Accepts the browser's own dialogue.
    pub async fn agree(&self) {
        eventually("a question", async || self.driver.accept_alert().await).await;
    }

    /// Replaces the content of a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Chooses files in a field; returns their folder.
    pub async fn choose(&self, selector: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = self.folder.path().join("files");
        fs::create_dir_all(&folder).unwrap();
        let paths = files.iter().map(|(name, bytes)| {
            let path = folder.join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let paths: Vec<String> = paths.collect();
        self.find(selector).await.send_keys(paths.join("\n")).await.unwrap();
        folder
    }

    /// Returns the content of a download, once it is whole.
    pub async fn download(&self, name: &str) -> String {
        let path = self.folder.path().join("downloads").join(name);
        // Chromium renames it when it is whole.
        eventually("a download", async || fs::read_to_string(&path)).await
    }

    /// Checks that axe finds nothing, in light and dark colours, on a wide and a narrow screen, and that nothing is cut off.
    pub async fn assert_accessible(&self, when: &str) {
        self.driver.execute(AXE, Vec::new()).await.unwrap();
        for (scheme, width) in
            [("light", 1280), ("light", 390), ("light", 320), ("dark", 1280), ("dark", 390)]
        {
            self.looks(scheme, width).await;
            // Colours in a transition would be neither the old nor the new ones.
            self.until(
                "document.getAnimations().every(one => one.effect.getTiming().iterations === Infinity)",
            )
            .await;
            let found = self.value("axe.run().then(found => found.violations.map(one => [one.id, one.nodes.map(node => node.html)]))");
            assert_eq!(found.await, json!([]), "{when}, {scheme}, {width} wide");
            let overflow = self
                .value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            assert_eq!(overflow, 0, "{when}: {width} wide is too narrow");
        }
        self.looks("light", 1280).await;
    }

    /// Checks that the Tab key leads to every control, in the order on the page, and that the focus is visible.
    pub async fn assert_usable_by_keyboard(&self) {
        let reachable = "Array.from(document.querySelectorAll('a, button, input, select, summary, textarea, [tabindex=\"0\"]'))
            .filter(one => one.checkVisibility())";
        let count = self.value(&format!("{reachable}.length")).await.as_u64().unwrap();

        self.value("document.activeElement.blur()").await;
        let mut seen = Vec::new();
        for _ in 0..count {
            self.press("Tab").await;
            let at = self.value(&format!("{reachable}.indexOf(document.activeElement)")).await;
            let outline = "getComputedStyle(document.activeElement.closest('label') ?? document.activeElement).outlineStyle";
            assert_eq!(self.value(outline).await, "solid", "the focus is seen");
            seen.push(at.as_u64().unwrap());
        }

        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }

    async fn press(&self, key: &str) {
        for event in ["keyDown", "keyUp"] {
            let parameters = json!({"type": event, "key": key, "code": key, "windowsVirtualKeyCode": 9});
            self.cdp("Input.dispatchKeyEvent", parameters).await;
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // `HOST-PID`: the browser of this profile, if it runs; its other processes end with it.
        let lock = fs::read_link(self.profile.join("SingletonLock")).unwrap_or_default();
        let browser = lock.to_str().and_then(|lock| lock.rsplit('-').next()?.parse().ok());
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
        if let Some(browser) = browser {
            let _ = kill(Pid::from_raw(browser), Signal::SIGKILL);
        }
        // Their parent has ended, so they can't be waited for, and they write until they end.
        let deadline = Instant::now() + DEADLINE;
        while fs::remove_dir_all(&self.profile).is_err() && self.profile.exists() && Instant::now() < deadline
        {
            sleep(PAUSE);
        }
    }
}
