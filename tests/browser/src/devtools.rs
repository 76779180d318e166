//! Chromium, headless and with a profile of its own, and its DevTools protocol: JSON messages that each end with a zero byte, to
//! file descriptor 3 of the browser and from its 4.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long an answer of the browser may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it is started with: no window, no sandbox of its own (which a container does not allow), and nothing that calls home.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-GB",
    "--window-size=1100,780",
    "--remote-debugging-pipe",
];

/// A running browser.
#[derive(Debug)]
pub struct Chromium {
    process: Child,
    profile: PathBuf,
    to: ChildStdin,
    from: mpsc::Receiver<Value>,
    asked: u64,
    /// What it told without being asked.
    events: VecDeque<Value>,
}

impl Chromium {
    /// Starts the one that the variable `CHROMIUM` names, or `chromium`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let program = std::env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let profile =
            std::env::temp_dir().join(format!("storefront-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&profile);
        fs::create_dir_all(&profile).expect("the profile's folder can be made");
        // The standard library hands over the descriptors 0 to 2 alone: the shell moves them, and becomes the browser.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>&2"#, "sh"])
            .arg(&program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be started");
        let to = process.stdin.take().expect("it is piped");
        let mut replies = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, from) = mpsc::channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while matches!(replies.read_until(0, &mut message), Ok(length) if length > 0) {
                if message.last() == Some(&0) {
                    message.pop();
                }
                let Ok(message) = serde_json::from_slice(&std::mem::take(&mut message)) else {
                    continue;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            profile,
            to,
            from,
            asked: 0,
            events: VecDeque::new(),
        };
        browser.ask(None, "Browser.getVersion", json!({}));
        browser
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Panics
    /// When the browser refuses it, is gone, or does not answer.
    pub(crate) fn ask(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        match self.try_ask(session, method, params) {
            Ok(result) => result,
            Err(refusal) => panic!("{method}: {refusal}"),
        }
    }

    /// The same; what the browser refuses is an error.
    pub(crate) fn try_ask(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, String> {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let sent = self.to.write_all(&bytes).and_then(|()| self.to.flush());
        sent.expect("Chromium takes commands: is it installed, and does it start?");
        loop {
            let mut message = self.next(method);
            if message["id"] != self.asked {
                self.events.push_back(message);
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(error["message"].to_string()),
                None => Ok(message["result"].take()),
            };
        }
    }

    /// What it told without being asked since the last time.
    pub(crate) fn events(&mut self) -> Vec<Value> {
        self.events.extend(self.from.try_iter());
        self.events.drain(..).collect()
    }

    /// Waits until it has told something. What it tells meanwhile, this too, is kept.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn wait_until_told(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) {
        if self.events.iter().any(&is_it) {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let event = self.next(what);
            let was_it = is_it(&event);
            self.events.push_back(event);
            if was_it {
                return;
            }
        }
        panic!("Chromium tells much, and nothing of {what}");
    }

    fn next(&self, method: &str) -> Value {
        self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            panic!("Chromium does not answer to {method} ({error}): is it installed, and does it start?")
        })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its own processes end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
