//! The example as a process of its own, ended with the test.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long it may take to start, which includes that cargo sees that it is built, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running example.
#[derive(Debug)]
pub struct Shop {
    process: Child,
    address: String,
    printed: JoinHandle<String>,
    logged: JoinHandle<String>,
}

impl Shop {
    /// Starts it at a free port. `cargo run` becomes the example by `exec`, so that its process id is the example's.
    #[must_use]
    pub fn start() -> Self {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut process = Command::new(cargo)
            .args([
                "run",
                "--quiet",
                "--example",
                "storefront",
                "--",
                "--port",
                "0",
            ])
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo can be started");
        let (sender, address) = mpsc::channel();
        let printed = process.stdout.take().expect("it is piped");
        let printed = thread::spawn(move || lines(printed, &sender));
        let logged = process.stderr.take().expect("it is piped");
        let logged = thread::spawn(move || text(logged));
        let address = address.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = process.kill();
            let _ = process.wait();
            panic!("the example did not say where the shop is: try cargo run --example storefront")
        });
        Self {
            process,
            address,
            printed,
            logged,
        }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it as Ctrl-C does, and hands over what it printed and logged.
    ///
    /// # Panics
    /// When it does not end by itself, or not well.
    #[must_use]
    pub fn end(mut self) -> (String, String) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "it is told");
        // Both pipes end with the process.
        let (sender, ended) = mpsc::channel();
        let printed = std::mem::replace(&mut self.printed, thread::spawn(String::new));
        let logged = std::mem::replace(&mut self.logged, thread::spawn(String::new));
        thread::spawn(move || sender.send((printed.join(), logged.join())));
        let Ok((Ok(printed), Ok(logged))) = ended.recv_timeout(PATIENCE) else {
            panic!("the shop did not end when it was told to");
        };
        let status = self.process.wait().expect("it can be waited for");
        assert!(status.success(), "{status}: {logged}");
        (printed, logged)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // One that has ended is not hit: its id is this process's to give away, and it was not waited for elsewhere.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn lines(from: ChildStdout, address: &mpsc::Sender<String>) -> String {
    let mut all = String::new();
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if let Some(at) = line.strip_prefix("shop at ") {
            let _ = address.send(at.to_owned());
        }
        all.push_str(&line);
        all.push('\n');
    }
    all
}

fn text(mut from: ChildStderr) -> String {
    let mut all = Vec::new();
    let _ = from.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}
