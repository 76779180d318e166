//! The sandbox as a program: prints its base URL as the first line on stdout, then serves.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bigcommerce_b2b_auth_sandbox::{
    BASE_PATH, FaultPlan, RateLimit, RunningSandbox, Sandbox, demo,
};
use lexopt::prelude::*;

const HELP: &str = "\
A local stand-in for the BigCommerce B2B Edition Authentication API.

Usage: bigcommerce-b2b-auth-sandbox [--port PORT] [--rate REQUESTS]
                                    [--fault-rate SHARE] [--fault-seed SEED]

Options:
  --port PORT         The port on 127.0.0.1; 0, the default, takes a free one
  --rate REQUESTS     How many requests a minute each store may make; 150 by default, 0 for no limit
  --fault-rate SHARE  Which share of the requests fails, from 0, the default, to 1; 0.2 is one in
                      five. All kinds of fault take their turn: broken connections, errors in HTML,
                      refusals, redirects, replies that are cut off or make no sense
  --fault-seed SEED   Which requests fail and how: the same number and the same requests, the same
                      faults; 0 by default
  --help              Prints this and ends

The first line on stdout is the base URL. The demo store and its credentials are listed on stderr.
Ends on Ctrl-C.
";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Command {
    Help,
    Serve(Settings),
}

#[derive(Debug, PartialEq)]
struct Settings {
    port: u16,
    rate: u64,
    fault_rate: f64,
    fault_seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            rate: 150,
            fault_rate: 0.0,
            fault_seed: 0,
        }
    }
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut settings = Settings::default();
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("port") => settings.port = arguments.value()?.parse()?,
                Long("rate") => settings.rate = arguments.value()?.parse()?,
                Long("fault-rate") => settings.fault_rate = arguments.value()?.parse_with(share)?,
                Long("fault-seed") => settings.fault_seed = arguments.value()?.parse()?,
                Long("help") | Short('h') => return Ok(Self::Help),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Self::Serve(settings))
    }
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or("expected a number from 0 to 1")
}

fn main() -> ExitCode {
    let outcome = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => io::stdout().write_all(HELP.as_bytes()),
        Ok(Command::Serve(settings)) => serve(&settings),
        Err(problem) => {
            let _ = writeln!(io::stderr(), "error: {problem}; see --help");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is interrupted: there is nothing to save, so the default action of
/// Ctrl-C is the right one.
fn serve(settings: &Settings) -> io::Result<()> {
    let limit = match settings.rate {
        0 => RateLimit::unlimited(),
        rate => RateLimit::fixed(rate, Duration::from_secs(60)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
        let sandbox = Sandbox::builder()
            .rate_limit(limit)
            .faults(FaultPlan::mixed(settings.fault_seed, settings.fault_rate))
            .bind(address)
            .start()
            .await?;
        introduce(&sandbox)?;
        sandbox.wait().await
    })
}

fn introduce(sandbox: &RunningSandbox) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", sandbox.base_url())?;
    // A script that reads the first line waits for it.
    stdout.flush()?;

    let mut stderr = io::stderr().lock();
    writeln!(
        stderr,
        "\nAll operations are under {BASE_PATH}. The demo store:"
    )?;
    for (name, value) in [
        ("store hash", demo::STORE_HASH.to_owned()),
        ("access token", demo::ACCESS_TOKEN.to_owned()),
        (
            "channels",
            format!(
                "{} (default), {}",
                demo::CHANNEL_ID,
                demo::SECOND_CHANNEL_ID
            ),
        ),
        (
            "customer",
            login(
                demo::CUSTOMER_ID,
                demo::CUSTOMER_EMAIL,
                demo::CUSTOMER_PASSWORD,
            ),
        ),
        (
            "customer",
            login(
                demo::SECOND_CUSTOMER_ID,
                demo::SECOND_CUSTOMER_EMAIL,
                demo::SECOND_CUSTOMER_PASSWORD,
            ),
        ),
        (
            "administrator",
            login("", demo::ADMINISTRATOR_EMAIL, demo::ADMINISTRATOR_PASSWORD),
        ),
        (
            "store owner",
            login("", demo::STORE_OWNER_EMAIL, demo::STORE_OWNER_PASSWORD),
        ),
        (
            "custom role",
            login("", demo::CUSTOM_ROLE_EMAIL, demo::CUSTOM_ROLE_PASSWORD),
        ),
        (
            "session JWT",
            sandbox
                .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
                .unwrap_or_default(),
        ),
        (
            "authToken",
            sandbox.auth_token(demo::STORE_HASH).unwrap_or_default(),
        ),
    ] {
        writeln!(stderr, "  {name:<14} {value}")?;
    }
    Ok(())
}

fn login(id: impl std::fmt::Display, email: &str, password: &str) -> String {
    format!("{id:<4} {email:<27} {password}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        Command::parse(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read_in_both_forms() {
        assert_eq!(parse(&[]), Ok(Command::Serve(Settings::default())));
        assert_eq!(
            parse(&["--port", "8080", "--rate=3"]),
            Ok(Command::Serve(Settings {
                port: 8080,
                rate: 3,
                ..Settings::default()
            }))
        );
        assert_eq!(
            parse(&["--fault-rate=0.2", "--fault-seed", "7"]),
            Ok(Command::Serve(Settings {
                fault_rate: 0.2,
                fault_seed: 7,
                ..Settings::default()
            }))
        );
        assert_eq!(parse(&["--port", "1", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (arguments, named) in [
            (&["--prt"][..], "--prt"),
            (&["8080"], "8080"),
            (&["--port"], "--port"),
            (&["--port", "65536"], "65536"),
            (&["--rate=-1"], "-1"),
            (&["--fault-rate", "1.5"], "1.5"),
            (&["--fault-rate", "NaN"], "NaN"),
            (&["--fault-seed=x"], "x"),
        ] {
            let problem = parse(arguments).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
